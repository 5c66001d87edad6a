"""A broker that keeps everything in PostgreSQL, as its users run it."""

from __future__ import annotations

import functools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pika
import pytest

from leveret.cluster import schema
from leveret.cluster.database import connect
from tests.brokers.process import Server
from tests.postgres.server import Pair, eventually

PAUSE_S = 1.5
PERSISTENT = pika.BasicProperties(delivery_mode=2)
Start = Callable[..., Server]


@pytest.fixture
def start(database_url: str) -> Iterator[Start]:
    """Starts a node in a prepared database; ends all of them."""
    with connect(database_url) as connection:
        schema.create(connection)
    servers: list[Server] = []

    def begin(*options: str, log: Path | None = None) -> Server:
        server = Server.start("--cluster", database_url, "--management-port", "off", *options, log=log)
        servers.append(server)
        return server

    yield begin
    for server in servers:
        server.process.send_signal(signal.SIGCONT)
        server.stop(signal.SIGKILL)


def opened(server: Server) -> Any:
    """A channel with confirms."""
    channel = pika.BlockingConnection(pika.URLParameters(server.url)).channel()
    channel.confirm_delivery()
    return channel


def says_that_it_waits(log: Path) -> bool:
    """Whether a node has logged that it waits for another one."""
    return log.exists() and "waits to take its place" in log.read_text()


def publish(channel: Any, count: int, first: int = 0, size: int = 0, queue: str = "q") -> None:
    """Publish numbered persistent messages, each confirmed."""
    for number in range(first, first + count):
        channel.basic_publish("", queue, str(number).encode().ljust(size), PERSISTENT)


def drained(channel: Any, queue: str = "q") -> list[tuple[int, bool]]:
    """Take all messages. Returns: number, and whether it was redelivered."""
    found: list[tuple[int, bool]] = []
    while True:
        method, _, body = channel.basic_get(queue)
        if method is None:
            return found
        found.append((int(body), method.redelivered))
        channel.basic_ack(method.delivery_tag)


def test_everything_durable_survives_a_restart(start: Start) -> None:
    server = start()
    channel = opened(server)
    channel.exchange_declare("logs", "topic", durable=True)
    channel.queue_declare("q", durable=True)
    channel.queue_bind("q", "logs", "a.#")
    publish(channel, 3)
    channel.basic_publish("logs", "a.b", b"3", PERSISTENT)
    channel.basic_publish("", "q", b"99")
    assert server.stop() == 0
    channel = opened(start())
    channel.exchange_declare("logs", passive=True)
    channel.basic_publish("logs", "a.c", b"4", PERSISTENT)
    assert drained(channel) == [(number, False) for number in range(5)]


def test_a_killed_node_is_replaced(start: Start) -> None:
    server = start()
    channel = opened(server)
    channel.queue_declare("q", durable=True)
    publish(channel, 20)
    server.stop(signal.SIGKILL)
    began_s = time.monotonic()
    channel = opened(start())
    assert time.monotonic() - began_s < 30
    assert drained(channel) == [(number, True) for number in range(20)]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_a_second_node_waits_and_takes_the_place_of_the_first(
    start: Start, database_url: str, tmp_path: Path, sig: signal.Signals
) -> None:
    first = start("--standby", "--node", "first")
    channel = opened(first)
    channel.queue_declare("q", durable=True)
    publish(channel, 3)
    log = tmp_path / "log"
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(start, "--standby", "--node", "second", log=log)
        eventually(functools.partial(says_that_it_waits, log), "the second node waits")
        assert "node 'first' uses this database: this node waits to take its place" in log.read_text()
        publish(channel, 3, first=3)
        first.stop(sig)
        second = opened(waiting.result(30))
    assert drained(second) == [(number, sig == signal.SIGKILL) for number in range(6)]


def test_of_several_waiting_nodes_one_takes_all(start: Start, database_url: str, tmp_path: Path) -> None:
    first = start("--standby", "--node", "0")
    logs = [tmp_path / str(number) for number in range(3)]
    with ThreadPoolExecutor() as pool:
        started = enumerate(logs, 1)
        waiting = [pool.submit(start, "--standby", "--node", str(number), log=log) for number, log in started]
        for log in logs:
            eventually(functools.partial(says_that_it_waits, log), "all wait")
        heirs = [first]
        for _ in logs:
            heirs[-1].stop(signal.SIGKILL)
            done, _ = wait(waiting, 30, FIRST_COMPLETED)
            (heir,) = [each for each in done if each.result() not in heirs]
            waiting.remove(heir)
            heirs.append(heir.result())
            channel = opened(heirs[-1])
            channel.queue_declare("q", durable=True)
            publish(channel, 1, first=len(heirs))
        assert [number for number, _ in drained(channel)] == [2, 3, 4]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--standby", "--memory"), "--standby requires a database: give its URL with cluster"),
        (("--node", "a\nb", "--memory"), "--node cannot be "),
        (("--node", "a" * 101, "--memory"), "--node cannot be "),
    ],
)
def test_settings_that_make_no_sense(options: tuple[str, ...], reason: str) -> None:
    command = [sys.executable, "-m", "leveret", "serve", "--port", "0", *options]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert reason in refused.stderr


def test_a_database_without_tables(database_url: str) -> None:
    command = [sys.executable, "-m", "leveret", "serve", "--port", "0", "--cluster", database_url]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "leveret cluster init" in refused.stderr


def test_more_messages_than_fit_into_memory(start: Start) -> None:
    server = start("--memory-budget", "1000000")
    channel = opened(server)
    channel.queue_declare("q", durable=True)
    channel.queue_declare("transient")
    publish(channel, 300, size=20_000)
    for number in range(300):
        channel.basic_publish("", "transient", str(number).encode().ljust(20_000))
    assert drained(channel) == [(number, False) for number in range(300)]
    assert drained(channel, "transient") == [(number, False) for number in range(300)]


@pytest.mark.parametrize("how", ["kill", "stop", "pause"])
def test_a_database_that_is_away_refuses_nothing(start: Start, postgres: Pair, how: str) -> None:
    server = start()
    channel = opened(server)
    channel.queue_declare("q", durable=True)
    publish(channel, 10)
    primary = postgres.primary
    for round_ in range(1, 4):
        getattr(primary, how)()
        channel.connection.add_callback_threadsafe(lambda: None)
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"]).wait()
        primary.resume() if how == "pause" else primary.start()
        publish(channel, 10, first=10 * round_)
    assert drained(channel) == [(number, False) for number in range(40)]
    assert server.stop() == 0


def test_nothing_is_delivered_while_the_database_is_away(start: Start, postgres: Pair) -> None:
    server = start()
    channel = opened(server)
    channel.queue_declare("q", durable=True)
    publish(channel, 4)
    channel.basic_qos(prefetch_count=1)
    found: list[tuple[int, bool]] = []

    def take(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        found.append((int(body), method.redelivered))
        channel.basic_ack(method.delivery_tag)

    postgres.primary.pause()
    time.sleep(PAUSE_S)
    channel.basic_consume("q", take)
    transient = pika.BlockingConnection(pika.URLParameters(server.url)).channel()
    transient.queue_declare("own", exclusive=True)
    transient.basic_publish("", "own", b"1")
    assert drained(transient, "own") == [(1, False)]
    channel.connection.process_data_events(time_limit=1)
    assert found == []
    postgres.primary.resume()
    deadline = time.monotonic() + 30
    while len(found) < 4 and time.monotonic() < deadline:
        channel.connection.process_data_events(time_limit=0.1)
    assert found == [(number, False) for number in range(4)]


def test_a_get_waits_while_the_database_is_away(start: Start, postgres: Pair) -> None:
    channel = opened(start())
    channel.queue_declare("q", durable=True)
    publish(channel, 1)
    postgres.primary.pause()
    threading.Timer(2 * PAUSE_S, postgres.primary.resume).start()
    time.sleep(PAUSE_S)
    began_s = time.monotonic()
    method, _, body = channel.basic_get("q", auto_ack=True)
    assert (method is not None, body) == (True, b"0")
    assert time.monotonic() - began_s > PAUSE_S / 2


def test_a_node_that_was_stopped_too_long_ends(start: Start, tmp_path: Path) -> None:
    first = start("--node", "first", log=tmp_path / "log")
    channel = opened(first)
    channel.queue_declare("q", durable=True)
    publish(channel, 5)
    first.process.send_signal(signal.SIGSTOP)
    second = start("--node", "second")
    other = opened(second)
    publish(other, 5, first=5)
    first.process.send_signal(signal.SIGCONT)
    assert first.process.wait(30) == 1
    assert "this node stops: another node has declared it dead" in (tmp_path / "log").read_text()
    assert drained(other) == [(number, number < 5) for number in range(10)]
