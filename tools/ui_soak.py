"""Keep the web UI open on a broker with many queues and an example shop, and check that its memory does not grow.

    python tools/ui_soak.py                              # ten minutes, 5 000 queues
    python tools/ui_soak.py --minutes 2 --queues 500

It visits all pages repeatedly, and measures the heap and the elements of the page after each round, after a garbage
collection. It fails if the last rounds need clearly more than the first ones, or if a page has an error.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import CDPSession, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.api.http import Http
from tests.api.place import Started
from tests.ui.browser import OPTIONS, Ui, chromium, opened

ROUND = (
    "",
    "queues",
    "queues/%2F/payments",
    "topology",
    "connections",
    "exchanges",
    "consumers",
    "node",
    "queues?only=busy",
)
STAY_S = 6.0  # on each page
GROWTH = 1.25  # maximum ratio of the last rounds to the first ones
ROOM = 4 << 20  # bytes of growth that are always allowed
STEP = 1_000  # queues to declare at once


def measure(session: CDPSession) -> tuple[int, int]:
    """The size of the heap in bytes, and the number of elements."""
    session.send("HeapProfiler.collectGarbage")
    found = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return int(found["JSHeapUsedSize"]), int(found["Nodes"])


def furnish(http: Http, queues: int) -> None:
    """Declare the queues."""
    for first in range(0, queues, STEP):
        names = [f"tenant-{number // 100}.queue-{number}" for number in range(first, min(first + STEP, queues))]
        body = {"queues": [{"vhost": "/", "name": name, "durable": True} for name in names]}
        http.ask("POST", "definitions", body).expect(201, 204)


def soak(ui: Ui, until: float) -> list[int]:
    """Visit the pages in rounds. Returns: the heap size after each round."""
    session = ui.page.context.new_cdp_session(ui.page)
    session.send("Performance.enable")
    heaps: list[int] = []
    while time.monotonic() < until or len(heaps) < 4:
        for where in ROUND:
            ui.open(where)
            ui.page.wait_for_timeout(STAY_S * 1000)
        heap, nodes = measure(session)
        heaps.append(heap)
        print(f"  round {len(heaps)}: heap {heap / 2**20:.1f} MiB, {nodes} elements", flush=True)
    return heaps


def main() -> None:
    """See the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--queues", type=int, default=5_000)
    options = parser.parse_args()
    program = chromium()
    if program is None:
        sys.exit("there is no chromium: apt-get install chromium")
    with Started.start() as started, sync_playwright() as playwright:
        place = started.place
        furnish(Http(place.api), options.queues)
        url = f"amqp://guest:guest@{place.host}:{place.port}/"
        shop = subprocess.Popen([sys.executable, "-m", "tests.ui.shop", url])
        browser = playwright.chromium.launch(executable_path=program, args=[*OPTIONS, "--enable-precise-memory-info"])
        try:
            with opened(browser, place.api) as ui:
                heaps = soak(ui, time.monotonic() + options.minutes * 60)
        finally:
            browser.close()
            shop.kill()
            shop.wait()
    first, last = statistics.median(heaps[1:3]), statistics.median(heaps[-2:])
    print(f"heap {first / 2**20:.1f} MiB at the beginning, {last / 2**20:.1f} MiB at the end")
    if last > first * GROWTH + ROOM:
        sys.exit("the page grows")


if __name__ == "__main__":
    main()
