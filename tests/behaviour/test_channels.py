"""Opening and closing channels, soft errors, flow, and the obsolete access.request."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.codec import Properties
from tests.clients.method import Method
from tests.clients.methods import (
    AccessRequest,
    AccessRequestOk,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ChannelOpenOk,
    QueueDeclare,
    QueueDeclareOk,
    TxCommit,
    TxSelect,
)
from tests.clients.methods_basic import BasicAck, BasicDeliver, BasicPublish
from tests.clients.peer import Channel, Peer

from .conftest import Names


def test_open(peer: Peer) -> None:
    assert Channel(peer.link, 1).call(ChannelOpen()) == ChannelOpenOk(channel_id=b"")


@pytest.mark.parametrize("number", [2, 2047, 2048, 65535])
def test_any_number_may_be_the_first(peer: Peer, number: int) -> None:
    assert peer.channel(number).queue()


def test_second_open(peer: Peer, channel: Channel) -> None:
    channel.send(ChannelOpen())
    peer.expect_closed(504, "second 'channel.open' seen", by=ChannelOpen)


@pytest.mark.parametrize(
    "method",
    [QueueDeclare(), BasicPublish(routing_key="x"), BasicAck(), ChannelClose(), ChannelCloseOk()],
    ids=lambda method: type(method).__name__,
)
def test_methods_on_a_channel_that_is_not_open(peer: Peer, method: Method) -> None:
    Channel(peer.link, 1).send(method)
    peer.expect_closed(504, "expected 'channel.open'", by=type(method))


def test_channel_max_limits_the_count(connect: Callable[..., Peer]) -> None:
    peer = connect(channel_max=2)
    peer.channel(7)
    peer.channel(8).close()
    peer.channel(9)
    Channel(peer.link, 10).send(ChannelOpen())
    peer.expect_closed(530, "number of channels opened (2) has reached the negotiated channel_max (2)")


def test_flow(channel: Channel) -> None:
    assert channel.call(ChannelFlow(active=True)) == ChannelFlowOk(active=True)


def test_flow_cannot_be_stopped(peer: Peer, channel: Channel) -> None:
    channel.send(ChannelFlow(active=False))
    peer.expect_closed(540, "active=false", by=ChannelFlow)


@pytest.mark.parametrize(
    "request_", [AccessRequest(), AccessRequest(realm="/data", exclusive=True, active=True, write=True)]
)
def test_access_request(channel: Channel, request_: AccessRequest) -> None:
    assert channel.call(request_) == AccessRequestOk(ticket=1)


def test_ticket_is_ignored(channel: Channel) -> None:
    channel.call(QueueDeclare(ticket=77, exclusive=True))


def test_close_and_open_again(channel: Channel) -> None:
    for _ in range(3):
        channel.close()
        channel.open()


def test_close_starts_delivery_tags_again(channel: Channel, queue: str) -> None:
    channel.publish(queue, b"one", b"two")
    assert [channel.get(queue, no_ack=True).delivery_tag for _ in range(2)] == [1, 2]
    channel.publish(queue, b"three")
    channel.close()
    channel.open()
    assert channel.get(queue, no_ack=True).delivery_tag == 1


def test_close_requeues_and_removes_consumers(peer: Peer, channel: Channel, queue: str) -> None:
    consumer = peer.channel(2)
    consumer.consume(queue)
    channel.publish(queue, b"one", b"two")
    consumer.deliveries(2)
    consumer.close()
    assert channel.call(QueueDeclare(queue=queue, passive=True)) == QueueDeclareOk(
        queue=queue, message_count=2, consumer_count=0
    )
    assert all(message.redelivered for message in channel.drain(queue))


def missing(names: Names) -> tuple[QueueDeclare, str]:
    """Return a declaration that fails softly, and what the broker says about it."""
    name = names.plain()
    return QueueDeclare(queue=name, passive=True), f"no queue '{name}' in vhost '/'"


def test_soft_error_leaves_other_channels_alone(peer: Peer, channel: Channel, names: Names) -> None:
    other = peer.channel(2)
    queue = other.queue()
    failing, text = missing(names)
    channel.expect_refused(failing, 404, text)
    other.publish(queue, b"x")
    assert other.bodies(queue) == [b"x"]


def test_after_a_soft_error_nothing_is_heard_until_close_ok(
    peer: Peer, channel: Channel, queue: str, names: Names
) -> None:
    failing, text = missing(names)
    channel.send(failing, BasicPublish(routing_key=queue, body=b"lost"), QueueDeclare(queue=queue))
    channel.send(AccessRequest())
    channel.expect_closed(404, text, by=QueueDeclare)
    channel.open()
    assert channel.ready(queue) == 0
    peer.link.expect_silence()


def test_number_is_free_right_after_close_ok(channel: Channel, names: Names) -> None:
    failing, _text = missing(names)
    channel.send(failing)
    channel.expect(ChannelClose)
    channel.send(ChannelCloseOk(), ChannelOpen(), QueueDeclare(exclusive=True))
    channel.expect(ChannelOpenOk)
    channel.expect(QueueDeclareOk)


def test_both_sides_close_at_once(channel: Channel, names: Names) -> None:
    failing, _text = missing(names)
    channel.send(failing, ChannelClose(reply_code=200))
    assert channel.expect(ChannelClose).reply_code == 404
    channel.expect(ChannelCloseOk)
    channel.send(ChannelCloseOk(), ChannelOpen())
    channel.expect(ChannelOpenOk)


def test_soft_error_requeues_before_close_ok(peer: Peer, channel: Channel, queue: str, names: Names) -> None:
    channel.consume(queue)
    channel.publish(queue, b"one")
    channel.deliveries(1)
    channel.send(missing(names)[0])
    channel.expect(ChannelClose)
    peer.channel(2).expect_ready(queue, 1)


def test_publishes_before_a_soft_error_stay(channel: Channel, queue: str, names: Names) -> None:
    failing, text = missing(names)
    channel.send(BasicPublish(routing_key=queue, body=b"kept"), failing)
    channel.expect_closed(404, text, by=QueueDeclare)
    channel.open()
    assert channel.bodies(queue) == [b"kept"]


def test_consumers_of_a_failed_channel_get_nothing_more(peer: Peer, channel: Channel, queue: str, names: Names) -> None:
    channel.consume(queue, no_ack=True)
    failing, text = missing(names)
    channel.expect_refused(failing, 404, text)
    other = peer.channel(2)
    other.publish(queue, b"x")
    assert other.bodies(queue) == [b"x"]


def test_many_requests_without_waiting(channel: Channel) -> None:
    channel.send(*[QueueDeclare(exclusive=True) for _ in range(20)], ChannelFlow(active=True))
    assert len({channel.expect(QueueDeclareOk).queue for _ in range(20)}) == 20
    channel.expect(ChannelFlowOk)


def test_nothing_may_overtake_a_commit(peer: Peer, channel: Channel, names: Names) -> None:
    queue = channel.queue(names.queue(), exclusive=False, durable=True)
    channel.call(TxSelect())
    publish = BasicPublish(routing_key=queue, properties=Properties(delivery_mode=2), body=b"x")
    channel.send(publish, TxCommit(), AccessRequest())
    peer.expect_closed(504, "unexpected command while processing 'tx.commit'", by=AccessRequest)


def test_whole_conversation_without_waiting(channel: Channel, names: Names) -> None:
    queue = names.plain()
    channel.send(
        QueueDeclare(queue=queue, exclusive=True),
        *[BasicPublish(routing_key=queue, body=b"%d" % i) for i in range(10)],
    )
    channel.expect(QueueDeclareOk)
    channel.consume(queue, no_ack=True)
    assert [channel.expect(BasicDeliver).body for _ in range(10)] == [b"%d" % i for i in range(10)]
