"""Heartbeats, time limits and tx, on a clock that the test moves."""

from __future__ import annotations

from leveret.session.connection.connection import Connection
from leveret.wire.methods import (
    BasicAck,
    BasicGet,
    BasicGetEmpty,
    BasicPublish,
    ChannelClose,
    ConfirmSelect,
    ConnectionClose,
    ConnectionCloseOk,
    QueueDeclare,
    QueueDeclareOk,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)
from leveret.wire.writer import HEARTBEAT
from tests.clients.socketless import Peer, make_broker


def test_heartbeats_are_sent_when_nothing_else_was() -> None:
    peer = Peer(heartbeat_s=10)
    sent: list[int] = []
    for now_s in range(1, 31):
        peer.broker.tick(now_s * 1000)
        peer.connection.receive(HEARTBEAT)
        if now_s == 22:
            peer.call(QueueDeclare("q"), QueueDeclareOk)
        data = peer.raw()
        assert data in (b"", HEARTBEAT)
        if data:
            sent.append(now_s)
    assert sent == [5, 10, 15, 20, 27]


def test_two_silent_intervals_end_the_connection() -> None:
    peer = Peer(heartbeat_s=10)
    peer.call(QueueDeclare("q", exclusive=True), QueueDeclareOk)
    peer.broker.tick(10_000)
    peer.broker.tick(20_000)
    assert not peer.connection.finished
    peer.broker.tick(30_000)
    assert peer.connection.finished
    assert not peer.broker.vhosts["/"].queues


def test_any_byte_is_a_sign_of_life() -> None:
    peer = Peer(heartbeat_s=10)
    for now_s in range(5, 100, 10):
        peer.broker.tick(now_s * 1000)
        peer.connection.receive(HEARTBEAT[:4] if now_s % 20 == 5 else HEARTBEAT[4:])
    assert not peer.connection.finished


def test_without_heartbeats_silence_is_fine() -> None:
    peer = Peer()
    peer.broker.tick(10_000_000)
    assert not peer.connection.finished
    assert peer.raw() == b""


def test_a_handshake_that_takes_too_long() -> None:
    broker = make_broker()
    connection = Connection(broker, "test", "127.0.0.1", "0")
    connection.receive(b"AMQP")
    broker.tick(9_999)
    assert not connection.finished
    broker.tick(10_000)
    assert connection.finished
    assert connection.data_to_send() == []


def test_a_close_without_an_answer() -> None:
    peer = Peer()
    peer.connection.force_close("enough")
    assert peer.expect(ConnectionClose).reply_text == "CONNECTION_FORCED - enough"
    peer.broker.tick(29_999)
    assert not peer.connection.finished
    peer.broker.tick(30_000)
    assert peer.connection.finished


def test_a_close_with_an_answer() -> None:
    peer = Peer()
    peer.connection.force_close("enough")
    peer.expect(ConnectionClose)
    peer.send(QueueDeclare("ignored"))
    peer.send(ConnectionCloseOk(), channel=0)
    assert peer.connection.finished
    assert not peer.broker.connections
    assert not peer.broker.vhosts["/"].queues


def transactional() -> Peer:
    """A client in tx mode with a queue q."""
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    peer.call(TxSelect(), TxSelectOk)
    return peer


def fetched(peer: Peer) -> bytes | None:
    """The body of the head of the queue."""
    peer.send(BasicGet("q"))
    (got,) = peer.got()
    return None if isinstance(got.method, BasicGetEmpty) else got.body


def test_publishes_wait_for_the_commit() -> None:
    peer = transactional()
    peer.send(BasicPublish("", "q"), b"1")
    assert fetched(peer) is None
    peer.call(TxCommit(), TxCommitOk)
    assert fetched(peer) == b"1"


def test_rolled_back_publishes_are_gone() -> None:
    peer = transactional()
    peer.send(BasicPublish("", "q"), b"1")
    peer.call(TxRollback(), TxRollbackOk)
    peer.call(TxCommit(), TxCommitOk)
    assert fetched(peer) is None


def test_rolled_back_acks_are_outstanding_again() -> None:
    peer = transactional()
    peer.send(BasicPublish("", "q"), b"1")
    peer.call(TxCommit(), TxCommitOk)
    assert fetched(peer) == b"1"
    peer.send(BasicAck(1))
    peer.call(TxRollback(), TxRollbackOk)
    peer.send(BasicAck(1))
    peer.call(TxCommit(), TxCommitOk)
    assert peer.broker.vhosts["/"].queues["q"].unacked == 0


def test_an_uncommitted_ack_ends_with_its_connection() -> None:
    peer = transactional()
    peer.send(BasicPublish("", "q"), b"1")
    peer.call(TxCommit(), TxCommitOk)
    assert fetched(peer) == b"1"
    peer.send(BasicAck(1))
    peer.connection.lost()
    assert fetched(Peer(peer.broker)) == b"1"


def test_confirm_and_tx_exclude_each_other() -> None:
    peer = transactional()
    text = peer.call(ConfirmSelect(), ChannelClose).reply_text
    assert text == "PRECONDITION_FAILED - cannot switch from tx to confirm mode"
