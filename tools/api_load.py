"""Measure the cost of the HTTP API for AMQP clients: latency while queues are listed, CPU while polled, memory.

    python tools/api_load.py                              # everything, some minutes
    python tools/api_load.py --case list --queues 20000
    python tools/api_load.py --case poll --seconds 60 --rounds 5
    python tools/api_load.py --case ui --seconds 80 --rounds 3 --queues 100

Runs with and without requests alternate, as the speed of a machine varies over time. See
docs/performance.md.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import multiprocessing
import os
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from playwright.sync_api import sync_playwright

from leveret.node.node import build_name
from tests.brokers.process import Server, free_port
from tests.clients.codec import METHOD, frame
from tests.clients.methods import QueueDeclare
from tests.clients.peer import Peer
from tests.overload.canary import consumed, percentile, round_trip
from tests.ui.browser import OPTIONS, chromium, opened

TICKS = os.sysconf("SC_CLK_TCK")
LOGIN = {"Authorization": f"Basic {base64.b64encode(b'guest:guest').decode()}"}
POLLED = ("overview", "queues?page=1&page_size=100&sort=messages&sort_reverse=true", "connections?page=1&page_size=100")
POLL_S = 5.0
IDLE_S = 12.0
LOOKED = ("", "queues", "topology", "connections")
STAY_S = 20.0


def fetch(api: str, path: str) -> int:
    """Call the API. Returns: the number of bytes received."""
    request = urllib.request.Request(f"{api}/api/{path}", headers=LOGIN)
    size = 0
    with urllib.request.urlopen(request, timeout=300) as answer:
        while piece := answer.read(1 << 16):
            size += len(piece)
    return size


def list_again_and_again(api: str) -> None:
    """List all queues repeatedly, until this process is terminated."""
    while True:
        fetch(api, "queues")


def poll(api: str) -> None:
    """Send the requests of a UI page every few seconds, until this process is terminated."""
    while True:
        for path in POLLED:
            fetch(api, path)
        time.sleep(POLL_S)


def look(api: str) -> None:
    """Open the pages of the web UI in a browser in turn, until this process is terminated."""
    program = chromium()
    assert program is not None, "there is no chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        with opened(browser, api) as ui:
            while True:
                for where in LOOKED:
                    ui.open(where)
                    ui.page.wait_for_timeout(STAY_S * 1000)


@contextlib.contextmanager
def working(count: int, work: Any, *arguments: Any) -> Iterator[None]:
    """Run processes during a block."""
    made = [multiprocessing.Process(target=work, args=arguments, daemon=True) for _ in range(count)]
    for each in made:
        each.start()
    try:
        yield
    finally:
        for each in made:
            each.terminate()
            each.join()


class Broker:
    """A broker with an API."""

    def __init__(self, is_managed: bool = True) -> None:
        port = free_port()
        options = ["--management-port", str(port) if is_managed else "off"]
        began_s = time.perf_counter()
        self.server = Server.start("--memory", *options)
        self.ready_s = time.perf_counter() - began_s
        self.api = f"http://127.0.0.1:{port}"
        self.pid = self.server.process.pid

    def connect(self) -> Peer:
        """An AMQP client."""
        return Peer((self.server.host, self.server.port)).login()

    def declare(self, count: int) -> None:
        """Declare queues."""
        peer = self.connect()
        channel = peer.channel()
        for at in range(0, count, 1000):
            names = [f"queue {number:06d}" for number in range(at, min(at + 1000, count))]
            peer.link.send_bytes(
                b"".join(frame(METHOD, 1, QueueDeclare(queue=name, nowait=True).payload()) for name in names)
            )
        channel.queue()
        peer.link.close()

    @property
    def memory(self) -> float:
        """Resident memory in MB."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * 4096 / 1e6

    @property
    def cpu_s(self) -> float:
        """CPU time so far in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def measure_list(queues: int, seconds: float, rounds: int) -> None:
    """Measure latency while one client lists all queues repeatedly."""
    broker = Broker()
    broker.declare(queues)
    began_s = time.perf_counter()
    size = fetch(broker.api, "queues")
    print(f"{queues} queues are {size / 1e6:.1f} MB, in {time.perf_counter() - began_s:.1f} s", flush=True)
    channel, queue = consumed(broker.connect())
    memory = broker.memory
    differences = []
    for _ in range(rounds):
        p99 = []
        for is_listed in (False, True):
            found = []
            with working(int(is_listed), list_again_and_again, broker.api):
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    found.append(round_trip(channel, queue, broker.pid) * 1000)
                    time.sleep(0.002)
            p99.append(percentile(found, 0.99))
            text = f"{statistics.median(found):6.2f} ms, p99 {p99[-1]:6.2f} ms, worst {max(found):7.2f} ms"
            print(f"  {'listed' if is_listed else 'alone ':7} median {text}, {len(found)} round trips", flush=True)
        differences.append(p99[1] - p99[0])
    print(f"p99 is {statistics.median(differences):+.2f} ms while all queues are listed (at most +10)")
    print(f"memory {memory:.0f} MB before, {broker.memory:.0f} MB after\n", flush=True)
    broker.server.stop()


def measure_poll(queues: int, clients: int, seconds: float, rounds: int, visitors: int, visit: Any, what: str) -> None:
    """Measure the CPU per message with API clients. what: describes what they do."""
    broker = Broker()
    broker.declare(queues)
    idle = [broker.connect() for _ in range(clients - 1)]
    busy = broker.connect().channel()
    queue = busy.queue()
    busy.consume(queue, no_ack=True)
    ratios, memories = [], []
    for _ in range(rounds):
        cost = []
        for is_polled in (False, True):
            with working(visitors * is_polled, visit, broker.api):
                time.sleep(0.5)
                cpu_s, count, until = broker.cpu_s, 0, time.monotonic() + seconds
                while time.monotonic() < until:
                    for _ in range(50):
                        busy.publish(queue, b"x" * 100)
                    for _ in range(50):
                        busy.next(60)
                    count += 50
                cost.append((broker.cpu_s - cpu_s) / count * 1e6)
            text = f"{cost[-1]:7.1f} us of CPU for a message, {count / seconds:6.0f} messages/s"
            print(f"  {'visited' if is_polled else 'alone':7} {text}, {broker.memory:.0f} MB", flush=True)
        ratios.append(cost[1] / cost[0] - 1)
        memories.append(broker.memory)
    print(f"{statistics.median(ratios):+.1%} CPU for a message while {what} (at most +5 %)")
    print(f"memory after each round: {', '.join(f'{each:.0f}' for each in memories)} MB\n", flush=True)
    del idle
    broker.server.stop()


def measure_idle() -> None:
    """Measure memory and start time of an idle broker."""
    for is_managed in (False, True, False, True):
        broker = Broker(is_managed)
        time.sleep(IDLE_S)
        what = "with an API   " if is_managed else "without an API"
        print(f"  {what} {broker.memory:5.1f} MB, ready line after {broker.ready_s:.2f} s", flush=True)
        if is_managed:
            for path in POLLED:
                fetch(broker.api, path)
            print(f"  and when it was asked {broker.memory:5.1f} MB", flush=True)
        broker.server.stop()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=["list", "poll", "ui", "idle"], help="only this one")
    parser.add_argument("--queues", type=int, default=100_000, help="for list (100000); poll and ui have at most 5000")
    parser.add_argument("--connections", type=int, default=200, help="for poll (200)")
    parser.add_argument("--seconds", type=float, default=20, help="of each run (20)")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs (3)")
    options = parser.parse_args()
    print(f"{build_name()}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    if options.case in (None, "idle"):
        measure_idle()
    if options.case in (None, "list"):
        measure_list(options.queues, options.seconds, options.rounds)
    if options.case in (None, "poll"):
        polled = "two pages are open"
        measure_poll(min(options.queues, 5_000), options.connections, options.seconds, options.rounds, 2, poll, polled)
    if options.case == "ui":
        looked = "the web UI is open in a browser"
        measure_poll(min(options.queues, 5_000), options.connections, options.seconds, options.rounds, 1, look, looked)


if __name__ == "__main__":
    main()
