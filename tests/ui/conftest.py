"""Fixtures: a browser, a broker, a shop on it, and a page of the UI.

`make test` runs the tests that are marked with `smoke`, `make ui` all of them. The browser is Debian's chromium. Where
there is none the tests are skipped, unless LEVERET_TEST_EXPECT_BROWSER is set.
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

INTERVAL_MS = "1000"  # each of which has the pages ask anew
OPENS_S = 90.0  # how long a shop may take for that, on a busy machine
CONSUMERS = 7  # that a shop has when it is open
EXPECTED = "LEVERET_TEST_EXPECT_BROWSER"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Started for each file: while it is there, an event loop runs in this thread, and tests elsewhere cannot."""
    program = chromium()
    if program is None:
        assert not os.environ.get(EXPECTED), f"{EXPECTED} is set, and there is no chromium"
        pytest.skip("there is no chromium: `apt-get install chromium`")
    with sync_playwright() as playwright:
        expect.set_options(timeout=WAIT_MS)
        started = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A broker in memory."""
    with Started.start("--statistics-interval-ms", INTERVAL_MS) as started:
        yield started.place


@pytest.fixture(scope="module")
def http(place: Place) -> Http:
    """Its API."""
    return Http(place.api, timeout_s=OPENS_S)


@pytest.fixture(scope="module")
def shop(place: Place, http: Http) -> Iterator[Place]:
    """The broker, with a shop on it."""
    url = f"amqp://guest:guest@{place.host}:{place.port}/"
    running = subprocess.Popen([sys.executable, "-m", "tests.ui.shop", url])
    try:
        eventually(lambda: http.ask("GET", "consumers").body.count(b"consumer_tag") >= CONSUMERS, OPENS_S)
        yield place
    finally:
        running.kill()
        running.wait()


@pytest.fixture
def ui(browser: Browser, place: Place) -> Iterator[Ui]:
    """A page, logged in as guest."""
    with opened(browser, place.api) as made:
        yield made
