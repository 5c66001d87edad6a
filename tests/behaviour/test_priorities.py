"""Priority queues, priorities of consumers, and the single active consumer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.methods import QueueDeclare
from tests.clients.methods_basic import BasicAck, BasicCancel, BasicConsume, BasicDeliver, BasicNack
from tests.clients.peer import Channel, Peer
from tests.marks import differs_from_rabbitmq

from .conftest import Names


def publish(channel: Channel, queue: str, *priorities: int | None) -> None:
    """Publish messages that carry their number and priority as body."""
    for number, priority in enumerate(priorities):
        channel.publish(queue, f"{number}:{priority}".encode(), priority=priority)


def test_highest_first(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_max_priority=10)
    publish(channel, queue, 1, 5, None, 10, 5, 0)
    channel.expect_ready(queue, 6)
    assert channel.bodies(queue) == [b"3:10", b"1:5", b"4:5", b"0:1", b"2:None", b"5:0"]


def test_priorities_above_the_maximum_are_the_maximum(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_max_priority=5)
    publish(channel, queue, 1, 255, 5, 200)
    channel.expect_ready(queue, 4)
    found = channel.drain(queue)
    assert [message.body for message in found] == [b"1:255", b"2:5", b"3:200", b"0:1"]
    assert found[0].properties.priority == 255


@pytest.mark.parametrize("arguments", [{}, {"x_max_priority": 0}], ids=str)
def test_no_priorities(channel: Channel, names: Names, arguments: dict[str, Any]) -> None:
    queue = channel.queue(names.plain(), **arguments)
    publish(channel, queue, 0, 0, 0)
    assert channel.bodies(queue) == [b"0:0", b"1:0", b"2:0"]


def test_a_maximum_of_zero_is_as_one(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_max_priority=0)
    publish(channel, queue, 0, 1, None, 9)
    channel.expect_ready(queue, 4)
    assert channel.bodies(queue) == [b"1:1", b"3:9", b"0:0", b"2:None"]


def test_expired_messages_wait_behind_more_urgent_ones(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_max_priority=10)
    channel.confirm()
    channel.confirmed(queue, b"lives", priority=9)
    channel.confirmed(queue, b"expires", priority=1, expiration="20")
    time.sleep(0.06)
    assert channel.ready(queue) == 2
    assert channel.bodies(queue) == [b"lives"]
    assert channel.ready(queue) == 0


def test_what_is_next_expires_down_to_the_lowest_priority(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_max_priority=10)
    channel.confirm()
    channel.confirmed(queue, b"high", priority=9, expiration="20")
    channel.confirmed(queue, b"low", priority=1, expiration="20")
    channel.confirmed(queue, b"lives", priority=1)
    channel.expect_ready(queue, 1)
    assert channel.bodies(queue) == [b"lives"]


@differs_from_rabbitmq("it has a timer for the head that was there before")
def test_what_comes_in_front_of_others_expires(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_max_priority=10)
    channel.confirm()
    channel.confirmed(queue, b"lives", priority=1)
    channel.confirmed(queue, b"expires", priority=9, expiration="20")
    time.sleep(0.06)
    assert channel.bodies(queue) == [b"lives"]


def test_priorities_are_kept_by_requeue(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_max_priority=10)
    publish(channel, queue, 1, 5, 9, 5)
    channel.expect_ready(queue, 4)
    for _ in range(3):
        channel.get(queue)
    channel.send(BasicNack(multiple=True, requeue=True))
    channel.expect_ready(queue, 4)
    assert channel.bodies(queue) == [b"2:9", b"1:5", b"3:5", b"0:1"]


def test_consumer_gets_what_is_most_urgent_next(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_max_priority=10)
    channel.prefetch(1)
    publish(channel, queue, 1)
    channel.consume(queue)
    assert channel.expect(BasicDeliver).body == b"0:1"
    publish(channel, queue, 2, 9)
    channel.expect_ready(queue, 2)
    channel.send(BasicAck(delivery_tag=1))
    assert channel.expect(BasicDeliver).body == b"1:9"


def test_limit_of_length_drops_the_most_urgent(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_max_priority=10, x_max_length=2)
    publish(channel, queue, 9, 1, 1)
    channel.expect_ready(queue, 2)
    assert channel.bodies(queue) == [b"1:1", b"2:1"]


def tags(channel: Channel, least: int) -> list[str]:
    """Return the consumer tags of all deliveries that come. least: so many have to."""
    return [delivery.consumer_tag for delivery in channel.arriving(BasicDeliver, least=least)]


def test_consumers_with_priority_go_first(channel: Channel, queue: str) -> None:
    channel.prefetch(2)
    consumers: dict[str, Any] = {"low": {"x_priority": -5}, "none": {}, "high": {"x_priority": 10}}
    for tag, arguments in consumers.items():
        channel.consume(queue, tag, **arguments)
    channel.publish(queue, *[b"x"] * 5)
    assert tags(channel, 5) == ["high", "high", "none", "none", "low"]
    channel.send(BasicAck(delivery_tag=1))
    channel.publish(queue, b"x")
    assert tags(channel, 1) == ["high"]


def test_equal_priorities_go_round(channel: Channel, queue: str) -> None:
    for tag in ("a", "b"):
        channel.consume(queue, tag, no_ack=True, x_priority=3)
    channel.consume(queue, "low", no_ack=True, x_priority=1)
    channel.publish(queue, *[b"x"] * 6)
    assert sorted(tags(channel, 6)) == ["a"] * 3 + ["b"] * 3


@pytest.mark.parametrize(
    ("value", "reason"), [("5", '"expected integer, got longstr"'), (1.5, '"expected integer, got double"')]
)
def test_consumer_priority_must_be_an_integer(channel: Channel, queue: str, value: Any, reason: str) -> None:
    consume = BasicConsume(queue=queue, arguments={"x-priority": value})
    text = f"invalid arg 'x-priority' for queue '{queue}' in vhost '/': {reason}"
    channel.expect_refused(consume, 406, text)


@pytest.fixture
def single(channel: Channel, names: Names) -> str:
    """A queue with a single active consumer."""
    return channel.queue(names.queue(), exclusive=False, x_single_active_consumer=True)


def test_only_the_first_consumer_is_active(channel: Channel, single: str) -> None:
    for tag in ("first", "second", "third"):
        channel.consume(single, tag, no_ack=True)
    channel.publish(single, *[b"x"] * 6)
    assert tags(channel, 6) == ["first"] * 6
    assert channel.consumers(single) == 3


def test_the_next_takes_over_after_cancel(channel: Channel, single: str) -> None:
    for tag in ("first", "second", "third"):
        channel.consume(single, tag, no_ack=True)
    for tag in ("first", "second", "third"):
        channel.publish(single, b"1", b"2")
        assert tags(channel, 2) == [tag, tag]
        channel.call(BasicCancel(consumer_tag=tag))


def test_the_highest_priority_takes_over(channel: Channel, single: str) -> None:
    for tag, priority in {"first": 0, "low": -1, "second": 5, "third": 5, "fourth": 1}.items():
        channel.consume(single, tag, no_ack=True, x_priority=priority)
    for tag in ("first", "second", "third", "fourth", "low"):
        channel.publish(single, b"1", b"2")
        assert tags(channel, 2) == [tag, tag]
        channel.call(BasicCancel(consumer_tag=tag))


def test_the_next_takes_over_after_the_end_of_a_connection(
    connect: Callable[..., Peer], channel: Channel, single: str
) -> None:
    peer = connect()
    first = peer.channel()
    first.consume(single, "first")
    channel.consume(single, "second")
    channel.publish(single, b"1", b"2")
    first.deliveries(2)
    channel.expect_silence()
    peer.link.close()
    found = channel.deliveries(2)
    assert [(message.body, message.redelivered) for message in found] == [(b"1", True), (b"2", True)]


def test_full_window_of_the_active_consumer_helps_nobody(channel: Channel, single: str) -> None:
    channel.prefetch(1)
    for tag in ("first", "second"):
        channel.consume(single, tag)
    channel.publish(single, b"1", b"2")
    assert tags(channel, 1) == ["first"]


def test_exclusive_consumers_and_a_single_active_one_exclude_each_other(channel: Channel, single: str) -> None:
    consume = BasicConsume(queue=single, exclusive=True)
    channel.expect_refused(consume, 403, f"queue '{single}' in vhost '/' in exclusive use")


def test_get_beside_a_single_active_consumer(channel: Channel, single: str) -> None:
    channel.publish(single, b"x")
    assert channel.bodies(single) == [b"x"]
    assert channel.call(QueueDeclare(queue=single, passive=True)).consumer_count == 0
