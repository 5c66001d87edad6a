"""Make the screenshots of the web UI for the README and the docs, from a broker with an example shop.

    python tools/pictures.py                   # all of them, into docs/pictures
    python tools/pictures.py --only overview

Each is made twice, for light and dark mode.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.api.place import Started
from tests.ui.browser import OPTIONS, chromium, opened

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
LIVES_S = 45.0  # run time of the shop before the first picture, so that charts have data
SETTLES_MS = 3_500


def nothing(page: Page) -> None:
    """Leave the page as it opens."""


def publish_ten(page: Page) -> None:
    """Publish messages for the workers of the playground."""
    page.get_by_role("button", name="Publish 10").click()
    page.wait_for_timeout(SETTLES_MS)


@dataclass(frozen=True)
class Picture:
    """One picture. where: its address in the UI. act: prepares the page."""

    name: str
    where: str
    height: int = 900
    act: Callable[[Page], None] = nothing


PICTURES = (
    Picture("overview", ""),
    Picture("queues", "queues", 560),
    Picture("queue", "queues/%2F/payments.dead", 720),
    Picture("messages", "queues/%2F/payments.dead?tab=messages", 760),
    Picture("topology", "topology", 820),
    Picture("explain", "explain?vhost=%2F&exchange=shop.events&key=order.paid.de", 760),
    Picture("playground", "playground/work-queues", 820, publish_ten),
)


def main() -> None:
    """See the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[each.name for each in PICTURES], help="names of pictures")
    options = parser.parse_args()
    program = chromium()
    if program is None:
        sys.exit("there is no chromium: apt-get install chromium")
    FOLDER.mkdir(exist_ok=True)
    with Started.start() as started, sync_playwright() as playwright:
        place = started.place
        shop = subprocess.Popen(
            [sys.executable, "-m", "tests.ui.shop", f"amqp://guest:guest@{place.host}:{place.port}/"]
        )
        browser = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        try:
            time.sleep(LIVES_S)
            for picture in PICTURES:
                if picture.name not in options.only:
                    continue
                for theme in ("light", "dark"):
                    with opened(browser, place.api, theme=theme, height=picture.height) as ui:
                        page = ui.open(picture.where)
                        page.wait_for_timeout(SETTLES_MS)
                        picture.act(page)
                        page.screenshot(path=FOLDER / f"{picture.name}-{theme}.png")
                print(f"{picture.name} made")
        finally:
            browser.close()
            shop.kill()
            shop.wait()


if __name__ == "__main__":
    main()
