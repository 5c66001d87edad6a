"""What a client sends later sees what it sent before, also when all of it arrives in one read.

A delivery and an answer of the same queue may change places on the wire, except where a consumer or a channel ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.codec import Properties
from tests.clients.method import Method
from tests.clients.methods import (
    ChannelClose,
    ChannelCloseOk,
    ConfirmSelect,
    ConnectionClose,
    ConnectionCloseOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
)
from tests.clients.methods_basic import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicReject,
)
from tests.clients.peer import Channel, Peer


def publish(queue: str, body: bytes = b"1", **properties: Any) -> BasicPublish:
    """A publish through the default exchange."""
    return BasicPublish(routing_key=queue, body=body, properties=Properties(**properties))


def told(channel: Channel, least: int) -> list[object]:
    """What comes: bodies of deliveries, kinds and counts of everything else; confirms apart. least: so many have to."""
    found: list[object] = []
    for method in channel.arriving(Method, least=least):
        if isinstance(method, BasicDeliver):
            found.append(method.body)
        elif isinstance(method, QueuePurgeOk | QueueDeleteOk | QueueDeclareOk):
            found.append((type(method), method.message_count))
        elif isinstance(method, BasicGetOk):
            found.append((BasicGetOk, method.body))
        elif not isinstance(method, BasicAck):
            found.append(type(method))
    return found


def together(channel: Channel, least: int = 2) -> Counter[object]:
    """What comes, in whatever order. least: so many have to come."""
    return Counter(told(channel, least))


@pytest.fixture
def waiting(channel: Channel, queue: str) -> str:
    """A queue with a consumer on the same channel that waits for anything."""
    channel.consume(queue, "tag", no_ack=True)
    return queue


def test_get_comes_behind_a_consumer_that_waits(channel: Channel, waiting: str) -> None:
    channel.send(publish(waiting), BasicGet(queue=waiting))
    assert together(channel) == Counter([b"1", BasicGetEmpty])


def test_purge_leaves_a_consumer_what_it_waits_for(channel: Channel, waiting: str) -> None:
    channel.call(ConfirmSelect())
    channel.send(publish(waiting), QueuePurge(queue=waiting))
    assert together(channel, 3) == Counter([b"1", (QueuePurgeOk, 0)])


def test_a_queue_is_empty_whose_consumer_waits(channel: Channel, waiting: str) -> None:
    channel.send(publish(waiting), QueueDelete(queue=waiting, if_empty=True))
    assert together(channel) - Counter([BasicCancel]) == Counter([b"1", (QueueDeleteOk, 0)])


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (BasicCancel(consumer_tag="tag"), BasicCancelOk),
        (ChannelClose(reply_code=200, reply_text="bye"), ChannelCloseOk),
    ],
)
def test_a_consumer_that_ends_gets_what_came_before(
    channel: Channel, waiting: str, method: Method, answer: type[Method]
) -> None:
    channel.send(publish(waiting), method)
    assert told(channel, 2) == [b"1", answer]


@pytest.mark.parametrize("passive", [True, False])
def test_a_count_leaves_out_what_a_consumer_waits_for(channel: Channel, waiting: str, passive: bool) -> None:
    channel.send(publish(waiting), QueueDeclare(queue=waiting, passive=passive, exclusive=True))
    assert together(channel) == Counter([b"1", (QueueDeclareOk, 0)])


@pytest.mark.parametrize(
    ("method", "answer"),
    [(BasicGet, BasicGetEmpty), (BasicCancel, BasicCancelOk)],
)
def test_an_ack_lets_the_next_one_go_first(
    channel: Channel, queue: str, method: type[Method], answer: type[Method]
) -> None:
    channel.prefetch(1)
    channel.consume(queue, "tag")
    channel.publish(queue, b"1", b"2")
    channel.deliveries(1)
    then = BasicGet(queue=queue) if method is BasicGet else BasicCancel(consumer_tag="tag")
    channel.send(BasicAck(delivery_tag=1), then)
    assert together(channel) == Counter([b"2", answer])


@pytest.mark.parametrize(
    "refusal", [BasicReject(delivery_tag=1, requeue=True), BasicNack(delivery_tag=1, requeue=True)]
)
def test_what_comes_back_goes_to_a_consumer_that_waits(channel: Channel, queue: str, refusal: Method) -> None:
    channel.publish(queue, b"1")
    channel.expect_ready(queue, 1)
    channel.get(queue)
    channel.consume(queue, "tag")
    channel.send(refusal, BasicGet(queue=queue))
    assert together(channel) == Counter([b"1", BasicGetEmpty])


@pytest.mark.parametrize(
    ("make", "answer"),
    [
        (lambda queue: BasicGet(queue=queue), BasicGetEmpty),
        (lambda queue: BasicCancel(consumer_tag="tag"), BasicCancelOk),
        (lambda queue: QueuePurge(queue=queue), (QueuePurgeOk, 0)),
        (lambda queue: QueueDeclare(queue=queue, passive=True), (QueueDeclareOk, 0)),
    ],
    ids=["get", "cancel", "purge", "passive declare"],
)
def test_a_new_consumer_comes_before_what_follows(
    channel: Channel, queue: str, make: Callable[[str], Method], answer: object
) -> None:
    channel.publish(queue, b"1")
    channel.expect_ready(queue, 1)
    channel.send(BasicConsume(queue=queue, consumer_tag="tag"), make(queue))
    assert together(channel, 3) - Counter([BasicConsumeOk]) == Counter([b"1", answer])  # which may be too late


def test_a_waiting_consumer_gets_messages_as_they_come_whatever_their_priority(channel: Channel, names: Any) -> None:
    queue = channel.queue(names.plain(), x_max_priority=9)
    channel.consume(queue, "tag", no_ack=True)
    channel.send(publish(queue, b"low", priority=0), publish(queue, b"high", priority=5))
    assert told(channel, 2) == [b"low", b"high"]


@pytest.mark.parametrize("of_message", [True, False])
@pytest.mark.parametrize(
    ("make", "answer"),
    [
        (lambda queue: QueueDeclare(queue=queue, passive=True), [(QueueDeclareOk, 0)]),
        (lambda queue: QueuePurge(queue=queue), [(QueuePurgeOk, 0)]),
        (lambda queue: QueueDelete(queue=queue, if_empty=True), [(QueueDeleteOk, 0)]),
        (lambda queue: BasicGet(queue=queue), [BasicGetEmpty]),
        (lambda queue: BasicConsume(queue=queue, consumer_tag="tag"), [BasicConsumeOk]),
    ],
    ids=["passive declare", "purge", "delete", "get", "consume"],
)
def test_a_ttl_of_zero_is_over_at_once_where_no_consumer_waits(
    channel: Channel, names: Any, of_message: bool, make: Callable[[str], Method], answer: list[object]
) -> None:
    queue = channel.queue(names.plain()) if of_message else channel.queue(names.plain(), x_message_ttl=0)
    message = publish(queue, expiration="0") if of_message else publish(queue)
    channel.send(message, make(queue))
    assert told(channel, len(answer)) == answer


@pytest.mark.parametrize("of_message", [True, False])
def test_a_ttl_of_zero_lets_a_consumer_have_it_that_waits_but_only_once(
    channel: Channel, names: Any, of_message: bool
) -> None:
    queue = channel.queue(names.plain()) if of_message else channel.queue(names.plain(), x_message_ttl=0)
    channel.consume(queue, "tag")
    channel.send(publish(queue, expiration="0") if of_message else publish(queue))
    channel.send(BasicReject(delivery_tag=channel.deliveries(1)[0].delivery_tag, requeue=True))
    assert told(channel, 0) == []


def test_acks_reach_consumers_in_their_order(channel: Channel, queue: str) -> None:
    channel.prefetch(2)
    channel.consume(queue, "one")
    channel.consume(queue, "two")
    channel.publish(queue, *[b"%d" % number for number in range(7)])
    first = channel.deliveries(4)
    held = {tag: [each.delivery_tag for each in first if each.consumer_tag == tag] for tag in ("one", "two")}
    assert [each.consumer_tag for each in first] == ["one", "two", "one", "two"]
    acks = [held["one"][0], held["one"][1], held["two"][0]]
    channel.send(*[BasicAck(delivery_tag=tag) for tag in acks])
    assert [each.consumer_tag for each in channel.deliveries(3)] == ["one", "one", "two"]


def test_nobody_gets_one_of_many_that_come_back_before_all_are_back(peer: Peer, channel: Channel, queue: str) -> None:
    channel.prefetch(3)
    channel.consume(queue, "first")
    channel.publish(queue, b"0", b"1", b"2")
    held = channel.deliveries(3)
    channel.send(BasicNack(delivery_tag=held[0].delivery_tag, requeue=True))
    (again,) = channel.deliveries(1)
    channel.call(BasicCancel(consumer_tag="first"))
    other = peer.channel(2)
    other.consume(queue, "second")
    channel.send(BasicNack(delivery_tag=again.delivery_tag, multiple=True, requeue=True))  # 1, 2, 0
    assert [each.body for each in other.deliveries(3)] == [b"0", b"1", b"2"]


def test_a_connection_that_ends_gets_what_came_before(peer: Peer, channel: Channel, waiting: str) -> None:
    both = publish(waiting).frames(1, 4096) + ConnectionClose(reply_code=200, reply_text="bye").frames(0, 4096)
    peer.link.send_bytes(both)
    peer.expect(ConnectionCloseOk)
