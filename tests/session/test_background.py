"""What takes long is done in pieces, and nobody but the clock can tell."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from leveret.core.broker import Broker
from leveret.core.message.budget import COST
from leveret.core.policy.policy import Policy
from leveret.core.queue.queue import Queue
from leveret.core.turn.work import PIECE, TURN
from leveret.wire.fields import Table, long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicRecover,
    BasicRecoverOk,
    ChannelClose,
    ChannelCloseOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Got, Peer, encode, held_bytes, turn

COUNT = 9 * PIECE + 100


def filled(count: int = COUNT, **arguments: int) -> Peer:
    """A client with a queue q of numbered messages."""
    peer = Peer()
    declare(peer, "q", {name.replace("_", "-"): long(value) for name, value in arguments.items()})
    publish(peer, "q", count)
    return peer


def declare(peer: Peer, name: str, arguments: Table | None = None, durable: bool = False) -> Queue:
    peer.call(QueueDeclare(name, durable=durable, arguments=arguments or {}), QueueDeclareOk)
    return queue_of(peer.broker, name)


def publish(peer: Peer, queue: str, count: int, first: int = 0) -> None:
    data = b"".join(encode(1, BasicPublish("", queue), b"%d" % each) for each in range(first, first + count))
    peer.connection.receive(data)


def queue_of(broker: Broker, name: str = "q") -> Queue:
    return broker.vhosts["/"].queues[name]


def holding(count: int = COUNT) -> Peer:
    """A client that holds all messages of q unacknowledged, and has a consumer."""
    peer = filled(count)
    peer.send(BasicConsume("q", "c"))
    assert len(peer.got()) == count + 1
    return peer


def numbers(found: list[Got]) -> list[int]:
    """What is in the messages among these."""
    return [int(got.body) for got in found if got.body is not None]


def pieces(broker: Broker) -> Iterator[int]:
    """Work until nothing is left; yields after each piece."""
    count = 0
    while len(broker.background):
        broker.work()
        count += 1
        yield count


def sizes(broker: Broker) -> list[int]:
    """Bytes of messages after each piece."""
    return [held_bytes(broker), *(held_bytes(broker) for _ in pieces(broker))]


def assert_cut(used: list[int]) -> None:
    """No piece may have thrown away more than PIECE messages, and all is gone in the end."""
    assert used[-1] == 0
    assert len(used) > COUNT // PIECE
    assert max(before - after for before, after in pairwise(used)) <= PIECE * (COST + 40)


def test_a_purge_has_its_effect_at_once() -> None:
    peer = filled()
    peer.connection.receive(encode(1, QueuePurge("q")) + encode(1, QueueDeclare("q", passive=True)))
    broker = peer.broker
    assert len(broker.background) == 1
    assert len(queue_of(broker).ready) == 0
    publish(peer, "q", 1, 77)
    peer.connection.receive(encode(1, BasicGet("q", no_ack=True)))
    assert_cut(sizes(broker))
    found = peer.got()
    assert [type(got.method) for got in found] == [QueuePurgeOk, QueueDeclareOk, BasicGetOk]
    assert isinstance(found[0].method, QueuePurgeOk)
    assert found[0].method.message_count == COUNT
    assert numbers(found) == [77]


def test_a_queue_is_deleted_at_once() -> None:
    peer = filled()
    peer.connection.receive(encode(1, QueueDelete("q")) + encode(1, QueueDeclare("q")))
    broker = peer.broker
    publish(peer, "q", 1, 77)
    peer.connection.receive(encode(1, BasicGet("q", no_ack=True)))
    assert_cut(sizes(broker))
    found = peer.got()
    assert [type(got.method) for got in found] == [QueueDeleteOk, QueueDeclareOk, BasicGetOk]
    assert isinstance(found[0].method, QueueDeleteOk)
    assert found[0].method.message_count == COUNT


def expiring() -> Peer:
    """A client with a queue whose first COUNT messages have just expired, unlike the last three."""
    peer = filled(x_message_ttl=1000)
    peer.broker.clock.now_ms = 900
    publish(peer, "q", 3, COUNT)
    peer.broker.tick(1001)
    assert len(peer.broker.background) == 1
    return peer


def test_expired_messages_go_in_pieces() -> None:
    broker = expiring().broker
    before = len(queue_of(broker).ready)
    assert before > 3
    for _ in pieces(broker):
        after = len(queue_of(broker).ready)
        assert before - after <= 2 * TURN  # a trim, and a look of the queue for itself
        before = after
    assert before == 3


def test_a_consumer_gets_what_has_not_expired() -> None:
    peer = expiring()
    peer.send(BasicConsume("q", "c"))
    assert len(queue_of(peer.broker).ready) > 3
    assert numbers(peer.got()) == [COUNT, COUNT + 1, COUNT + 2]


def test_a_get_finds_what_has_not_expired() -> None:
    peer = filled(x_message_ttl=1000)
    peer.broker.clock.now_ms = 900
    publish(peer, "q", 1, 77)
    peer.broker.clock.now_ms = 1001
    peer.send(BasicGet("q", no_ack=True))
    assert numbers(peer.got()) == [77]


def test_what_is_asked_behind_a_get_waits_for_it() -> None:
    peer = filled(x_message_ttl=1000)
    broker = peer.broker
    publish(peer, "q", 2, 77)
    for stored in queue_of(broker).ready.items()[-2:]:
        stored.deadline_ms = 0
    turn(broker)
    broker.clock.now_ms = 1001
    peer.connection.receive(
        encode(1, BasicGet("q", no_ack=True)) + encode(1, QueueDeclare("q", passive=True)) + encode(1, BasicGet("q"))
    )
    before = len(queue_of(broker).ready)
    assert before > 2
    for _ in pieces(broker):
        after = len(queue_of(broker).ready)
        assert before - after <= 2 * TURN
        before = after
    found = peer.got()
    assert [type(got.method) for got in found] == [BasicGetOk, QueueDeclareOk, BasicGetOk]
    assert isinstance(found[1].method, QueueDeclareOk)
    assert (numbers(found), found[1].method.message_count) == ([77, 78], 1)


@pytest.mark.parametrize("end", ["deleted", "closed", "gone"])
def test_a_get_that_is_not_answered_any_more(end: str) -> None:
    peer = filled(x_message_ttl=1000)
    broker = peer.broker
    publish(peer, "q", 1, 77)
    queue = queue_of(broker)
    queue.ready.items()[-1].deadline_ms = 0
    turn(broker)
    broker.clock.now_ms = 1001
    peer.send(BasicGet("q", no_ack=True))
    assert len(queue.ready) > 1
    if end == "deleted":
        broker.vhosts["/"].remove_queue(queue)
    elif end == "closed":
        peer.connection.force_close("by the test")
    else:
        peer.connection.lost()
    broker.finish()
    if end == "deleted":
        assert isinstance(peer.expect(BasicGetEmpty), BasicGetEmpty)
    else:
        assert numbers(peer.got()) == []
        assert len(queue.ready) == 1
    assert peer.connection.waits == []


def test_messages_with_many_headers_come_back_in_pieces() -> None:
    peer = Peer()
    broker = peer.broker
    queue = declare(peer, "q", {"x-queue-type": longstr("quorum")}, True)
    properties = BasicProperties()
    properties.headers = {"x": longstr(bytes(100_000))}
    count = 20
    for number in range(count):
        peer.send(BasicPublish("", "q"), b"%d" % number, properties)
    peer.send(BasicConsume("q", "c"))
    assert len(peer.got()) == count + 1
    peer.call(BasicCancel("c"), BasicCancelOk)
    peer.send(BasicRecover(True))
    held = [int(queue.unacked), *(int(queue.unacked) for _ in pieces(broker))]
    assert held[-1] == 0
    assert max(before - after for before, after in pairwise(held)) <= 2  # each costs about as much as a piece may
    assert isinstance(peer.expect(BasicRecoverOk), BasicRecoverOk)
    headers = [each.message.properties().headers for each in queue.ready.items()]
    assert headers == [{**properties.headers, "x-acquired-count": long(1)}] * count


def test_messages_with_many_headers_that_are_returned_one_by_one_take_turns() -> None:
    peer = Peer()
    queue = declare(peer, "q", {"x-queue-type": longstr("quorum")}, True)
    properties = BasicProperties()
    properties.headers = {"x": longstr(bytes(100_000))}
    count = 20
    for number in range(count):
        peer.send(BasicPublish("", "q"), b"%d" % number, properties)
    peer.send(BasicConsume("q", "c"))
    assert len(peer.got()) == count + 1
    peer.call(BasicCancel("c"), BasicCancelOk)
    peer.connection.receive(b"".join(encode(1, BasicNack(tag, False, True)) for tag in range(1, count + 1)))
    assert 0 < len(queue.ready) <= 5
    assert peer.got() == []
    assert len(queue.ready) == count


def test_a_shorter_limit_takes_effect_in_pieces() -> None:
    peer = filled()
    broker = peer.broker
    vhost = broker.vhosts["/"]
    vhost.set_policy(Policy("short", "^q$", {"max-length": 10}, 0, "queues"))
    ready = queue_of(broker).ready
    lengths = [len(ready), *(len(ready) for _ in pieces(broker))]
    assert lengths[-1] == 10
    assert max(before - after for before, after in pairwise(lengths)) <= PIECE
    assert [int(stored.message.body()) for stored in ready.items()] == list(range(COUNT - 10, COUNT))


def test_a_shorter_limit_of_many_queues_takes_effect_in_pieces() -> None:
    peer = Peer()
    broker = peer.broker
    names = [f"q{number}" for number in range(20)]
    for name in names:
        declare(peer, name)
        publish(peer, name, PIECE // 2)
    turn(broker)
    broker.vhosts["/"].set_policy(Policy("short", "^q", {"max-length": 10}, 0, "queues"))
    queues = [queue_of(broker, name) for name in names]
    lengths = [sum(len(queue.ready) for queue in queues)]
    lengths += [sum(len(queue.ready) for queue in queues) for _ in pieces(broker)]
    assert lengths[-1] == 10 * len(queues)
    assert max(before - after for before, after in pairwise(lengths)) <= TURN + PIECE
    assert [int(each.message.body()) for each in queues[-1].ready.items()] == list(range(PIECE // 2))[-10:]


def test_messages_of_many_queues_that_expire_at_the_same_time_go_in_pieces() -> None:
    peer = Peer()
    broker = peer.broker
    queues = [declare(peer, f"q{number}", {"x-message-ttl": long(100)}) for number in range(20)]
    for queue in queues:
        publish(peer, queue.name, PIECE // 2)
        turn(broker)
    before = sum(len(queue.ready) for queue in queues)
    assert before == 20 * (PIECE // 2)
    while broker.tick(100) == 100:
        after = sum(len(queue.ready) for queue in queues)
        assert before - after <= 3 * TURN  # by timers, a job, and a look at the queue that it has trimmed
        before = after
    assert [len(queue.ready) for queue in queues] == [0] * len(queues)


@pytest.mark.parametrize("requeue", [True, False])
def test_many_are_refused_before_the_next_request_is_looked_at(requeue: bool) -> None:
    peer = holding()
    broker = peer.broker
    peer.call(BasicCancel("c"), BasicCancelOk)
    peer.connection.receive(
        encode(1, BasicNack(COUNT, True, requeue))
        + encode(1, QueueDeclare("q", passive=True))
        + encode(1, BasicGet("q"))
    )
    before = COUNT
    for _ in pieces(broker):
        after = int(queue_of(broker).unacked)
        assert before - after <= 2 * PIECE
        before = after
    found = peer.got()
    assert isinstance(found[0].method, QueueDeclareOk)
    assert found[0].method.message_count == (COUNT if requeue else 0)
    assert numbers(found[1:]) == ([0] if requeue else [])
    assert queue_of(broker).holds == 0


def test_what_comes_back_is_delivered_in_its_old_order() -> None:
    peer = holding()
    other = Peer(peer.broker)
    other.send(BasicConsume("q", "other"))
    assert len(other.got()) == 1
    publish(other, "q", 5, COUNT)
    fresh = numbers(other.got()) + numbers(peer.got())
    assert sorted(fresh) == list(range(COUNT, COUNT + 5))
    peer.send(BasicNack(COUNT, True, True))
    publish(other, "q", 1, COUNT + 5)
    assert queue_of(peer.broker).holds == 1
    assert numbers(other.got()) + numbers(peer.got()) != []
    queue = queue_of(peer.broker)
    assert (len(queue.ready), queue.unacked, queue.holds) == (0, COUNT + 6, 0)


def test_each_consumer_gets_them_in_order() -> None:
    peer = holding()
    peer.send(BasicNack(COUNT, True, True))
    found = peer.got()
    assert numbers(found) == list(range(COUNT))
    assert all(isinstance(got.method, BasicDeliver) and got.method.redelivered for got in found)


def test_recover_ok_comes_when_all_are_back() -> None:
    peer = holding()
    peer.send(BasicRecover(True))
    assert queue_of(peer.broker).unacked > 0
    found = peer.got()
    assert isinstance(found[0].method, BasicRecoverOk)
    assert numbers(found) == list(range(COUNT))


def test_an_ack_of_many() -> None:
    peer = holding()
    peer.connection.receive(encode(1, BasicAck(COUNT - 1, True)) + encode(1, QueueDeclare("q", passive=True)))
    assert queue_of(peer.broker).unacked == COUNT - PIECE
    assert isinstance(peer.expect(QueueDeclareOk), QueueDeclareOk)
    assert queue_of(peer.broker).unacked == 1
    peer.send(BasicAck(1, True))
    assert isinstance(peer.expect(ChannelClose), ChannelClose)


def test_a_connection_that_dies_leaves_all_it_held_in_order() -> None:
    peer = holding()
    broker = peer.broker
    other = Peer(broker)
    other.send(BasicConsume("q", "other"))
    assert len(other.got()) == 1
    peer.connection.lost()
    queue = queue_of(broker)
    assert 0 < len(queue.ready) < COUNT
    assert len(queue.consumers) == 1
    assert numbers(other.got()) == list(range(COUNT))
    assert (len(queue.ready), queue.unacked) == (0, COUNT)


def test_what_was_acknowledged_stays_so_when_the_channel_ends_meanwhile() -> None:
    peer = holding()
    broker = peer.broker
    peer.send(BasicAck(COUNT - 10, True))
    peer.connection.force_close("by the test")
    broker.finish()
    queue = queue_of(broker)
    assert (len(queue.ready), queue.unacked, queue.holds) == (10, 0, 0)


def test_requests_that_waited_count_when_the_client_goes() -> None:
    peer = holding()
    broker = peer.broker
    queue = queue_of(broker)
    peer.connection.receive(encode(1, BasicAck(COUNT - 10, True)) + encode(1, BasicPublish("", "q"), b"last"))
    assert len(queue.ready) == 0
    peer.connection.lost()
    broker.finish()
    assert (len(queue.ready), queue.unacked) == (11, 0)


def test_a_channel_can_be_closed_and_opened_again() -> None:
    peer = holding()
    peer.send(ChannelClose(200, "bye"))
    peer.expect(ChannelCloseOk)
    peer.open(1)
    peer.send(BasicConsume("q", "c"))
    assert numbers(peer.got()) == list(range(COUNT))


def test_a_queue_that_is_deleted_while_messages_return_to_it() -> None:
    peer = holding()
    broker = peer.broker
    other = Peer(broker)
    peer.send(BasicNack(COUNT, True, True))
    other.call(QueueDelete("q"), QueueDeleteOk)
    broker.finish()
    assert held_bytes(broker) == 0
    declare(other, "q")
    assert peer.connection.waits == []
