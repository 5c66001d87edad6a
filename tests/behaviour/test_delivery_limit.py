"""How often a message is delivered again, and for how long a delivery may wait for its acknowledgement."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.codec import Timestamp, Typed
from tests.clients.methods import ChannelClose, ChannelCloseOk
from tests.clients.methods_basic import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetOk,
    BasicNack,
    BasicRecover,
    BasicReject,
)
from tests.clients.peer import Channel, Peer, start_ok
from tests.marks import differs_from_rabbitmq

from .conftest import Names

only_here = differs_from_rabbitmq("RabbitMQ has no delivery limit for classic queues")
TYPES = ["quorum", pytest.param("classic", marks=only_here)]


def declare(channel: Channel, names: Names, dead: str, type_: str, **arguments: Any) -> str:
    """Declare a queue that may be quorum."""
    return channel.queue(
        names.queue(),
        exclusive=False,
        durable=True,
        x_queue_type=type_,
        x_dead_letter_exchange="",
        x_dead_letter_routing_key=dead,
        **arguments,
    )


def get(channel: Channel, queue: str) -> BasicGetOk:
    """Wait for the message and get it."""
    channel.expect_ready(queue, 1)
    return channel.get(queue)


def counts(message: BasicGetOk) -> tuple[int | None, int | None]:
    """Return x-delivery-count and x-acquired-count."""
    headers = message.properties.headers or {}
    return headers.get("x-delivery-count"), headers.get("x-acquired-count")


def by_reject(channel: Channel, message: BasicGetOk) -> None:
    """Requeue with basic.reject."""
    channel.send(BasicReject(delivery_tag=message.delivery_tag, requeue=True))


def by_closing(channel: Channel, message: BasicGetOk) -> None:
    """Requeue by closing the channel."""
    channel.close()
    channel.open()


def by_nack(channel: Channel, message: BasicGetOk) -> None:
    """Requeue with basic.nack."""
    channel.send(BasicNack(delivery_tag=message.delivery_tag, requeue=True))


def by_recover(channel: Channel, message: BasicGetOk) -> None:
    """Requeue with basic.recover."""
    channel.call(BasicRecover(requeue=True))


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("give_back", [by_reject, by_closing])
def test_the_limit_ends_a_message(
    channel: Channel, names: Names, dead: str, type_: str, give_back: Callable[[Channel, BasicGetOk], None]
) -> None:
    queue = declare(channel, names, dead, type_, x_delivery_limit=2)
    channel.publish(queue, b"x", headers={"own": 1})
    for _ in range(3):
        message = get(channel, queue)
        give_back(channel, message)
    channel.expect_ready(dead, 1)
    letter = channel.get(dead, no_ack=True)
    headers = letter.properties.headers or {}
    (death,) = headers["x-death"]
    assert (death["reason"], death["queue"], death["count"]) == ("delivery_limit", queue, 1)
    assert (headers["x-first-death-reason"], headers["own"]) == ("delivery_limit", 1)
    assert counts(letter) == (None, None)
    assert channel.ready(queue) == 0


@pytest.mark.parametrize("type_", TYPES)
def test_the_limit_drops_a_message(channel: Channel, names: Names, type_: str) -> None:
    queue = channel.queue(names.queue(), exclusive=False, durable=True, x_queue_type=type_, x_delivery_limit=1)
    channel.publish(queue, b"x")
    for _ in range(2):
        by_reject(channel, get(channel, queue))
    channel.expect_silence(0.2)
    assert channel.bodies(queue) == []


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("give_back", [by_nack, by_recover])
def test_not_every_return_counts(
    channel: Channel, names: Names, dead: str, type_: str, give_back: Callable[[Channel, BasicGetOk], None]
) -> None:
    queue = declare(channel, names, dead, type_, x_delivery_limit=2)
    channel.publish(queue, b"x")
    for _ in range(5):
        give_back(channel, get(channel, queue))
    assert get(channel, queue).redelivered
    assert channel.ready(dead) == 0


@pytest.mark.parametrize("type_", TYPES)
def test_limit_zero_allows_one_delivery(channel: Channel, names: Names, dead: str, type_: str) -> None:
    queue = declare(channel, names, dead, type_, x_delivery_limit=0)
    channel.publish(queue, b"x")
    by_reject(channel, get(channel, queue))
    channel.expect_ready(dead, 1)


def test_counts_in_the_headers(channel: Channel, names: Names, dead: str) -> None:
    queue = declare(channel, names, dead, "quorum")
    channel.publish(queue, b"x", headers={"z": 1, "a": 2})
    message = get(channel, queue)
    assert (message.redelivered, counts(message)) == (False, (None, None))
    expected = [(None, 1), (1, 2), (1, 3), (2, 4)]
    for give_back, count in zip((by_nack, by_reject, by_nack, by_reject), expected, strict=True):
        give_back(channel, message)
        message = get(channel, queue)
        assert (message.redelivered, counts(message)) == (True, count)
    typed = message.properties.typed_headers
    assert [typed[name].tag for name in ("x-delivery-count", "x-acquired-count")] == ["l", "l"]
    assert list(typed) == ["a", "x-acquired-count", "x-delivery-count", "z"]
    channel.send(BasicNack(delivery_tag=message.delivery_tag))
    channel.expect_ready(dead, 1)
    letter = channel.get(dead, no_ack=True)
    assert counts(letter) == (None, None)
    assert (letter.properties.headers or {})["x-first-death-reason"] == "rejected"


def test_classic_queues_show_no_counts(channel: Channel, queue: str) -> None:
    channel.publish(queue, b"x")
    for _ in range(25):
        by_reject(channel, channel.get(queue))
    message = channel.get(queue)
    assert (message.redelivered, message.properties.headers) == (True, None)


@pytest.mark.parametrize("limit", [None, -1])
def test_quorum_queues_have_a_limit_by_default(channel: Channel, names: Names, dead: str, limit: int | None) -> None:
    arguments = {} if limit is None else {"x_delivery_limit": limit}
    queue = declare(channel, names, dead, "quorum", **arguments)
    channel.publish(queue, b"x")
    for _ in range(21):
        by_reject(channel, get(channel, queue))
    channel.expect_ready(dead if limit is None else queue, 1)


def test_lost_connection_counts(connect: Callable[..., Peer], channel: Channel, names: Names, dead: str) -> None:
    queue = declare(channel, names, dead, "quorum", x_delivery_limit=1)
    channel.publish(queue, b"x")
    for _ in range(2):
        channel.expect_ready(queue, 1)
        other = connect()
        other.channel().get(queue)
        other.link.close()
    channel.expect_ready(dead, 1)


TIMED_OUT = (
    r"PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out\. Timeout value used: {} ms\. "
    r"This timeout value can be configured, see consumers doc guide to learn more"
)


@pytest.mark.parametrize("way", [BasicGet, BasicConsume])
def test_acknowledgement_comes_too_late(
    connect: Callable[..., Peer], channel: Channel, names: Names, way: type[BasicGet] | type[BasicConsume]
) -> None:
    queue = channel.queue(names.queue(), exclusive=False, durable=True, x_queue_type="quorum", x_consumer_timeout=400)
    channel.publish(queue, b"x")
    channel.expect_ready(queue, 1)
    slow = connect(start_ok(capabilities={})).channel()
    slow.send(way(queue=queue))
    if way is BasicConsume:
        slow.expect(BasicConsumeOk)
        slow.expect(BasicDeliver)
    else:
        slow.expect(BasicGetOk)
    close = slow.expect(ChannelClose)
    assert (close.reply_code, close.class_id, close.method_id) == (406, 0, 0)
    assert re.fullmatch(TIMED_OUT.format(r"(400|-1)"), close.reply_text)  # 4.3 says -1 where 4.2 said the value
    slow.send(ChannelCloseOk())
    message = get(channel, queue)
    assert (message.redelivered, message.body) == (True, b"x")


@differs_from_rabbitmq("RabbitMQ 4.3 has the timeout for quorum queues only")
def test_only_the_oldest_delivery_counts(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_consumer_timeout=1000)
    channel.consume(queue)
    for _ in range(4):
        channel.publish(queue, b"x")
        tag = channel.expect(BasicDeliver).delivery_tag
        channel.expect_silence(0.35)
        channel.send(BasicAck(delivery_tag=tag))
    channel.publish(queue, b"x")
    channel.expect(BasicDeliver)
    channel.expect_silence(0.2)
    assert re.fullmatch(TIMED_OUT.format("1000"), channel.expect(ChannelClose).reply_text)


def test_no_acknowledgement_no_timeout(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.queue(), exclusive=False, durable=True, x_queue_type="quorum", x_consumer_timeout=200)
    channel.consume(queue, no_ack=True)
    channel.publish(queue, b"x")
    channel.expect(BasicDeliver)
    channel.expect_silence(0.5)


@pytest.mark.parametrize(
    ("argument", "limit"), [(True, 20), (2.5, 20), ("3", 20), ([], 20), (Timestamp(3), 3), (Typed("l", 3), 3)], ids=repr
)
def test_what_is_no_number_is_no_limit_of_its_own(
    channel: Channel, names: Names, dead: str, argument: object, limit: int
) -> None:
    queue = declare(channel, names, dead, "quorum", x_delivery_limit=argument)
    channel.publish(queue, b"x")
    for _ in range(limit + 1):
        by_reject(channel, get(channel, queue))
    channel.expect_ready(dead, 1)


@pytest.mark.parametrize("argument", [Typed("l", (1 << 63) - 1), Typed("l", -(1 << 63)), Timestamp((1 << 64) - 1)])
def test_limits_that_nothing_reaches(channel: Channel, names: Names, dead: str, argument: object) -> None:
    queue = declare(channel, names, dead, "quorum", x_delivery_limit=argument)
    channel.publish(queue, b"x")
    for _ in range(25):
        by_reject(channel, get(channel, queue))
    channel.expect_ready(queue, 1)


@pytest.mark.parametrize("value", [5, Typed("l", (1 << 63) - 1), Typed("l", -5), "x"])
@pytest.mark.parametrize("name", ["x-acquired-count", "x-delivery-count"])
def test_counts_that_a_client_has_written(channel: Channel, names: Names, dead: str, name: str, value: Any) -> None:
    queue = declare(channel, names, dead, "quorum")
    channel.publish(queue, b"x", headers={name: value})
    said = value.value if isinstance(value, Typed) else value
    acquired, failed = (said, None) if name == "x-acquired-count" else (None, said)
    for give_back, count in ((by_nack, (failed, acquired)), (by_reject, (failed, 1)), (by_nack, (1, 2))):
        message = get(channel, queue)
        assert counts(message) == count
        give_back(channel, message)
