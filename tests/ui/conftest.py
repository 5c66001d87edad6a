"""Fixtures: a browser, a broker, a shop on it, and a page of the UI.

The browser is Debian's chromium. Where there is none the tests are skipped, unless LEVERET_TEST_EXPECT_BROWSER is set.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.api.http import Http
from tests.api.place import Place, Started
from tests.clients.waiting import eventually
from tests.ui.browser import OPTIONS, WAIT_MS, Ui, chromium, opened

EXPECTED = "LEVERET_TEST_EXPECT_BROWSER"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Started once."""
    program = chromium()
    if program is None:
        assert not os.environ.get(EXPECTED), f"{EXPECTED} is set, and there is no chromium"
        pytest.skip("there is no chromium: `apt-get install chromium`")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A broker in memory."""
    with Started.start() as started:
        yield started.place


@pytest.fixture(scope="module")
def http(place: Place) -> Http:
    """Its API."""
    return Http(place.api)


@pytest.fixture(scope="module")
def shop(place: Place, http: Http) -> Iterator[Place]:
    """The broker, with a shop on it."""
    url = f"amqp://guest:guest@{place.host}:{place.port}/"
    running = subprocess.Popen([sys.executable, "-m", "tests.ui.shop", url])
    try:
        eventually(lambda: len(http.ask("GET", "consumers").json) >= 7, within=90)
        yield place
    finally:
        running.kill()
        running.wait()


@pytest.fixture
def ui(browser: Browser, place: Place) -> Iterator[Ui]:
    """A page, logged in as guest."""
    with opened(browser, place.api) as made:
        yield made
