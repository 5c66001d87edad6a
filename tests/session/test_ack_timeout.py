"""Deliveries that wait too long for their acknowledgement, on a clock that the test moves."""

from __future__ import annotations

import pytest

from leveret.wire.fields import Field, Table, long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicPublish,
    ChannelClose,
    QueueDeclare,
    QueueDeclareOk,
    QueuePurge,
    QueuePurgeOk,
)
from tests.clients.socketless import Peer

MINUTE_MS = 60_000
TEXT = (
    "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: {} ms. "
    "This timeout value can be configured, see consumers doc guide to learn more"
)


def client(own_ms: int | None = None, broker_ms: int | None = None) -> Peer:
    """A client with a queue q. own_ms: the queue's timeout, broker_ms: that of the broker."""
    peer = Peer()
    if broker_ms is not None:
        peer.broker.consumer_timeout_ms = broker_ms
    arguments: Table = {} if own_ms is None else {"x-consumer-timeout": long(own_ms)}
    peer.call(QueueDeclare("q", arguments=arguments), QueueDeclareOk)
    return peer


def publish(peer: Peer, count: int = 1) -> None:
    """Some messages."""
    for _ in range(count):
        peer.send(BasicPublish("", "q"), b"x")


@pytest.mark.parametrize(
    ("own_ms", "broker_ms", "used_ms"),
    [(None, None, 1_800_000), (90_500, None, 90_500), (None, 5_000, 5_000), (7_000, 5_000, 7_000), (7_000, 0, 7_000)],
)
@pytest.mark.parametrize("gets", [True, False])
def test_to_the_millisecond(own_ms: int | None, broker_ms: int | None, used_ms: int, gets: bool) -> None:
    peer = client(own_ms, broker_ms)
    if not gets:
        peer.call(BasicConsume("q", "c"), BasicConsumeOk)
    peer.broker.tick(20_000)
    publish(peer)
    if gets:
        peer.send(BasicGet("q"))
    assert [got.body for got in peer.got()] == [b"x"]
    for now_ms in [*range(20_000, 20_000 + used_ms, 17_000), 20_000 + used_ms - 1]:
        peer.broker.tick(now_ms)
    assert peer.got() == []
    peer.broker.tick(20_000 + used_ms)
    close = peer.expect(ChannelClose)
    assert (close.reply_code, close.reply_text) == (406, TEXT.format(used_ms))
    assert (close.class_id, close.method_id) == (0, 0)
    (stored,) = peer.broker.vhosts["/"].queues["q"].ready.items()
    assert (stored.redelivered, stored.failures) == (True, 1)


def test_never() -> None:
    peer = client(broker_ms=0)
    publish(peer)
    peer.send(BasicGet("q"))
    assert len(peer.got()) == 1
    for now_ms in range(0, 100 * MINUTE_MS, MINUTE_MS):
        peer.broker.tick(now_ms)
    assert peer.got() == []


def test_a_busy_consumer_is_not_closed() -> None:
    peer = client(5_000)
    peer.call(BasicConsume("q", "c"), BasicConsumeOk)
    publish(peer, 2)
    assert len(peer.got()) == 2
    for second in range(1, 60):
        peer.broker.tick(second * 1000)
        peer.send(BasicAck(second, False))
        publish(peer)
        assert len(peer.got()) == 1
    peer.broker.tick(63_000 - 1)  # the oldest came at 58 s
    assert peer.got() == []
    peer.broker.tick(63_000)
    peer.expect(ChannelClose)


def test_a_shorter_timeout_is_seen_within_a_minute() -> None:
    peer = client()
    peer.call(BasicConsume("q", "c"), BasicConsumeOk)
    publish(peer)
    assert len(peer.got()) == 1
    peer.broker.tick(MINUTE_MS)
    peer.broker.vhosts["/"].queues["q"].settings.consumer_timeout_ms = 90_000
    peer.broker.tick(2 * MINUTE_MS)
    peer.expect(ChannelClose)


def test_an_idle_client_needs_no_timer() -> None:
    peer = client()
    publish(peer)
    peer.send(BasicGet("q"))
    peer.send(BasicAck(1, False))
    assert len(peer.got()) == 1
    for now_ms in range(0, 3 * MINUTE_MS, 1000):
        due_ms = peer.broker.tick(now_ms)
    assert due_ms is None


def test_no_time_at_all() -> None:
    peer = client(0)
    publish(peer)
    peer.send(BasicGet("q"))
    assert len(peer.got()) == 1
    peer.broker.tick(0)
    peer.expect(ChannelClose)
    peer.open(2)
    peer.call(QueuePurge("q"), QueuePurgeOk, channel=2)
    peer.call(BasicConsume("q", "c"), BasicConsumeOk, channel=2)
    peer.broker.tick(1)
    assert peer.broker.tick(1000) == 1100
    peer.send(BasicPublish("", "q"), b"x", channel=2)
    assert len(peer.got()) == 1
    peer.broker.tick(1100)
    peer.expect(ChannelClose)


def test_more_time_than_there_is() -> None:
    peer = client((1 << 63) - 1)
    publish(peer)
    peer.send(BasicGet("q"))
    assert len(peer.got()) == 1
    for now_ms in range(0, 100 * MINUTE_MS, MINUTE_MS):
        peer.broker.tick(now_ms)
    assert peer.got() == []


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_consumer_may_have_a_time_of_its_own(kind: str) -> None:
    arguments: Table = {"x-queue-type": longstr(kind), "x-consumer-timeout": long(5_000)}
    peer = Peer()
    peer.call(QueueDeclare("q", durable=True, arguments=arguments), QueueDeclareOk)
    for channel, own_ms in ((1, 2_000), (2, 9_000), (3, None)):
        if channel > 1:
            peer.open(channel)
        own: Table = {} if own_ms is None else {"x-consumer-timeout": long(own_ms)}
        peer.call(BasicConsume("q", "c", arguments=own), BasicConsumeOk, channel=channel)
    publish(peer, 3)
    assert sorted(got.channel for got in peer.got()) == [1, 2, 3]
    heard: list[tuple[int, int]] = []
    for now_ms in range(1, 9_001):
        peer.broker.tick(now_ms)
        heard += [(now_ms, got.channel) for got in peer.got() if isinstance(got.method, ChannelClose)]
    assert heard == [(2_000, 1), (5_000, 3), (9_000, 2)]


def test_the_time_of_one_consumer_counts_beside_older_deliveries_of_others() -> None:
    peer = client()
    peer.call(QueueDeclare("slow"), QueueDeclareOk)
    peer.call(BasicConsume("slow", "slow"), BasicConsumeOk)
    peer.call(BasicConsume("q", "quick", arguments={"x-consumer-timeout": long(1_000)}), BasicConsumeOk)
    for _ in range(5):
        peer.send(BasicPublish("", "slow"), b"slow")
    assert len(peer.got()) == 5
    peer.broker.tick(10_000)
    publish(peer)
    assert len(peer.got()) == 1
    peer.broker.tick(10_999)
    assert peer.got() == []
    peer.broker.tick(11_000)
    assert peer.expect(ChannelClose).reply_text == TEXT.format(1_000)


def test_a_busy_consumer_with_a_time_of_its_own_beside_a_slow_one_needs_few_timers() -> None:
    peer = client()
    peer.call(QueueDeclare("slow"), QueueDeclareOk)
    peer.call(BasicConsume("slow", "slow"), BasicConsumeOk)
    peer.call(BasicConsume("q", "quick", arguments={"x-consumer-timeout": long(5_000)}), BasicConsumeOk)
    peer.send(BasicPublish("", "slow"), b"slow")
    assert len(peer.got()) == 1
    calls = 0
    due_ms: int | None = 0
    for second in range(1, 120):
        while due_ms is not None and due_ms <= second * 1000:
            calls += 1
            due_ms = peer.broker.tick(max(due_ms, peer.broker.clock.now_ms))
        publish(peer)
        peer.got()
        peer.send(BasicAck(second + 1, False))
        due_ms = peer.broker.tick(second * 1000)
    assert calls < 120


@pytest.mark.parametrize("value", [long(-1), longstr("soon")])
def test_a_time_that_is_none_is_refused(value: Field) -> None:
    peer = client()
    peer.send(BasicConsume("q", "c", arguments={"x-consumer-timeout": value}))
    assert peer.expect(ChannelClose).reply_code == 406
