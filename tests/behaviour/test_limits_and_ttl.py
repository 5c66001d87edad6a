"""Limits of length, time to live of messages, and queues that expire."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.clients.methods import QueueDeclare
from tests.clients.methods_basic import (
    BasicAck,
    BasicCancel,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
)
from tests.clients.peer import Channel

from .conftest import Names

FIVE = [b"1", b"2", b"3", b"4", b"5"]

LIMITS: list[tuple[dict[str, Any], list[bytes]]] = [
    ({"x_max_length": 3}, FIVE[2:]),
    ({"x_max_length": 0}, []),
    ({"x_max_length": 5}, FIVE),
    ({"x_max_length_bytes": 3}, FIVE[2:]),
    ({"x_max_length_bytes": 0}, []),
    ({"x_max_length": 4, "x_max_length_bytes": 2}, FIVE[3:]),
    ({"x_max_length": 2, "x_max_length_bytes": 100}, FIVE[3:]),
    ({"x_max_length": 3, "x_overflow": "drop-head"}, FIVE[2:]),
    ({"x_max_length": 3, "x_overflow": "reject-publish"}, FIVE[:3]),
    ({"x_max_length_bytes": 3, "x_overflow": "reject-publish"}, FIVE[:3]),
]


@pytest.mark.parametrize(("limit", "left"), LIMITS, ids=str)
def test_length(channel: Channel, names: Names, limit: dict[str, Any], left: list[bytes]) -> None:
    queue = channel.queue(names.plain(), **limit)
    channel.confirm()
    for body in FIVE:
        channel.publish(queue, body)
        channel.next()
    assert channel.bodies(queue) == left


def test_bytes_are_those_of_bodies(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_max_length_bytes=100)
    channel.publish(queue, b"x" * 60, headers={"long": "h" * 500}, message_id="m" * 200)
    assert len(channel.bodies(queue)) == 1
    channel.publish(queue, b"a" * 60, b"b" * 60)
    assert channel.bodies(queue) == [b"b" * 60]
    channel.publish(queue, b"too large at all" * 10)
    assert channel.bodies(queue) == []


def test_unacknowledged_messages_do_not_count(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_max_length=2)
    channel.publish(queue, b"1", b"2")
    for _ in range(2):
        channel.get(queue)
    channel.publish(queue, b"3", b"4")
    channel.expect_ready(queue, 2)
    channel.send(BasicNack(multiple=True, requeue=True))
    assert channel.bodies(queue) == [b"3", b"4"]


def test_dropped_messages_are_confirmed(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_max_length=0)
    channel.confirm()
    channel.publish(queue, b"x", mandatory=True)
    assert channel.expect(BasicAck).delivery_tag == 1


def test_consumer_takes_what_a_full_queue_would_drop(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_max_length=0)
    channel.consume(queue, no_ack=True)
    channel.publish(queue, b"x")
    assert channel.expect(BasicDeliver).body == b"x"


def expect_empty(channel: Channel, queue: str) -> None:
    """Check that nothing is ready."""
    channel.send(BasicGet(queue=queue, no_ack=True))
    channel.expect(BasicGetEmpty)


# Arguments of the queue and expiration of the message, both leading to 30 ms.
TTL: list[tuple[dict[str, int], str | None]] = [
    ({"x_message_ttl": 30}, None),
    ({}, "30"),
    ({"x_message_ttl": 30}, "600000"),
    ({"x_message_ttl": 600_000}, "30"),
]


@pytest.mark.parametrize(("arguments", "expiration"), TTL, ids=str)
def test_time_to_live(channel: Channel, names: Names, arguments: dict[str, Any], expiration: str | None) -> None:
    queue = channel.queue(names.plain(), **arguments)
    channel.confirm()
    channel.confirmed(queue, b"x", expiration=expiration)
    time.sleep(0.06)
    expect_empty(channel, queue)
    channel.expect_ready(queue, 0)


def test_still_alive_before(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_message_ttl=60_000)
    channel.publish(queue, b"x")
    assert channel.bodies(queue) == [b"x"]


@pytest.mark.parametrize(("arguments", "expiration"), [({"x_message_ttl": 0}, None), ({}, "0")], ids=str)
def test_nothing_to_live_needs_a_consumer_at_once(
    channel: Channel, names: Names, arguments: dict[str, Any], expiration: str | None
) -> None:
    queue = channel.queue(names.plain(), **arguments)
    channel.publish(queue, b"lost", expiration=expiration)
    expect_empty(channel, queue)
    channel.consume(queue, no_ack=True)
    channel.publish(queue, b"taken", expiration=expiration)
    assert channel.expect(BasicDeliver).body == b"taken"


def test_nothing_to_live_makes_dead_letters(channel: Channel, names: Names) -> None:
    dead = channel.queue(names.plain())
    queue = channel.queue(names.plain(), x_message_ttl=0, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    channel.publish(queue, b"x")
    channel.expect_ready(dead, 1)
    assert (channel.get(dead).properties.headers or {})["x-first-death-reason"] == "expired"


def test_quorum_queues_expire_at_the_head_only(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.queue(), exclusive=False, durable=True, x_queue_type="quorum")
    channel.confirm()
    channel.confirmed(queue, b"long", expiration="600000")
    channel.confirmed(queue, b"short", expiration="20")
    time.sleep(0.3)
    assert channel.ready(queue) == 2
    assert channel.bodies(queue) == [b"long"]
    channel.expect_ready(queue, 0)


def test_messages_expire_at_the_head_only(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain())
    channel.confirm()
    channel.confirmed(queue, b"long", expiration="600000")
    channel.confirmed(queue, b"short", expiration="20")
    time.sleep(0.06)
    assert channel.ready(queue) == 2
    assert channel.get(queue, no_ack=True).body == b"long"
    expect_empty(channel, queue)


def publish_and_get(channel: Channel, queue: str) -> BasicGetOk:
    """A message that is fetched as soon as it is there, before it could expire."""
    channel.send(BasicPublish(routing_key=queue, body=b"x"), BasicGet(queue=queue))
    return channel.expect(BasicGetOk)


def test_requeued_messages_keep_their_deadline(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_message_ttl=300)
    message = publish_and_get(channel, queue)
    time.sleep(0.35)
    channel.send(BasicNack(delivery_tag=message.delivery_tag, requeue=True))
    expect_empty(channel, queue)


def test_delivered_messages_do_not_expire(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_message_ttl=200)
    message = publish_and_get(channel, queue)
    time.sleep(0.25)
    channel.send(BasicAck(delivery_tag=message.delivery_tag))
    channel.expect_silence()


def test_expiration_travels_with_the_message(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain())
    channel.publish(queue, b"x", expiration="600000")
    assert channel.get(queue).properties.expiration == "600000"


EXPIRES_MS = 150
USED_MS = 1500  # so long a busy machine may keep a client from using its queue


def gone(channel: Channel, queue: str) -> None:
    """Check that a queue does not exist."""
    passive = QueueDeclare(queue=queue, passive=True)
    channel.expect_refused(passive, 404, f"no queue '{queue}' in vhost '/'")


def test_unused_queue_expires(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.queue(), exclusive=False, x_expires=EXPIRES_MS)
    channel.publish(queue, b"does not count as use")
    channel.pause(3 * EXPIRES_MS / 1000)
    gone(channel, queue)


def test_use_keeps_a_queue(channel: Channel, names: Names) -> None:
    got, declared, consumed = (channel.queue(names.queue(), exclusive=False, x_expires=USED_MS) for _ in range(3))
    channel.consume(consumed, "tag")
    end = time.monotonic() + 1.5 * USED_MS / 1000
    while time.monotonic() < end:
        time.sleep(0.05)
        expect_empty(channel, got)
        channel.queue(declared, exclusive=False, x_expires=USED_MS)
    for queue in (got, declared, consumed):
        channel.ready(queue)
    channel.call(BasicCancel(consumer_tag="tag"))
    channel.pause(1.5 * USED_MS / 1000)
    for queue in (got, declared, consumed):
        gone(channel, queue)
