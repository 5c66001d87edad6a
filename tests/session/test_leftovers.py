"""What a client leaves behind when it is gone: nothing, and at once, without the help of the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest

from leveret.core.broker import Broker
from leveret.core.queue.consumers import Consumer
from leveret.core.queue.dead_letter import DeadLetter
from leveret.core.queue.expiry import Expiry
from leveret.core.queue.queue import Queue
from leveret.core.queue.replies import REPLY_TO
from leveret.session.channel import Channel
from leveret.session.connection.blocking import Blocking
from leveret.session.connection.connection import Connection
from leveret.session.connection.heartbeat import Heartbeat
from leveret.session.connection.publisher_flow import PublisherFlow
from leveret.session.consume.ack_timeout import AckTimeout
from leveret.session.publish.publishing import Publishing
from leveret.wire.fields import long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicPublish,
    ChannelClose,
    ChannelCloseOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueueDeclareOk,
    TxSelect,
    TxSelectOk,
)
from tests.clients.socketless import Peer, encode, held_bytes, make_broker

KINDS = (
    AckTimeout,
    Blocking,
    Channel,
    Connection,
    Consumer,
    DeadLetter,
    Expiry,
    Heartbeat,
    PublisherFlow,
    Publishing,
    Queue,
)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """No garbage collector while the test runs."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def census() -> dict[str, int]:
    """How many objects of each kind there are."""
    found = [type(each) for each in gc.get_objects()]
    return {kind.__name__: found.count(kind) for kind in KINDS}


def busy(broker: Broker) -> Peer:
    """A client that does a bit of everything."""
    peer = Peer(broker, heartbeat_s=30)
    peer.call(QueueDeclare("", exclusive=True, arguments={"x-expires": long(100_000)}), QueueDeclareOk)
    peer.call(QueueDeclare("kept"), QueueDeclareOk)
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    for number in (2, 3, 4):
        peer.open(number)
    peer.call(TxSelect(), TxSelectOk, channel=3)
    peer.send(ExchangeDeclare("x", "fanout", auto_delete=True))
    peer.send(QueueBind("kept", "x"))
    peer.send(BasicConsume("kept", "c"), channel=2)
    peer.send(BasicConsume(REPLY_TO, "r", no_ack=True), channel=1)
    dying = {"x-message-ttl": long(0), "x-dead-letter-exchange": longstr("")}
    peer.send(QueueDeclare("dying", exclusive=True, arguments=dying))
    peer.send(BasicPublish("", "dying"), b"hello")
    for number in (1, 3):
        peer.send(BasicPublish("x", "k"), b"hello", channel=number)
    peer.send(BasicPublish("", "nowhere", mandatory=True), b"hello")
    peer.send(BasicAck(1), channel=2)
    peer.send(BasicAck(9), channel=4)  # a soft error, which is never answered
    peer.got()
    return peer


def cut(peer: Peer) -> None:
    """The socket is gone."""
    peer.connection.lost()


def close(peer: Peer) -> None:
    """The client closes, with requests in front of it in the same read."""
    last = encode(1, BasicPublish("", "kept"), b"last") + encode(0, ConnectionClose(200, "", 0, 0))
    peer.connection.receive(last)
    peer.raw()
    peer.connection.lost()


def break_off(peer: Peer) -> None:
    """The client makes no sense, and does not answer our close."""
    peer.connection.receive(b"\x01\x00\x01\x00\x00\x00\x00\x00")
    peer.raw()
    peer.broker.tick(peer.broker.clock.now_ms + 40_000)
    peer.raw()
    peer.connection.lost()


def fall_silent(peer: Peer) -> None:
    """The client sends no heartbeats."""
    for _ in range(4):
        peer.broker.tick(peer.broker.clock.now_ms + 30_000)
        peer.raw()
    peer.connection.lost()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("end", [cut, close, break_off, fall_silent])
def test_nothing_of_a_connection_is_left(end: Callable[[Peer], None]) -> None:
    broker = make_broker()
    bystander = Peer(broker)
    bystander.call(QueueDeclare("kept"), QueueDeclareOk)
    before, timers = census(), len(broker.timers)
    for _ in range(3):
        peer = busy(broker)
        end(peer)
        assert peer.connection.finished
        del peer
        assert census() == before
    assert len(broker.connections) == 1
    assert broker.timers.next_ms() is None
    assert len(broker.timers) <= timers


@pytest.mark.usefixtures("no_collector")
def test_a_handshake_cut_short_leaves_nothing() -> None:
    broker = make_broker()
    before = census()
    for _ in range(1000):
        connection = Connection(broker, "test", "127.0.0.1", "0")
        connection.receive(b"AMQP\x00\x00\x09\x01" + bytes(1000))
        connection.lost()
        broker.awake.clear()
    del connection
    assert census() == before
    assert len(broker.timers) <= 200


@pytest.mark.usefixtures("no_collector")
def test_nothing_of_a_channel_is_left() -> None:
    peer = Peer()
    peer.call(QueueDeclare("kept"), QueueDeclareOk)
    before = census()
    for _ in range(3):
        peer.open(2)
        peer.call(ConfirmSelect(), ConfirmSelectOk, channel=2)
        peer.send(BasicConsume("kept", "c"), channel=2)
        peer.send(BasicPublish("", "kept"), b"hello", channel=2)
        peer.got()
        peer.call(ChannelClose(200, "", 0, 0), ChannelCloseOk, channel=2)
        assert census() == before


def test_routes_end_with_what_they_lead_to() -> None:
    peer = Peer()
    for number in range(100):
        peer.call(QueueDeclare(f"{number:02}"), QueueDeclareOk)
    for number in range(100):
        peer.send(BasicPublish("", f"{number:02}"), b"")
    one = peer.connection.routes_bytes // 100
    assert one > 0
    assert (peer.connection.routes_bytes, peer.broker.budget.used) == (100 * one, 100 * one + held_bytes(peer.broker))
    peer.call(QueueDeclare("xy"), QueueDeclareOk)
    peer.send(BasicPublish("", "xy"), b"")
    assert peer.connection.routes_bytes == one
