"""Measure the cost of searching a million messages on disk: seconds, latency of other clients, memory.

    python tools/search_load.py                       # a million messages of 1 KiB, some minutes
    python tools/search_load.py --messages 100000 --acted 10000

All messages are persistent JSON. Only one in the middle and the last one match, so each search reads all of them. After
that, messages are counted in a dry run, moved and deleted. Meanwhile another client publishes a message to itself a
hundred times a second; "alone" is the same client before.

Exit status 1 if a search took longer than 20 s per million, p99 of that client grew by more than 10 ms, memory exceeded
that of an idle broker plus the budget plus 30 MB, or an answer was wrong. See docs/performance.md.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import machine
from leveret.node.node import build_name
from tests.brokers.process import Server
from tests.clients.codec import Properties
from tests.clients.methods_basic import BasicAck, BasicPublish
from tests.clients.peer import Channel, Peer
from tests.overload.canary import consumed, percentile, round_trips
from tests.overload.field import favour

QUEUE, OTHER = "orders", "parking"
SIZE = 1024  # bytes of a body
BLOCK = 1000  # messages published and confirmed at once
PATIENCE_S = 120.0
EVERY_S = 0.01  # between round trips
ALONE_S = 10.0
SEARCH_S = 20.0  # maximum for a search of a million messages
SLOWER_MS = 10.0  # maximum growth of the other client's p99
ROOM_MB = 30.0  # for pages and pending writes, besides the budget and an idle broker
MB = 1_000_000
LOGIN = {"Authorization": f"Basic {base64.b64encode(b'guest:guest').decode()}", "Content-Type": "application/json"}

TEXT = {"field": "body", "op": "contains", "value": "poison"}
PATH = {"field": "json:$.order.state", "op": "=", "value": "stuck"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "search, text in the body": ("search", {"where": [TEXT]}),
    "search, path in the JSON": ("search", {"where": [PATH]}),
    "search, both": ("search", {"where": [TEXT, PATH]}),
    "delete, dry run": ("act", {"action": "delete", "all": True, "dry_run": True}),
    "move": ("act", {"action": "move", "to_queue": OTHER, "all": True}),
    "delete": ("act", {"action": "delete", "all": True}),
}


def body(number: int, fits: bool) -> bytes:
    """An order of SIZE bytes."""
    lines = [{"sku": f"A-{number * 7 + at:08d}", "count": at + 1, "price": 9.5 + at} for at in range(10)]
    order = {"id": number, "state": "stuck" if fits else "paid", "customer": f"c{number % 977}", "lines": lines}
    text = json.dumps({"order": order, "note": "poison" if fits else "none"})
    return (text[:-2] + " " * (SIZE - len(text)) + text[-2:]).encode()


class Broker:
    """A broker on a data directory. budget_mb: for messages in memory."""

    def __init__(self, directory: Path, budget_mb: int) -> None:
        options = ("--memory-budget", str(budget_mb * MB), "--management-port", "0", "--log-level", "error")
        self.server = Server.start("--data-dir", str(directory), *options)
        self.pid = self.server.process.pid

    def connect(self) -> Peer:
        """An AMQP client with a long timeout."""
        peer = Peer((self.server.host, self.server.port)).login()
        peer.link.socket.settimeout(PATIENCE_S)
        return peer

    def memory_mb(self, key: str) -> float:
        """Resident memory of the process: VmRSS is the current value, VmHWM the peak since its reset."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024 / MB


def declare(channel: Channel) -> None:
    """Declare the queues."""
    channel.queue(QUEUE, exclusive=False, durable=True)
    channel.queue(OTHER, exclusive=False, durable=True)


def fill(channel: Channel, count: int) -> None:
    """Publish messages, and wait until all are confirmed."""
    channel.confirm()
    properties = Properties(delivery_mode=2, content_type="application/json")
    fitting = (count // 2, count - 1)
    for first in range(0, count, BLOCK):
        numbers = range(first, min(first + BLOCK, count))
        frames = [
            BasicPublish(routing_key=QUEUE, body=body(number, number in fitting), properties=properties).frames(
                channel.number, channel.link.frame_max
            )
            for number in numbers
        ]
        channel.link.send_bytes(b"".join(frames))
        while channel.expect(BasicAck, PATIENCE_S).delivery_tag < numbers[-1] + 1:
            pass


def ask(api: str, what: str, wanted: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Search or act. Returns: seconds, and the last line of the answer. Raises: AssertionError."""
    url = f"{api}/api/leveret/queues/%2F/{QUEUE}/messages/{what}"
    request = urllib.request.Request(url, json.dumps(wanted).encode(), LOGIN)
    began_s = time.perf_counter()
    with urllib.request.urlopen(request, timeout=600) as answer:
        last = b""
        for line in answer:
            last = line
    took_s = time.perf_counter() - began_s
    found: dict[str, Any] = json.loads(last)
    assert "end" in found, found
    return took_s, found["end"]


class Measure:
    """Cases on one broker. limit_mb: maximum memory. wrong: problems found."""

    def __init__(self, broker: Broker, messages: int, acted: int, limit_mb: float) -> None:
        self.wrong: list[str] = []
        self._broker = broker
        self._messages = messages
        self._acted = acted
        self._limit_mb = limit_mb
        self._channel, self._queue = consumed(broker.connect())

    def _round_trips(self, is_over: Callable[[], bool]) -> list[float]:
        """Returns: p50, p99 and maximum in ms."""
        found = round_trips(self._channel, self._queue, self._broker.pid, EVERY_S, is_over)
        return [percentile(found, share) * 1000 for share in (0.5, 0.99, 1)]

    def run(self, name: str, pool: ProcessPoolExecutor) -> None:
        """Measure one case, and print it."""
        what, wanted = CASES[name]
        wanted = {**wanted, "limit": 50 if what == "search" else self._acted}
        until_s = time.monotonic() + ALONE_S
        alone = self._round_trips(lambda: time.monotonic() >= until_s)
        machine.forget_peak_rss(self._broker.pid)
        cpu_s = machine.cpu_seconds(self._broker.pid)
        asked = pool.submit(ask, self._broker.server.api, what, wanted)
        beside = self._round_trips(asked.done)
        took_s, end = asked.result()
        cpu_s = machine.cpu_seconds(self._broker.pid) - cpu_s
        peak_mb = self._broker.memory_mb("VmHWM")
        looked, count = end["looked"], end["found" if what == "search" else "done"]
        cells = (
            f"{looked}",
            f"{took_s:.1f}",
            f"{cpu_s:.1f}",
            *(f"{each:.1f}" for each in (*alone, *beside)),
            f"{peak_mb:.0f}",
        )
        print(f"{name:26}" + "".join(f"{cell:>10}" for cell in cells), flush=True)
        if count != (2 if what == "search" else self._acted):
            self.wrong.append(f"{name}: {count} messages")
        if what == "search" and took_s > SEARCH_S * self._messages / 1e6:
            self.wrong.append(f"{name}: {took_s:.1f} s")
        if beside[1] > alone[1] + SLOWER_MS:
            self.wrong.append(f"{name}: p99 is {beside[1] - alone[1]:+.1f} ms")
        if peak_mb > self._limit_mb:
            self.wrong.append(f"{name}: {peak_mb:.0f} MB, more than {self._limit_mb:.0f}")

    def count(self) -> None:
        """Check the remaining messages, if all cases ran."""
        left = (self._channel.ready(QUEUE), self._channel.ready(OTHER))
        if left != (self._messages - 2 * self._acted, self._acted):
            self.wrong.append(f"{left} messages are left")


def main() -> int:
    """Returns: the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000, help="in the queue (1000000)")
    parser.add_argument("--acted", type=int, default=100_000, help="that are counted, moved, deleted (100000)")
    parser.add_argument("--budget-mb", type=int, default=64, help="memory budget of the broker (64)")
    parser.add_argument(
        "--nice",
        type=int,
        default=0,
        metavar="N",
        help="niceness of broker and client while it measures: below 0, as root, on a machine that others use too",
    )
    parser.add_argument("--case", action="append", choices=list(CASES), metavar="NAME", help="only this; repeatable")
    options = parser.parse_args()
    print(", ".join(f"{key} {value}" for key, value in machine.description().items()), build_name(), flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="leveret-search-", dir=os.environ.get("TMPDIR", "/tmp")) as directory,
        ProcessPoolExecutor(1) as pool,
    ):
        broker = Broker(Path(directory), options.budget_mb)
        try:
            channel = broker.connect().channel()
            declare(channel)
            ask(broker.server.api, "search", {})
            idle_mb = broker.memory_mb("VmRSS")
            print(f"{idle_mb:.0f} MB idle, when the API was asked; memory budget {options.budget_mb} MB", flush=True)
            began_s = time.monotonic()
            fill(channel, options.messages)
            print(f"{options.messages} messages published in {time.monotonic() - began_s:.0f} s", flush=True)
            broker.server.stop()
            began_s = time.monotonic()
            broker = Broker(Path(directory), options.budget_mb)
            print(
                f"started again in {time.monotonic() - began_s:.1f} s, {broker.memory_mb('VmRSS'):.0f} MB", flush=True
            )
            heads = ("looked at", "s", "CPU s", "alone p50", "p99", "worst ms", "beside", "p99", "worst ms", "peak MB")
            print(f"{'case':26}" + "".join(f"{head:>10}" for head in heads), flush=True)
            if options.nice:
                with contextlib.suppress(OSError):  # not on this kernel
                    Path("/proc/self/autogroup").write_text(str(options.nice))
            for pid in (broker.pid, os.getpid()):
                favour(pid, options.nice)
            limit_mb = idle_mb + options.budget_mb + ROOM_MB
            measure = Measure(broker, options.messages, options.acted, limit_mb)
            for name in options.case or CASES:
                measure.run(name, pool)
            if not options.case:
                measure.count()
        finally:
            broker.server.stop()
    print("\n".join(measure.wrong) or "all aims are met", flush=True)
    return 1 if measure.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
