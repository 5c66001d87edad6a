"""A shared window that gets wider lets messages through a moment after basic.qos-ok, not with it."""

from __future__ import annotations

from leveret.session.consume.consuming import MOMENT_MS
from leveret.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    ChannelClose,
    ChannelCloseOk,
    QueueDeclare,
    QueueDeclareOk,
)
from tests.clients.socketless import Peer


def client(limit: int = 1, messages: int = 4) -> Peer:
    """A client whose window is full: it has as many of some messages as its window allows."""
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    peer.call(BasicQos(prefetch_count=limit, global_=True), BasicQosOk)
    peer.call(BasicConsume("q", "c"), BasicConsumeOk)
    for _ in range(messages):
        peer.send(BasicPublish("", "q"), b"x")
    assert tags(peer) == list(range(1, limit + 1))
    return peer


def qos(peer: Peer, limit: int) -> None:
    """Change the window, and get nothing but the answer."""
    peer.send(BasicQos(prefetch_count=limit, global_=True))
    assert [type(got.method) for got in peer.got()] == [BasicQosOk]


def tags(peer: Peer) -> list[int]:
    """The delivery tags of what came, which is nothing but deliveries."""
    methods = [got.method for got in peer.got()]
    assert all(isinstance(method, BasicDeliver) for method in methods)
    return [method.delivery_tag for method in methods if isinstance(method, BasicDeliver)]


def test_a_wider_window_counts_in_a_moment() -> None:
    peer = client()
    qos(peer, 3)
    peer.broker.tick(MOMENT_MS - 1)
    assert tags(peer) == []
    peer.broker.tick(MOMENT_MS)
    assert tags(peer) == [2, 3]
    peer.send(BasicAck(1))
    assert tags(peer) == [4]


def test_no_limit_is_the_widest() -> None:
    peer = client()
    qos(peer, 0)
    assert tags(peer) == []
    peer.broker.tick(MOMENT_MS)
    assert tags(peer) == [2, 3, 4]


def test_a_message_published_in_that_moment_waits_too() -> None:
    peer = client(messages=1)
    qos(peer, 2)
    peer.send(BasicPublish("", "q"), b"x")
    assert tags(peer) == []
    peer.broker.tick(MOMENT_MS)
    assert tags(peer) == [2]


def test_a_narrower_window_counts_at_once() -> None:
    peer = client(limit=2)
    qos(peer, 1)
    peer.send(BasicAck(1))
    assert tags(peer) == []
    peer.send(BasicAck(2))
    assert tags(peer) == [3]


def test_the_last_word_counts() -> None:
    peer = client()
    qos(peer, 4)
    qos(peer, 1)
    peer.broker.tick(MOMENT_MS)
    assert tags(peer) == []
    qos(peer, 4)
    qos(peer, 2)
    peer.broker.tick(2 * MOMENT_MS)
    assert tags(peer) == [2]


def test_without_consumers_it_counts_at_once() -> None:
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    for limit in (1, 2):
        qos(peer, limit)
    for _ in range(3):
        peer.send(BasicPublish("", "q"), b"x")
    peer.send(BasicConsume("q", "c"))
    assert [type(got.method) for got in peer.got()] == [BasicConsumeOk, BasicDeliver, BasicDeliver]


def test_a_channel_that_ends_in_that_moment_gets_nothing_more() -> None:
    peer = client()
    qos(peer, 2)
    peer.call(ChannelClose(200, "", 0, 0), ChannelCloseOk)
    peer.broker.tick(MOMENT_MS)
    assert tags(peer) == []
