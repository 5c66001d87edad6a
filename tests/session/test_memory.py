"""Whoever holds messages counts in one budget, and lets go of them, or somebody hears that there is no room."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.core.client.party import MAX_ROUTE_BYTES
from leveret.core.message.budget import COST, LEAST_PART
from leveret.core.turn.alarms import FULL, HELD, HELD_MS
from leveret.session.base.carrier import OUTPUT_LIMIT
from leveret.wire.fields import longstr
from leveret.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    ChannelClose,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionBlocked,
    ConnectionUnblocked,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Got, Peer, held_bytes

from .test_paging import Backlog

LIMIT = 200_000
LARGE = 10_000


def body(number: int) -> bytes:
    """A body that occurs nowhere else."""
    return b"%d " % number + bytes(LARGE)


def bodies(found: list[Got]) -> list[int]:
    """The numbers of bodies that are whole."""
    numbers = []
    for got in found:
        if got.body is not None:
            number = int(got.body.split()[0])
            assert got.body == body(number)
            numbers.append(number)
    return numbers


def limited() -> Peer:
    """A client of a broker without a data directory."""
    peer = Peer(capabilities=("connection.blocked",))
    peer.broker.budget.limit = LIMIT
    return peer


@pytest.fixture
def backlog(tmp_path: Path) -> Backlog:
    """A broker on a data directory with the queue q."""
    found = Backlog(tmp_path)
    found.broker.budget.limit = LIMIT
    found.queue("q")
    return found


def hold(backlog: Backlog, queue: str, count: int) -> list[int]:
    """Publish so many messages, one after the other, and have them all delivered and not acknowledged."""
    backlog.peer.call(BasicConsume(queue, "tag"), BasicConsumeOk)
    found: list[Got] = []
    for number in range(count):
        backlog.publish(queue, body(number))
        backlog.safe()
        found += backlog.peer.got()
    assert held_bytes(backlog.broker) <= LIMIT
    return bodies(found)


def test_deliveries_that_wait_for_an_ack_rest_and_come_back(backlog: Backlog) -> None:
    assert hold(backlog, "q", 100) == list(range(100))
    assert not backlog.broker.alarms.raised
    backlog.peer.send(BasicNack(0, True, True))
    found = backlog.peer.got()
    assert bodies(found) == list(range(100))
    assert all(isinstance(got.method, BasicDeliver) and got.method.redelivered for got in found)
    assert held_bytes(backlog.broker) <= LIMIT + LARGE
    backlog.peer.send(BasicAck(0, True))
    backlog.broker.finish()
    assert held_bytes(backlog.broker) == 0
    backlog.end()


def test_what_rests_only_later_is_let_go_without_anybody_asking(backlog: Backlog) -> None:
    backlog.peer.call(BasicConsume("q", "tag"), BasicConsumeOk)
    for number in range(60):
        backlog.publish("q", body(number))
    assert backlog.peer.connection.is_paused
    assert bodies(backlog.peer.got()) == list(range(60))
    backlog.commit()  # the queue
    backlog.commit()
    while backlog.broker.is_busy():
        backlog.broker.tick(backlog.now_ms)
    assert held_bytes(backlog.broker) <= LIMIT
    assert not backlog.peer.connection.is_paused
    backlog.end()


def test_those_of_a_quorum_queue_show_their_counts(backlog: Backlog) -> None:
    backlog.queue("quorum", x_queue_type="quorum")
    assert hold(backlog, "quorum", 60) == list(range(60))
    backlog.peer.send(BasicNack(0, True, True))
    found = backlog.peer.got()
    assert bodies(found) == list(range(60))
    headers = [got.properties.headers for got in found if got.properties is not None]
    assert [each and each["x-acquired-count"].value for each in headers] == [1] * 60
    backlog.end()


def test_what_is_acked_while_it_rests_is_gone(backlog: Backlog, tmp_path: Path) -> None:
    hold(backlog, "q", 60)
    backlog.peer.send(BasicAck(30, True))
    backlog.end()
    again = Backlog(tmp_path)
    assert again.ready("q") == 30
    assert bodies([again.get("q") for _ in range(30)]) == list(range(30, 60))
    again.end()


def test_what_rests_is_seen_by_a_browser(backlog: Backlog) -> None:
    hold(backlog, "q", 60)
    backlog.peer.call(BasicCancel("tag"), BasicCancelOk)
    backlog.peer.send(BasicNack(0, True, True))
    assert held_bytes(backlog.broker) < LIMIT
    assert bodies([backlog.get("q") for _ in range(60)]) == list(range(60))
    backlog.end()


def test_a_queue_purges_what_rests_without_reading_it(backlog: Backlog) -> None:
    hold(backlog, "q", 60)
    backlog.peer.call(BasicCancel("tag"), BasicCancelOk)
    backlog.peer.send(BasicNack(0, True, True))
    assert backlog.broker.vhosts["/"].queues["q"].purge() == 60
    backlog.broker.finish()
    assert held_bytes(backlog.broker) == 0
    backlog.end()


def test_large_messages_leave_a_short_head(backlog: Backlog) -> None:
    for number in range(100):
        backlog.publish("q", body(number))
        backlog.safe()
        assert held_bytes(backlog.broker) <= LIMIT + LARGE
    assert bodies([backlog.get("q") for _ in range(100)]) == list(range(100))
    backlog.end()


@pytest.mark.parametrize("level", [None, 3])
def test_many_queues_with_little_each_rest_too(backlog: Backlog, level: int | None) -> None:
    for number in range(100):
        backlog.queue(f"q{number}", **({} if level is None else {"x_max_priority": 5}))
        backlog.publish(f"q{number}", body(number), priority=level)
        backlog.safe()
    assert held_bytes(backlog.broker) <= LIMIT + LARGE
    assert bodies([backlog.get(f"q{number}") for number in range(100)]) == list(range(100))
    backlog.end()


def test_a_content_counts_once_however_many_queues_have_it() -> None:
    peer = limited()
    for number in range(10):
        peer.call(QueueDeclare(f"q{number}"), QueueDeclareOk)
        peer.call(QueueBind(f"q{number}", "amq.fanout", ""), QueueBindOk)
    peer.send(BasicPublish("amq.fanout", ""), body(1))
    whole = held_bytes(peer.broker)
    assert LARGE + 10 * COST < whole < LARGE + 10 * COST + 100
    for number in range(10):
        assert held_bytes(peer.broker) == whole - number * COST
        peer.send(BasicGet(f"q{number}", True))
        assert bodies(peer.got()) == [1]
    assert held_bytes(peer.broker) == 0


def test_publishers_wait_for_what_cannot_rest() -> None:
    peer = limited()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    other = Peer(peer.broker)
    number = 0
    while not peer.connection.is_paused:
        peer.send(BasicPublish("", "q"), body(number))
        number += 1
    assert LIMIT < held_bytes(peer.broker) < LIMIT * 1.25
    assert peer.broker.alarms.raised == HELD
    assert peer.got() == []  # it is not told at once
    peer.broker.tick(peer.broker.clock.now_ms + HELD_MS)
    assert peer.broker.alarms.raised == HELD | FULL
    assert peer.expect(ConnectionBlocked).reason == "low on memory"
    assert "cannot be paged out to the disk; the budget is 0 MiB" in peer.broker.explanations.pop()
    other.send(BasicGet("q", False))
    taken = [other.expect(BasicGetOk)]
    assert peer.connection.is_paused  # what is not acknowledged counts as well
    for tag in range(1, 6):
        other.send(BasicAck(tag))
        other.send(BasicGet("q", False))
        taken.append(other.expect(BasicGetOk))
    assert not peer.broker.alarms.raised
    assert not peer.connection.is_paused
    peer.expect(ConnectionUnblocked)
    assert "publishers go on" in peer.broker.explanations.pop()


def test_a_transaction_has_a_bound() -> None:
    peer = limited()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    peer.call(TxSelect(), TxSelectOk)
    half = bytes(LEAST_PART // 2 - COST - 100)
    peer.send(BasicPublish("", "q"), half)
    assert held_bytes(peer.broker) > len(half)
    peer.call(TxRollback(), TxRollbackOk)
    assert held_bytes(peer.broker) == 0
    peer.broker.budget.limit = 8 * LEAST_PART
    for _ in range(2):
        peer.send(BasicPublish("", "q"), half)
    peer.call(TxCommit(), TxCommitOk)
    for _ in range(3):
        peer.send(BasicPublish("", "q"), half)
    closed = peer.expect(ChannelClose)
    text = "PRECONDITION_FAILED - the messages of a transaction must not need more than 1048576 bytes of memory"
    assert (closed.reply_code, closed.reply_text) == (406, text)
    assert held_bytes(peer.broker) < 3 * len(half)
    assert len(peer.broker.vhosts["/"].queues["q"].ready) == 2


def test_a_single_message_of_a_transaction_may_be_of_any_size() -> None:
    peer = limited()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    peer.call(TxSelect(), TxSelectOk)
    peer.send(BasicPublish("", "q"), bytes(2 * LEAST_PART))
    peer.call(TxCommit(), TxCommitOk)
    assert len(peer.broker.vhosts["/"].queues["q"].ready) == 1


def asked(requester: Peer, server: Peer) -> str:
    """Where the server has to reply to what the requester has asked."""
    server.call(QueueDeclare("rpc"), QueueDeclareOk)
    requester.call(BasicConsume("amq.rabbitmq.reply-to", "tag", no_ack=True), BasicConsumeOk)
    properties = BasicProperties()
    properties.reply_to = "amq.rabbitmq.reply-to"
    requester.send(BasicPublish("", "rpc"), b"?", properties)
    server.send(BasicGet("rpc", True))
    (got,) = server.got()
    assert got.properties is not None
    return got.properties.reply_to or ""


def test_replies_wait_for_a_requester_that_does_not_read() -> None:
    server = Peer()
    server.broker.budget.limit = 8 * LEAST_PART
    requester = Peer(server.broker)
    address = asked(requester, server)
    server.call(ConfirmSelect(), ConfirmSelectOk)
    requester.connection.pause_writing()
    settled: list[Got] = []
    for number in range(150):
        server.send(BasicPublish("", address), body(number))
        settled += server.got()
    refused = sum(isinstance(got.method, BasicNack) for got in settled)
    assert 0 < refused < 150
    assert held_bytes(server.broker) < LEAST_PART + 2 * LARGE
    assert requester.connection.writer.size() < OUTPUT_LIMIT + 2 * LARGE
    requester.connection.resume_writing()
    assert bodies(requester.got()) == list(range(150 - refused))
    assert held_bytes(server.broker) == 0
    server.send(BasicPublish("", address), body(7))
    assert bodies(requester.got()) == [7]


def test_replies_end_with_their_requester() -> None:
    server = Peer()
    requester = Peer(server.broker)
    address = asked(requester, server)
    requester.connection.pause_writing()
    server.send(BasicPublish("", address), body(1))
    assert held_bytes(server.broker) > LARGE
    requester.connection.lost()
    server.broker.finish()
    assert held_bytes(server.broker) == 0


def test_cached_routes_are_bounded_and_can_be_forgotten() -> None:
    peer = Peer()
    for number in range(10_000):
        peer.send(BasicPublish("amq.topic", f"{number:0200}"), b"")
        assert peer.connection.routes_bytes < MAX_ROUTE_BYTES + 5000
    assert peer.broker.budget.used == peer.connection.routes_bytes > 100_000
    peer.broker.budget.limit = 50_000
    peer.broker.settle()
    assert peer.broker.budget.used == peer.connection.routes_bytes == 0
    peer.send(BasicPublish("amq.topic", "again"), b"")
    assert peer.connection.routes_bytes > 0
    peer.connection.lost()
    assert peer.broker.budget.used == 0


def test_a_connection_forgets_exclusive_queues_that_are_gone() -> None:
    peer = Peer()
    for number in range(10):
        peer.call(QueueDeclare(f"q{number}", exclusive=True), QueueDeclareOk)
        peer.call(QueueDeclare(f"q{number}", exclusive=True), QueueDeclareOk)
    assert len(peer.connection.exclusive_queues) == 10
    for number in range(9):
        peer.call(QueueDelete(f"q{number}"), QueueDeleteOk)
    assert [queue.name for queue in peer.connection.exclusive_queues] == ["q9"]
    peer.connection.lost()
    assert peer.broker.queues() == []


def test_prefetch_and_acks_leave_nothing_behind() -> None:
    peer = limited()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    peer.call(BasicQos(0, 3), BasicQosOk)
    peer.call(BasicConsume("q", "tag"), BasicConsumeOk)
    for number in range(10):
        peer.send(BasicPublish("", "q"), body(number))
    assert bodies(peer.got()) == [0, 1, 2]
    peer.send(BasicAck(1))
    peer.send(BasicNack(2, False, True))
    peer.send(BasicNack(3, False, False))
    peer.got()
    assert held_bytes(peer.broker) > 7 * LARGE
    peer.send(QueueDelete("q"))
    peer.broker.finish()
    peer.connection.lost()
    peer.broker.finish()
    assert held_bytes(peer.broker) == 0


def test_headers_count_too() -> None:
    peer = limited()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    properties = BasicProperties()
    properties.headers = {"x": longstr("x" * LARGE)}
    peer.send(BasicPublish("", "q"), b"", properties)
    assert held_bytes(peer.broker) > LARGE + COST
