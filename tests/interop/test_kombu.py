"""kombu: what Celery builds on, from connection pools to virtual queues and pub/sub mailboxes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import kombu
import kombu.pools
import pytest
from amqp.exceptions import MessageNacked
from kombu.pidbox import Mailbox
from kombu.pools import connections, producers

from .conftest import HEADERS


@pytest.fixture
def connection(amqp_url: str) -> Iterator[Any]:
    """A connection."""
    with kombu.Connection(amqp_url) as connection:
        yield connection


def test_it_takes_us_for_what_it_knows(connection: Any) -> None:
    connection.connect()
    assert connection.transport.driver_type == "amqp"
    assert connection.connection.server_properties["product"] == "RabbitMQ"
    assert not connection.qos_semantics_matches_spec  # its shared prefetch window can be changed under consumers
    assert connection.transport.implements.exchange_type >= {"direct", "topic", "fanout", "headers"}


def test_declare_publish_consume(connection: Any, name: str) -> None:
    exchange = kombu.Exchange(name, "topic", auto_delete=True, durable=False)
    queue = kombu.Queue(name, exchange, routing_key="a.#", exclusive=True, expires=60, message_ttl=30, max_length=10)
    got: list[Any] = []

    def take(body: Any, message: Any) -> None:
        got.append(body)
        message.ack()

    with connection.Consumer([queue], callbacks=[take]):
        producer = connection.Producer()
        for body in ({"json": [1, "two", None]}, "text", b"bytes"):
            headers = {key: value for key, value in HEADERS.items() if key not in ("when", "decimal")}
            producer.publish(body, exchange=exchange, routing_key="a.b.c", headers=headers, retry=True)
        while len(got) < 3:
            connection.drain_events(timeout=30)
    assert got == [{"json": [1, "two", None]}, "text", b"bytes"]


def test_a_simple_queue_with_compression(connection: Any, name: str) -> None:
    options = {"exclusive": True, "durable": False}
    queue = connection.SimpleQueue(name, queue_opts=options, exchange_opts={"auto_delete": True}, no_ack=True)
    queue.put({"n": 1}, compression="zlib", serializer="json")
    assert queue.get(timeout=30).payload == {"n": 1}
    with pytest.raises(queue.Empty):
        queue.get_nowait()
    queue.close()


def test_confirms(amqp_url: str) -> None:
    with kombu.Connection(amqp_url, transport_options={"confirm_publish": True}) as connection:
        channel = connection.channel()
        queue = kombu.Queue(
            "", exclusive=True, channel=channel, max_length=0, queue_arguments={"x-overflow": "reject-publish"}
        )
        queue.queue_declare()
        with pytest.raises(MessageNacked):
            connection.Producer(channel).publish("refused", routing_key=queue.name)


def test_rejects_and_requeues(connection: Any) -> None:
    channel = connection.channel()
    queue = kombu.Queue("", exclusive=True, channel=channel)
    queue.queue_declare()
    connection.Producer(channel).publish("again", routing_key=queue.name)
    first = queue.get()
    first.requeue()
    second = queue.get()
    assert second.delivery_info["redelivered"] is True
    second.reject()
    assert queue.get() is None
    assert queue.purge() == 0


def test_a_mailbox(connection: Any, name: str) -> None:
    mailbox = Mailbox(name, type="fanout", connection=connection)
    node = mailbox.Node("worker", channel=connection.channel())
    node.handlers["add"] = lambda state, a, b: {"sum": a + b}
    consumer = node.listen()
    box: list[Any] = []

    def serve() -> None:
        with kombu.Connection(connection.as_uri(include_password=True)) as other:
            asking = Mailbox(name, type="fanout", connection=other)
            box.append(asking.call(["worker"], "add", {"a": 1, "b": 2}, timeout=30, channel=other.channel()))

    caller = threading.Thread(target=serve)
    caller.start()
    while caller.is_alive():
        with contextlib.suppress(socket.timeout):
            connection.drain_events(timeout=0.1)
    caller.join()
    consumer.cancel()
    assert box == [[{"worker": {"sum": 3}}]]


def test_pools_and_retries(amqp_url: str) -> None:
    connection = kombu.Connection(amqp_url)
    with connections[connection].acquire(block=True) as one, producers[connection].acquire(block=True) as producer:
        channel = one.channel()
        queue = kombu.Queue("", exclusive=True, channel=channel)
        queue.queue_declare()
        producer.publish("pooled", routing_key=queue.name, retry=True, retry_policy={"max_retries": 2})
        assert queue.get(no_ack=True).payload == "pooled"
        one.collect()  # the socket goes away without a word
        one.ensure_connection(max_retries=3)
        fresh = kombu.Queue("", exclusive=True, channel=one.channel())
        assert fresh.queue_declare().message_count == 0
    kombu.pools.reset()
