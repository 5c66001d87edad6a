"""Delayed messages and deduplication over the end of the process, with a real client and a real disk."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests.brokers.process import Server
from tests.node.movable import MovableTime

DEADLINE_S = 20


def publish(channel: BlockingChannel, exchange: str, body: str, **headers: object) -> None:
    """A persistent message, confirmed."""
    properties = pika.BasicProperties(delivery_mode=2, headers=headers)
    channel.basic_publish(exchange, "k", body.encode(), properties)


def bodies(channel: BlockingChannel, count: int) -> list[bytes]:
    """So many messages from the queue, waited for."""
    found: list[bytes] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(found) < count and time.monotonic() < deadline:
        method, _, body = channel.basic_get("q", auto_ack=True)
        if method is not None:
            found.append(body)
    return found


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_confirmed_is_there_after_the_end(tmp_path: Path, number: signal.Signals) -> None:
    data = str(tmp_path / "data")
    moved = MovableTime(tmp_path)
    server = Server.start("--data-dir", data, env=moved.environment)
    try:
        with pika.BlockingConnection(pika.URLParameters(f"{server.url}?heartbeat=0")) as connection:
            channel = connection.channel()
            channel.queue_declare("q", durable=True)
            for name, kind, arguments in (
                ("later", "x-delayed-message", {"x-delayed-type": "direct"}),
                ("once", "x-message-deduplication", {"x-cache-size": 100}),
            ):
                channel.exchange_declare(name, kind, durable=True, arguments=arguments)
                channel.queue_bind("q", name, "k")
            channel.confirm_delivery()
            publish(channel, "later", "overdue", **{"x-delay": 60_000})
            publish(channel, "later", "not yet due", **{"x-delay": 600_000})
            publish(channel, "once", "first", **{"x-deduplication-header": "a"})
            server.stop(number)
    except pika.exceptions.AMQPError:
        pass
    moved.let_pass(60)
    server = Server.start("--data-dir", data, env=moved.environment)
    try:
        with pika.BlockingConnection(pika.URLParameters(f"{server.url}?heartbeat=0")) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            publish(channel, "once", "second", **{"x-deduplication-header": "a"})
            publish(channel, "once", "third", **{"x-deduplication-header": "b"})
            assert sorted(bodies(channel, 3)) == [b"first", b"overdue", b"third"]
            moved.let_pass(600)
            assert bodies(channel, 1) == [b"not yet due"]
    finally:
        assert server.stop() == 0
