"""basic.ack, nack, reject and recover: which tags they take and where messages go."""

from __future__ import annotations

import pytest

from tests.clients.method import Method
from tests.clients.methods import QueueDelete
from tests.clients.methods_basic import (
    BasicAck,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicNack,
    BasicRecover,
    BasicRecoverAsync,
    BasicReject,
)
from tests.clients.peer import Channel, Peer

FIVE = [b"1", b"2", b"3", b"4", b"5"]


def outstanding(channel: Channel, queue: str, count: int = 3) -> None:
    """Publish five messages and get the first of them; tags are 1, 2, 3 ..."""
    channel.publish(queue, *FIVE)
    for number in range(1, count + 1):
        assert channel.get(queue).delivery_tag == number


def remaining(channel: Channel, queue: str) -> list[bytes]:
    """Return everything that is left once the channel has let go of what it holds."""
    channel.close()
    channel.open()
    return channel.bodies(queue)


SETTLED: dict[str, tuple[list[Method], list[bytes]]] = {
    "nothing": ([], FIVE),
    "one": ([BasicAck(delivery_tag=2)], [b"1", b"3", b"4", b"5"]),
    "in any order": ([BasicAck(delivery_tag=3), BasicAck(delivery_tag=1)], [b"2", b"4", b"5"]),
    "multiple": ([BasicAck(delivery_tag=2, multiple=True)], [b"3", b"4", b"5"]),
    "multiple after single": (
        [BasicAck(delivery_tag=1), BasicAck(delivery_tag=3, multiple=True)],
        [b"4", b"5"],
    ),
    "all": ([BasicAck(delivery_tag=0, multiple=True)], [b"4", b"5"]),
    "all twice": ([BasicAck(multiple=True), BasicAck(multiple=True)], [b"4", b"5"]),
    "reject": ([BasicReject(delivery_tag=2)], [b"1", b"3", b"4", b"5"]),
    "nack": ([BasicNack(delivery_tag=2)], [b"1", b"3", b"4", b"5"]),
    "nack multiple": ([BasicNack(delivery_tag=2, multiple=True)], [b"3", b"4", b"5"]),
    "nack all": ([BasicNack(multiple=True)], [b"4", b"5"]),
    "mixed": (
        [BasicReject(delivery_tag=1, requeue=True), BasicAck(delivery_tag=2), BasicNack(delivery_tag=3)],
        [b"1", b"4", b"5"],
    ),
}


@pytest.mark.parametrize("case", SETTLED)
def test_settled_messages_are_gone(channel: Channel, queue: str, case: str) -> None:
    methods, left = SETTLED[case]
    outstanding(channel, queue)
    channel.send(*methods)
    assert remaining(channel, queue) == left


REQUEUED: dict[str, tuple[list[Method], list[bytes]]] = {
    "reject": ([BasicReject(delivery_tag=2, requeue=True)], [b"2", b"4", b"5"]),
    "nack": ([BasicNack(delivery_tag=2, requeue=True)], [b"2", b"4", b"5"]),
    "nack multiple": ([BasicNack(delivery_tag=2, multiple=True, requeue=True)], [b"1", b"2", b"4", b"5"]),
    "nack all": ([BasicNack(multiple=True, requeue=True)], FIVE),
    "in any order": (
        [BasicReject(delivery_tag=tag, requeue=True) for tag in (3, 1, 2)],
        FIVE,
    ),
    "last first": ([BasicReject(delivery_tag=tag, requeue=True) for tag in (3, 1)], [b"1", b"3", b"4", b"5"]),
}


@pytest.mark.parametrize("case", REQUEUED)
def test_requeued_messages_go_back_to_their_place(channel: Channel, queue: str, case: str) -> None:
    methods, ready = REQUEUED[case]
    outstanding(channel, queue)
    channel.send(*methods)
    found = channel.drain(queue)
    assert [message.body for message in found] == ready
    assert [message.body for message in found if not message.redelivered] == [b"4", b"5"]


def test_requeued_messages_come_back_to_the_same_consumer(channel: Channel, queue: str) -> None:
    channel.consume(queue, "tag")
    channel.publish(queue, b"x")
    for number in range(1, 4):
        delivery = channel.expect(BasicDeliver)
        assert (delivery.delivery_tag, delivery.redelivered) == (number, number > 1)
        channel.send(BasicNack(delivery_tag=number, requeue=True))
    channel.expect(BasicDeliver)


def test_requeued_messages_keep_their_place_before_a_consumer(channel: Channel, queue: str) -> None:
    channel.prefetch(2)
    channel.consume(queue, "tag")
    channel.publish(queue, *FIVE)
    assert [found.body for found in channel.deliveries(2)] == [b"1", b"2"]
    channel.send(BasicNack(delivery_tag=2, multiple=True, requeue=True))
    assert [found.body for found in channel.deliveries(2)] == [b"1", b"2"]
    channel.send(BasicAck(delivery_tag=4, multiple=True))
    assert [found.body for found in channel.deliveries(2)] == [b"3", b"4"]


UNKNOWN: dict[str, tuple[list[Method], int]] = {
    "never given": ([BasicAck(delivery_tag=4)], 4),
    "far away": ([BasicAck(delivery_tag=2**63)], 2**63),
    "zero": ([BasicAck(delivery_tag=0)], 0),
    "zero, reject": ([BasicReject(delivery_tag=0)], 0),
    "zero, nack": ([BasicNack(delivery_tag=0)], 0),
    "twice": ([BasicAck(delivery_tag=1), BasicAck(delivery_tag=1)], 1),
    "reject after ack": ([BasicAck(delivery_tag=1), BasicReject(delivery_tag=1)], 1),
    "nack after requeue": (
        [BasicNack(delivery_tag=1, requeue=True), BasicNack(delivery_tag=1, requeue=True)],
        1,
    ),
    "multiple, never given": ([BasicAck(delivery_tag=4, multiple=True)], 4),
    "multiple, settled already": ([BasicAck(delivery_tag=2), BasicAck(delivery_tag=2, multiple=True)], 2),
    "nack multiple, settled already": (
        [BasicAck(delivery_tag=2), BasicNack(delivery_tag=2, multiple=True)],
        2,
    ),
    "multiple, covered before": (
        [BasicAck(delivery_tag=3, multiple=True), BasicAck(delivery_tag=2, multiple=True)],
        2,
    ),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_unknown_tags(channel: Channel, queue: str, case: str) -> None:
    methods, tag = UNKNOWN[case]
    outstanding(channel, queue)
    channel.send(*methods)
    channel.expect_closed(406, f"unknown delivery tag {tag}", by=type(methods[-1]))


def test_deliveries_without_acknowledgement_have_no_known_tag(channel: Channel, queue: str) -> None:
    channel.publish(queue, b"x")
    channel.get(queue, no_ack=True)
    channel.expect_refused(BasicAck(delivery_tag=1), 406, "unknown delivery tag 1")
    channel.consume(queue, no_ack=True)
    channel.publish(queue, b"x")
    channel.expect(BasicDeliver)
    channel.expect_refused(BasicAck(delivery_tag=1), 406, "unknown delivery tag 1")


def test_tags_belong_to_their_channel(peer: Peer, channel: Channel, queue: str) -> None:
    outstanding(channel, queue)
    peer.channel(2).expect_refused(BasicAck(delivery_tag=1), 406, "unknown delivery tag 1")


def test_unknown_tag_requeues_the_others(channel: Channel, queue: str) -> None:
    outstanding(channel, queue)
    channel.expect_refused(BasicAck(delivery_tag=9), 406, "unknown delivery tag 9")
    assert channel.bodies(queue) == FIVE


def test_acknowledgements_have_no_reply(channel: Channel, queue: str) -> None:
    outstanding(channel, queue)
    channel.send(
        BasicAck(delivery_tag=1),
        BasicNack(delivery_tag=2),
        BasicReject(delivery_tag=3),
        BasicAck(multiple=True),
    )
    channel.expect_silence()


def test_multiple_reaches_over_queues(channel: Channel, queue: str) -> None:
    other = channel.queue()
    for name in (queue, other, queue, other):
        channel.publish(name, b"x")
        channel.get(name)
    channel.send(BasicAck(delivery_tag=3, multiple=True))
    channel.close()
    channel.open()
    assert (channel.bodies(queue), channel.bodies(other)) == ([], [b"x"])


@pytest.mark.parametrize("method", [BasicRecover, BasicRecoverAsync])
def test_recover_requeues_everything(
    channel: Channel, queue: str, method: type[BasicRecover | BasicRecoverAsync]
) -> None:
    outstanding(channel, queue)
    if method is BasicRecover:
        channel.call(BasicRecover(requeue=True))
    else:
        channel.send(BasicRecoverAsync(requeue=True))
    found = channel.drain(queue)
    assert [message.body for message in found] == FIVE
    assert [message.redelivered for message in found] == [True] * 3 + [False] * 2
    assert found[0].delivery_tag == 4
    channel.expect_refused(BasicAck(delivery_tag=1), 406, "unknown delivery tag 1")


def test_recover_delivers_again(channel: Channel, queue: str) -> None:
    channel.consume(queue, "tag")
    channel.publish(queue, b"1", b"2")
    channel.deliveries(2)
    channel.send(BasicRecoverAsync(requeue=True))
    found = channel.deliveries(2)
    assert [(again.body, again.redelivered) for again in found] == [(b"1", True), (b"2", True)]


@pytest.mark.parametrize("method", [BasicRecover, BasicRecoverAsync])
def test_recover_without_requeue_is_not_implemented(
    peer: Peer, channel: Channel, method: type[BasicRecover | BasicRecoverAsync]
) -> None:
    channel.send(method(requeue=False))
    peer.expect_closed(540, "requeue=false", by=method)


def test_acknowledged_after_the_queue_was_deleted(peer: Peer, channel: Channel, queue: str) -> None:
    outstanding(channel, queue)
    peer.channel(2).call(QueueDelete(queue=queue))
    channel.send(BasicAck(delivery_tag=1), BasicNack(delivery_tag=2, requeue=True))
    channel.send(BasicGet(queue=channel.queue()))
    channel.expect(BasicGetEmpty)
