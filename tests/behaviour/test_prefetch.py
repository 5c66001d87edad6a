"""basic.qos: the windows of unacknowledged messages, of one consumer and of a whole channel."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.clients.methods import TxCommit, TxSelect
from tests.clients.methods_basic import BasicAck, BasicCancel, BasicDeliver, BasicNack, BasicQos, BasicQosOk
from tests.clients.peer import Channel, Peer
from tests.marks import differs_from_rabbitmq

TEN = [b"%d" % i for i in range(10)]

GLOBAL = differs_from_rabbitmq("RabbitMQ 4.3 takes global=true as false")


def tags(channel: Channel, least: int) -> list[int]:
    """Return the tags of all deliveries that come until the window is full. least: so many have to come."""
    return [delivery.delivery_tag for delivery in channel.arriving(BasicDeliver, least=least)]


def test_qos_ok(channel: Channel) -> None:
    for qos in (BasicQos(), BasicQos(prefetch_count=65535), BasicQos(prefetch_count=1, global_=True)):
        assert channel.call(qos) == BasicQosOk()


def test_window_in_bytes_is_not_implemented(peer: Peer, channel: Channel) -> None:
    channel.send(BasicQos(prefetch_size=10, prefetch_count=1))
    peer.expect_closed(540, "prefetch_size!=0 (10)", by=BasicQos)


def test_window(channel: Channel, queue: str) -> None:
    channel.prefetch(3)
    channel.consume(queue)
    channel.publish(queue, *TEN)
    assert tags(channel, 3) == [1, 2, 3]
    channel.send(BasicAck(delivery_tag=2))
    assert channel.expect(BasicDeliver).delivery_tag == 4
    channel.send(BasicAck(delivery_tag=4, multiple=True))
    assert tags(channel, 3) == [5, 6, 7]


@pytest.mark.parametrize("requeue", [False, True])
def test_nack_frees_the_window(channel: Channel, queue: str, requeue: bool) -> None:
    channel.prefetch(1)
    channel.consume(queue)
    channel.publish(queue, b"1", b"2")
    channel.deliveries(1)
    channel.send(BasicNack(delivery_tag=1, requeue=requeue))
    assert channel.expect(BasicDeliver).body == (b"1" if requeue else b"2")


def test_no_limit(channel: Channel, queue: str) -> None:
    channel.prefetch(1)
    channel.prefetch(0)
    channel.consume(queue)
    channel.publish(queue, *TEN)
    assert len(channel.deliveries(10)) == 10


def test_every_consumer_has_a_window_of_its_own(channel: Channel, queue: str) -> None:
    channel.prefetch(1)
    channel.consume(queue, "one")
    channel.prefetch(2)
    channel.consume(queue, "two")
    channel.publish(queue, *TEN)
    found = sorted(delivery.consumer_tag for delivery in channel.arriving(BasicDeliver, least=3))
    assert found == ["one", "two", "two"]


def test_qos_leaves_consumers_that_exist_alone(channel: Channel, queue: str) -> None:
    channel.prefetch(1)
    channel.consume(queue)
    channel.prefetch(5)
    channel.publish(queue, *TEN)
    assert tags(channel, 1) == [1]


def test_window_does_not_apply_without_acknowledgement(channel: Channel, queue: str) -> None:
    channel.prefetch(1)
    channel.consume(queue, no_ack=True)
    channel.publish(queue, *TEN)
    assert len(channel.deliveries(10)) == 10


def test_window_does_not_apply_to_get(channel: Channel, queue: str) -> None:
    channel.prefetch(1)
    channel.publish(queue, *TEN)
    assert [channel.get(queue).body for _ in TEN] == TEN


def test_messages_got_do_not_fill_the_window(channel: Channel, queue: str) -> None:
    channel.prefetch(1)
    channel.publish(queue, b"1", b"2")
    channel.get(queue)
    channel.consume(queue)
    assert channel.expect(BasicDeliver).body == b"2"


def test_cancel_keeps_nothing_of_the_window(channel: Channel, queue: str) -> None:
    channel.prefetch(1)
    channel.consume(queue, "tag")
    channel.publish(queue, b"1", b"2")
    channel.deliveries(1)
    channel.call(BasicCancel(consumer_tag="tag"))
    channel.consume(queue, "tag")
    assert channel.expect(BasicDeliver).body == b"2"


def test_full_window_leaves_messages_to_others(peer: Peer, channel: Channel, queue: str) -> None:
    channel.prefetch(1)
    channel.consume(queue)
    other = peer.channel(2)
    other.consume(queue, no_ack=True)
    channel.publish(queue, *TEN)
    busy = channel.expect(BasicDeliver).body
    assert [delivery.body for delivery in other.deliveries(9)] == [body for body in TEN if body != busy]


@GLOBAL
def test_global_window_is_shared(channel: Channel, queue: str) -> None:
    channel.prefetch(3, global_=True)
    channel.consume(queue, "one")
    channel.consume(queue, "two")
    channel.publish(queue, *TEN)
    assert tags(channel, 3) == [1, 2, 3]
    channel.send(BasicAck(delivery_tag=1))
    assert tags(channel, 1) == [4]


@GLOBAL
def test_global_window_can_be_changed_under_consumers(channel: Channel, queue: str) -> None:
    channel.prefetch(1, global_=True)
    channel.consume(queue)
    channel.publish(queue, *TEN)
    assert tags(channel, 1) == [1]
    channel.prefetch(4, global_=True)
    assert tags(channel, 3) == [2, 3, 4]
    channel.prefetch(2, global_=True)
    channel.send(BasicAck(delivery_tag=2, multiple=True))
    assert tags(channel, 0) == []
    channel.send(BasicAck(delivery_tag=3))
    assert tags(channel, 1) == [5]
    channel.prefetch(0, global_=True)
    assert tags(channel, 5) == [6, 7, 8, 9, 10]


@GLOBAL
def test_both_windows_together(channel: Channel, queue: str) -> None:
    channel.prefetch(2)
    channel.prefetch(3, global_=True)
    channel.consume(queue, "one")
    channel.publish(queue, *TEN)
    assert tags(channel, 2) == [1, 2]
    channel.consume(queue, "two")
    assert tags(channel, 1) == [3]


def served(channel: Channel, count: int) -> Counter[str]:
    """How many of so many messages each consumer gets, in a window for one: the next comes when one is acknowledged."""
    found: Counter[str] = Counter()
    for _ in range(count):
        delivery = channel.expect(BasicDeliver)
        channel.expect_silence(0.01)
        found[delivery.consumer_tag] += 1
        channel.send(BasicAck(delivery_tag=delivery.delivery_tag))
    return found


@GLOBAL
def test_consumers_take_turns_in_a_global_window(channel: Channel, queue: str) -> None:
    channel.prefetch(1, global_=True)
    channel.consume(queue, "one")
    channel.consume(queue, "two")
    channel.publish(queue, *TEN)
    assert served(channel, 10) == {"one": 5, "two": 5}


@GLOBAL
def test_queues_take_turns_in_a_global_window(channel: Channel) -> None:
    channel.prefetch(1, global_=True)
    queues = [channel.queue() for _ in range(3)]
    for queue in queues:
        channel.consume(queue, queue)
    for queue in queues:
        channel.publish(queue, *[b""] * 40)
    assert all(count >= 10 for count in served(channel, 60).values())


@GLOBAL
def test_a_full_global_window_stops_consumers_without_acknowledgement(channel: Channel, queue: str) -> None:
    other = channel.queue()
    channel.prefetch(1, global_=True)
    channel.consume(queue, "with")
    channel.consume(other, "without", no_ack=True)
    channel.publish(queue, b"")
    channel.deliveries(1)
    channel.publish(other, b"", b"")
    channel.expect_silence()
    channel.send(BasicAck(delivery_tag=1))
    assert [delivery.consumer_tag for delivery in channel.deliveries(2)] == ["without", "without"]


@GLOBAL
def test_a_commit_makes_room_for_others_in_a_global_window(peer: Peer, channel: Channel, queue: str) -> None:
    other, publisher = channel.queue(), peer.channel(2)
    channel.call(TxSelect())
    channel.prefetch(1, global_=True)
    channel.consume(queue, "one")
    channel.consume(other, "two")
    publisher.publish(queue, b"")
    publisher.publish(other, b"")
    (first,) = channel.arriving(BasicDeliver, least=1)
    channel.send(BasicAck(delivery_tag=1))
    channel.call(TxCommit())
    assert {first.consumer_tag, channel.expect(BasicDeliver).consumer_tag} == {"one", "two"}


def test_messages_got_later_do_not_fill_the_global_window(channel: Channel, queue: str) -> None:
    channel.prefetch(2, global_=True)
    channel.publish(queue, *TEN)
    channel.get(queue)
    channel.consume(queue)
    assert tags(channel, 2) == [2, 3]
    assert channel.get(queue).delivery_tag == 4


def test_global_window_is_per_channel(peer: Peer, channel: Channel, queue: str) -> None:
    other = peer.channel(2)
    for consumer in (channel, other):
        consumer.prefetch(1, global_=True)
        consumer.consume(queue)
    channel.publish(queue, *TEN)
    assert tags(channel, 1) == [1]
    assert tags(other, 1) == [1]
