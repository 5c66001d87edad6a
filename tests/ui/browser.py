"""A browser on the web UI: it is logged in, and whatever goes wrong in the page is a fault of the test."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

from playwright.sync_api import Browser, ConsoleMessage, Page, Response

VARIABLE = "LEVERET_TEST_CHROMIUM"
WAIT_MS = 30_000
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str | None:
    """The program of the browser: what the variable names, or Debian's."""
    return os.environ.get(VARIABLE) or shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass
class Ui:
    """A page of the UI. faults: errors of the page as they came. expected: statuses that are no faults."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)

    def watch(self) -> None:
        """Take note of what goes wrong."""
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("pageerror", lambda error: self.faults.append(f"error in the page: {error} {error.stack}"))
        self.page.on("console", self._said)
        self.page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:  # told by _answered()
            self.faults.append(f"console: {message.text}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.faults.append(f"{response.request.method} {response.url}: {response.status}")

    def log_in(self, name: str = "guest", password: str = "guest") -> None:
        """Give the browser the cookie of a session."""
        answer = self.page.context.request.post(
            f"{self.url}/api/leveret/session", data={"username": name, "password": password}
        )
        assert answer.ok, answer.text()

    def open(self, where: str = "") -> Page:
        """Go to a page, as `queues/%2F/orders?tab=messages`."""
        self.page.goto(f"{self.url}/#/{where}")
        return self.page


@contextlib.contextmanager
def opened(
    browser: Browser, url: str, *, width: int = 1440, height: int = 900, theme: str = "light", name: str = "guest"
) -> Iterator[Ui]:
    """A page of its own, logged in unless name is empty. Raises: AssertionError when it had faults."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
        locale="en-GB",
    )
    try:
        ui = Ui(context.new_page(), url)
        ui.watch()
        if name:
            ui.log_in(name)
        yield ui
        assert not ui.faults, "\n".join(ui.faults)
    finally:
        context.close()
