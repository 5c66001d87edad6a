"""The metrics of many queues: complete, in pieces, and without the memory for a whole page."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pika
import pytest

from leveret.api.metrics.endpoint import MOST
from tests.api.exposition import fetch
from tests.api.http import Http
from tests.brokers.process import Server, free_port

QUEUES = 10_000
ROUND_TRIPS = 50
PATIENCE_S = 0.25  # of a bystander; a page takes many seconds
MEMORY = 12 << 20  # bytes that a scrape may add, of a page with twice as many


class Place:
    """A broker with many queues."""

    def __init__(self, server: Server, metrics: int) -> None:
        self.server = server
        self.port = metrics
        self.url = f"http://127.0.0.1:{metrics}"

    def resident(self) -> int:
        """Bytes of memory of its process."""
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) << 10


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    file = tmp_path_factory.mktemp("many") / "definitions.json"
    queues = [
        {"name": f"queue-{number:06}", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
        for number in range(QUEUES)
    ]
    file.write_text(json.dumps({"vhosts": [{"name": "/"}], "users": [], "permissions": [], "queues": queues}))
    metrics = free_port()
    server = Server.start("--memory", "--definitions", str(file), "--metrics-port", str(metrics))
    found = Place(server, metrics)
    fetch(f"{found.url}/metrics")
    yield found
    assert server.stop() == 0


def test_a_page_has_all_of_them(place: Place) -> None:
    page = fetch(f"{place.url}/metrics/detailed?family=queue_coarse_metrics&family=leveret_queue_metrics")
    for name in ("rabbitmq_detailed_queue_messages", "leveret_detailed_queue_messages_published_total"):
        assert sum(line.startswith(f"{name}{{") for line in page.splitlines()) == QUEUES
    assert "rabbitmq_queues 10000\n" in fetch(f"{place.url}/metrics")


def ask(place: Place, page: str) -> socket.socket:
    """Ask for a page, and do not read it."""
    asked = socket.create_connection(("127.0.0.1", place.port))
    asked.sendall(f"GET {page} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return asked


def test_a_page_is_never_held_whole(place: Place) -> None:
    before = place.resident()
    most, size = 0, 0
    with ask(place, "/metrics/per-object") as asked:
        while piece := asked.recv(1 << 20):
            size += len(piece)
            most = max(most, place.resident())
    assert size > 2 * MEMORY  # or it would prove nothing
    assert most - before < MEMORY


def test_others_are_served_meanwhile(place: Place) -> None:
    with pika.BlockingConnection(pika.URLParameters(place.server.url)) as made:
        channel = made.channel()
        with ask(place, "/metrics/per-object") as asked:
            asked.setblocking(False)
            spent = []
            for _ in range(ROUND_TRIPS):
                began_s = time.perf_counter()
                channel.queue_declare("queue-000000", passive=True)
                spent.append(time.perf_counter() - began_s)
                with suppress(BlockingIOError):
                    while asked.recv(1 << 20):
                        pass
    assert sorted(spent)[ROUND_TRIPS // 2] < PATIENCE_S


def test_there_are_only_so_many_scrapes_at_once_and_who_goes_away_makes_room(place: Place) -> None:
    with ExitStack() as open_ones:
        for _ in range(MOST):
            open_ones.enter_context(ask(place, "/metrics/per-object"))
        _until(place, 503)
    _until(place, 200)


def _until(place: Place, status: int) -> None:
    """Another scrape is answered so, at the latest after a while."""
    http = Http(place.url, user="")
    for _ in range(100):
        if http.ask("GET", "/metrics/memory-breakdown").status == status:
            return
        time.sleep(0.1)
    raise AssertionError(f"never a {status}")
