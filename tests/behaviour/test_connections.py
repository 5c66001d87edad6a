"""An open connection: closing it from either side, methods out of place, a new secret, hard errors."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.clients.codec import METHOD
from tests.clients.link import EndOfStream
from tests.clients.method import Method
from tests.clients.methods import (
    ChannelOpen,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionSecureOk,
    ConnectionTune,
    ConnectionTuneOk,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
    QueueDeclare,
)
from tests.clients.methods_basic import BasicConsume, BasicPublish
from tests.clients.peer import SOON, Channel, Peer, start_ok
from tests.marks import differs_from_rabbitmq

from .conftest import Names

OUT_OF_PLACE: list[Method] = [
    start_ok(),
    ConnectionSecureOk(),
    ConnectionTune(),
    ConnectionTuneOk(),
    ConnectionOpen(virtual_host="/"),
    ConnectionOpenOk(),
    ConnectionCloseOk(),
    ConnectionBlocked(),
    ConnectionUpdateSecretOk(),
    ChannelOpen(),
    QueueDeclare(),
]


@pytest.mark.parametrize("method", OUT_OF_PLACE, ids=lambda method: type(method).__name__)
def test_methods_out_of_place_on_channel_0(peer: Peer, method: Method) -> None:
    peer.send(method)
    peer.expect_closed(504, "unexpected method in connection state running", by=type(method))


def test_close_is_answered(peer: Peer) -> None:
    peer.channel()
    peer.send(ConnectionClose(reply_code=200, reply_text="done"))
    assert peer.link.read_frame() == (METHOD, 0, b"\x00\x0a\x00\x33")


@differs_from_rabbitmq("RabbitMQ leaves that to the client")
def test_socket_is_closed_behind_close_ok(peer: Peer) -> None:
    peer.call(ConnectionClose(reply_code=200))
    peer.link.expect_end(SOON)


def test_what_comes_behind_close_does_no_harm(peer: Peer) -> None:
    channel = peer.channel()
    peer.send(ConnectionClose(reply_code=200))
    for _ in range(100):
        channel.publish("nowhere", *[bytes(1000)] * 20)
        time.sleep(0.001)
    peer.expect(ConnectionCloseOk)
    peer.link.close()


def test_a_close_that_is_not_answered_ends_in_a_reset(connect: Callable[..., Peer]) -> None:
    peer = connect(heartbeat=1)  # for so long it may take
    peer.channel().send(ChannelOpen())
    peer.expect(ConnectionClose)
    with pytest.raises(EndOfStream) as end:
        peer.link.receive_bytes(1 << 16)
    assert isinstance(end.value.__cause__, ConnectionResetError)


def two_unacknowledged(peer: Peer, observer: Channel, queue: str) -> None:
    """Leave two messages unacknowledged on a connection, the queue being shared with an observer."""
    observer.queue(queue, exclusive=False)
    observer.publish(queue, b"one", b"two")
    observer.expect_ready(queue, 2)
    consumer = peer.channel()
    consumer.consume(queue)
    consumer.deliveries(2)
    observer.expect_ready(queue, 0)


def assert_both_are_back(observer: Channel, queue: str) -> None:
    """Check that both messages can be had again."""
    observer.expect_ready(queue, 2)
    found = [(message.body, message.redelivered) for message in observer.drain(queue)]
    assert found == [(b"one", True), (b"two", True)]


def test_close_requeues(connect: Callable[..., Peer], channel: Channel, names: Names) -> None:
    peer, queue = connect(), names.queue()
    two_unacknowledged(peer, channel, queue)
    peer.close()
    assert_both_are_back(channel, queue)


def test_end_of_the_socket_requeues(connect: Callable[..., Peer], channel: Channel, names: Names) -> None:
    peer, queue = connect(), names.queue()
    two_unacknowledged(peer, channel, queue)
    peer.link.close()
    assert_both_are_back(channel, queue)


def test_hard_error_requeues_on_all_channels(connect: Callable[..., Peer], channel: Channel, names: Names) -> None:
    peer, queue = connect(), names.queue()
    two_unacknowledged(peer, channel, queue)
    peer.channel(2).send(ChannelOpen())
    peer.expect_closed(504, "second 'channel.open' seen", by=ChannelOpen)
    assert_both_are_back(channel, queue)


def no_queue(channel: Channel, queue: str) -> None:
    """Check that a queue does not exist."""
    channel.expect_refused(QueueDeclare(queue=queue, passive=True), 404, f"no queue '{queue}' in vhost '/'")


def test_exclusive_queues_are_gone_when_close_is_answered(
    connect: Callable[..., Peer], channel: Channel, names: Names
) -> None:
    peer, queue = connect(), names.plain()
    peer.channel().queue(queue)
    peer.close()
    no_queue(channel, queue)


def test_exclusive_queues_are_gone_before_a_hard_error_is_told(
    connect: Callable[..., Peer], channel: Channel, names: Names
) -> None:
    peer, queue = connect(), names.plain()
    peer.channel().queue(queue)
    peer.channel(2).send(ChannelOpen())
    peer.expect(ConnectionClose)
    no_queue(channel, queue)


def test_auto_delete_queue_goes_with_the_connection_of_its_consumer(
    connect: Callable[..., Peer], channel: Channel, names: Names
) -> None:
    peer, queue = connect(), names.queue()
    consumer = peer.channel()
    consumer.call(QueueDeclare(queue=queue, auto_delete=True))
    consumer.consume(queue)
    peer.close()
    no_queue(channel, queue)


def test_after_a_hard_error_only_close_is_heard(peer: Peer) -> None:
    channel = peer.channel()
    channel.send(ChannelOpen())
    peer.expect(ConnectionClose)
    channel.send(QueueDeclare(exclusive=True), BasicPublish(routing_key="x"), BasicConsume(queue="x"))
    peer.send(ConnectionUpdateSecret(new_secret=b"guest"), ConnectionClose(reply_code=200))
    peer.expect(ConnectionCloseOk)


def test_hard_error_stops_what_was_sent_behind_it(connect: Callable[..., Peer], channel: Channel, names: Names) -> None:
    peer, queue = connect(), names.queue()
    peer.channel().send(ChannelOpen(), QueueDeclare(queue=queue, durable=True))
    peer.expect_closed(504, "second 'channel.open' seen", by=ChannelOpen)
    no_queue(channel, queue)


def test_update_secret(peer: Peer) -> None:
    peer.call(ConnectionUpdateSecret(new_secret=b"guest", reason="it was time"))
    peer.channel().queue()
