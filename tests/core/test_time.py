"""TTL of messages, idle time of queues, and timers, on a clock that the test moves."""

from __future__ import annotations

from itertools import pairwise

from leveret.core.turn.work import ENDING, TURN
from leveret.wire.fields import Table, long
from leveret.wire.methods import (
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicNack,
    BasicPublish,
    QueueDeclare,
    QueueDeclareOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Peer, make_broker


def declared(arguments: Table | None = None) -> Peer:
    """A client with a queue q."""
    peer = Peer()
    peer.call(QueueDeclare("q", arguments=arguments), QueueDeclareOk)
    return peer


def publish(peer: Peer, body: bytes, expiration: str | None = None) -> None:
    """Publish to q."""
    properties = BasicProperties()
    properties.expiration = expiration
    peer.send(BasicPublish("", "q"), body, properties)


def count(peer: Peer) -> int:
    """How many messages are ready."""
    return peer.call(QueueDeclare("q", passive=True), QueueDeclareOk).message_count


def exists(peer: Peer) -> bool:
    """Whether the queue exists; the check does not count as use."""
    return "q" in peer.broker.vhosts["/"].queues


def test_messages_expire_to_the_millisecond() -> None:
    peer = declared({"x-message-ttl": long(100)})
    publish(peer, b"1")
    peer.broker.tick(40)
    publish(peer, b"2")
    assert peer.broker.tick(99) == 100
    assert count(peer) == 2
    assert peer.broker.tick(100) == 140
    assert count(peer) == 1
    peer.broker.tick(140)
    assert count(peer) == 0


def test_the_shorter_limit_counts() -> None:
    peer = declared({"x-message-ttl": long(100)})
    publish(peer, b"1", "50")
    publish(peer, b"2", "500")
    peer.broker.tick(50)
    assert count(peer) == 1
    peer.broker.tick(100)
    assert count(peer) == 0


def test_an_expired_message_goes_when_it_reaches_the_head() -> None:
    peer = declared()
    publish(peer, b"1", "100")
    publish(peer, b"2", "10")
    peer.broker.tick(50)
    assert count(peer) == 2
    peer.broker.tick(100)
    assert count(peer) == 0


def test_an_expired_message_is_never_delivered() -> None:
    peer = declared()
    publish(peer, b"1", "100")
    publish(peer, b"2", "10")
    publish(peer, b"3")
    peer.broker.tick(50)
    peer.send(BasicConsume("q", "c"))
    assert [got.body for got in peer.got()] == [None, b"1", b"3"]


def test_a_message_held_by_a_consumer_expires_when_it_comes_back() -> None:
    peer = declared({"x-message-ttl": long(100)})
    publish(peer, b"1")
    peer.send(BasicGet("q"))
    assert [got.body for got in peer.got()] == [b"1"]
    peer.broker.tick(200)
    peer.send(BasicNack(1, False, True))
    assert count(peer) == 0
    assert isinstance(peer.call(BasicGet("q"), BasicGetEmpty), BasicGetEmpty)


def test_ttl_zero_reaches_only_who_waits() -> None:
    peer = declared({"x-message-ttl": long(0)})
    peer.broker.tick(1)
    publish(peer, b"1")
    assert count(peer) == 0


def test_an_idle_queue_ends() -> None:
    peer = declared({"x-expires": long(100)})
    publish(peer, b"1")
    peer.broker.tick(99)
    assert exists(peer)
    peer.broker.tick(100)
    assert not exists(peer)


def test_declare_passive_or_not_and_get_are_use_publish_is_none() -> None:
    peer = declared({"x-expires": long(100)})
    peer.broker.tick(60)
    peer.call(QueueDeclare("q", arguments={"x-expires": long(100)}), QueueDeclareOk)
    peer.broker.tick(120)
    peer.call(BasicGet("q"), BasicGetEmpty)
    peer.broker.tick(180)
    assert count(peer) == 0
    peer.broker.tick(240)
    publish(peer, b"1")
    peer.broker.tick(279)
    assert exists(peer)
    peer.broker.tick(280)
    assert not exists(peer)


def test_a_queue_with_consumers_is_not_idle() -> None:
    peer = declared({"x-expires": long(100)})
    peer.call(BasicConsume("q", "c"), BasicConsumeOk)
    peer.broker.tick(1000)
    peer.call(BasicCancel("c"), BasicCancelOk)
    peer.broker.tick(1099)
    assert exists(peer)
    peer.broker.tick(1100)
    assert not exists(peer)


def test_timers_say_when_the_next_one_is_due() -> None:
    broker = make_broker()
    vhost = broker.vhosts["/"]
    for name, idle_ms in (("a", 50), ("b", 30), ("c", 50)):
        vhost.make_queue(name, False, 0, False, {"x-expires": long(idle_ms)})
    assert broker.timers.next_ms() == 30
    assert broker.tick(29) == 30
    assert list(vhost.queues) == ["a", "b", "c"]
    assert broker.tick(30) == 50
    assert list(vhost.queues) == ["a", "c"]
    assert broker.tick(1000) is None
    assert not vhost.queues


def test_a_cancelled_timer_is_not_called_and_holds_nothing() -> None:
    broker = make_broker()
    vhost = broker.vhosts["/"]
    for number in range(1000):
        vhost.make_queue(f"{number}", False, 0, False, {"x-expires": long(10_000 + number)})
    assert len(broker.timers) == 1000
    for number in range(990):
        vhost.delete_queue(f"{number}", False, False, 1)
    assert broker.timers.next_ms() == 10_990
    assert len(broker.timers) <= 200
    assert broker.tick(10_990) == 10_991
    assert list(vhost.queues) == [f"{number}" for number in range(991, 1000)]


def test_one_idle_timer_however_often_consumers_come_and_go() -> None:
    peer = declared({"x-expires": long(1_000_000)})
    peer.call(BasicConsume("q", "c"), BasicConsumeOk)  # its channel has a timer from now on
    peer.call(BasicCancel("c"), BasicCancelOk)
    before = len(peer.broker.timers)
    for _ in range(50):
        peer.call(BasicConsume("q", "c"), BasicConsumeOk)
        peer.call(BasicCancel("c"), BasicCancelOk)
    assert len(peer.broker.timers) == before


def test_one_expiry_timer_however_the_head_changes() -> None:
    peer = declared()
    before = len(peer.broker.timers)
    for number in range(500):
        publish(peer, b"", f"{100_000 - number}")
        assert count(peer) == number + 1
    for _ in range(499):
        peer.send(BasicGet("q", no_ack=True))
        assert len(peer.got()) == 1
    assert len(peer.broker.timers) <= before + 201
    peer.broker.tick(100_000)
    assert count(peer) == 0


def test_queues_that_end_at_the_same_time_end_in_pieces() -> None:
    broker = make_broker()
    vhost = broker.vhosts["/"]
    for number in range(200):
        vhost.make_queue(str(number), False, 0, False, {"x-expires": long(100)})
    left = [len(vhost.queues)]
    while broker.tick(100) == 100:
        left.append(len(vhost.queues))
    left.append(len(vhost.queues))
    assert left[-1] == 0
    assert max(before - after for before, after in pairwise(left)) <= TURN // ENDING
