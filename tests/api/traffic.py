"""A little of everything that metrics count, made the same way in Leveret and in RabbitMQ."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pika
from pika.adapters.blocking_connection import BlockingChannel

from tests.api.http import Http

VHOST = "metrics"
SIZES = (10, 1_000, 20_000)
PERSISTENT = pika.BasicProperties(delivery_mode=2, timestamp=1_700_000_000)


@contextmanager
def traffic(host: str, port: int, api: str) -> Iterator[pika.BlockingConnection]:
    """In a virtual host of its own: a queue of each type, published to, got from, consumed, acked.

    Six messages are published through the default exchange and six through another, one of which goes nowhere. There
    is one ack, one basic.get of each kind and one that finds nothing; the rest waits, for consumers or for acks.
    """
    http = Http(api)
    http.ask("PUT", f"vhosts/{VHOST}", {}).expect(201, 204)
    http.ask("PUT", f"permissions/{VHOST}/guest", {"configure": ".*", "write": ".*", "read": ".*"}).expect(201, 204)
    try:
        with pika.BlockingConnection(pika.ConnectionParameters(host, port, VHOST)) as made:
            _publish(made.channel())
            _consume(made, made.channel())
            yield made
    finally:
        http.ask("DELETE", f"vhosts/{VHOST}").expect(204)


def _publish(channel: BlockingChannel) -> None:
    channel.exchange_declare("events", "topic")
    channel.queue_declare("plain")
    channel.queue_declare("empty")
    channel.queue_declare("ledger", durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind("plain", "events", "order")
    channel.queue_bind("ledger", "events", "order")
    channel.confirm_delivery()
    for size in SIZES:
        channel.basic_publish("events", "order", b"x" * size, PERSISTENT)
        channel.basic_publish("", "plain", b"x")
    channel.basic_publish("events", "nowhere", b"x")


def _consume(made: pika.BlockingConnection, channel: BlockingChannel) -> None:
    got: list[int] = []
    channel.basic_qos(prefetch_count=2)
    channel.basic_consume("plain", lambda _, method, *__: got.append(method.delivery_tag))
    channel.basic_consume("ledger", lambda *_: None)
    until = time.monotonic() + 20
    while not got and time.monotonic() < until:
        made.process_data_events(0.1)
    channel.basic_ack(got[0])
    channel.basic_get("plain")
    channel.basic_get("ledger", auto_ack=True)
    channel.basic_get("empty")
