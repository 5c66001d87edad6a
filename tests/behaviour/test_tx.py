"""Transactions: what tx.commit and tx.rollback do to publishes and acknowledgements."""

from __future__ import annotations

import pytest

from tests.clients.codec import Properties
from tests.clients.method import Method, Request
from tests.clients.methods import (
    ChannelClose,
    ChannelCloseOk,
    ConfirmSelect,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)
from tests.clients.methods_basic import BasicAck, BasicDeliver, BasicNack, BasicPublish, BasicReject, BasicReturn
from tests.clients.peer import Channel, Peer

from .conftest import Names


@pytest.fixture
def tx(channel: Channel) -> Channel:
    """The open channel, made transactional."""
    channel.call(TxSelect())
    return channel


@pytest.fixture
def observer(peer: Peer) -> Channel:
    """A second, ordinary channel of the same connection."""
    return peer.channel(2)


def test_select(channel: Channel) -> None:
    for _ in range(2):
        assert channel.call(TxSelect()) == TxSelectOk()


@pytest.mark.parametrize("method", [TxCommit, TxRollback])
def test_without_select(channel: Channel, method: type[TxCommit | TxRollback]) -> None:
    channel.expect_refused(method(), 406, "channel is not transactional")


def test_not_on_a_confirm_channel(channel: Channel) -> None:
    channel.confirm()
    channel.expect_refused(TxSelect(), 406, "cannot switch from confirm to tx mode")


def test_no_confirms_afterwards(tx: Channel) -> None:
    tx.expect_refused(ConfirmSelect(), 406, "cannot switch from tx to confirm mode")


def test_empty_transactions(tx: Channel) -> None:
    assert tx.call(TxCommit()) == TxCommitOk()
    assert tx.call(TxRollback()) == TxRollbackOk()


@pytest.mark.parametrize("durable", [False, True])
def test_publishes_wait_for_commit(tx: Channel, observer: Channel, names: Names, durable: bool) -> None:
    queue = tx.queue(names.queue(), exclusive=False, durable=durable)
    tx.publish(queue, b"1", b"2", delivery_mode=2)
    assert observer.bodies(queue) == []
    tx.call(TxCommit())
    assert observer.bodies(queue) == [b"1", b"2"]


def test_rollback_drops_publishes(tx: Channel, queue: str) -> None:
    tx.publish(queue, b"1")
    tx.call(TxRollback())
    tx.publish(queue, b"2")
    tx.call(TxCommit())
    assert tx.bodies(queue) == [b"2"]


def test_close_is_rollback(tx: Channel, queue: str) -> None:
    tx.publish(queue, b"1")
    tx.close()
    tx.open()
    assert tx.bodies(queue) == []


SETTLE = {
    "ack": BasicAck(delivery_tag=1),
    "nack": BasicNack(delivery_tag=1),
    "reject": BasicReject(delivery_tag=1),
}


@pytest.mark.parametrize("case", SETTLE)
def test_acknowledgements_wait_for_commit(tx: Channel, queue: str, case: str) -> None:
    tx.publish(queue, b"1", b"2")
    tx.call(TxCommit())
    for _ in range(2):
        tx.get(queue)
    tx.send(SETTLE[case])
    tx.call(TxCommit())
    tx.send(BasicAck(delivery_tag=2))
    tx.close()
    tx.open()
    found = tx.drain(queue)
    assert [(message.body, message.redelivered) for message in found] == [(b"2", True)]


def test_requeue_waits_for_commit(tx: Channel, observer: Channel, queue: str) -> None:
    observer.publish(queue, b"1")
    observer.expect_ready(queue, 1)
    tx.get(queue)
    tx.send(BasicNack(delivery_tag=1, requeue=True))
    tx.expect_silence()
    assert observer.ready(queue) == 0
    tx.call(TxCommit())
    assert observer.get(queue).redelivered


def test_rollback_gives_tags_back(tx: Channel, observer: Channel, queue: str) -> None:
    observer.publish(queue, b"1", b"2")
    observer.expect_ready(queue, 2)
    for number in (1, 2):
        assert tx.get(queue).delivery_tag == number
    tx.send(BasicAck(delivery_tag=2, multiple=True))
    tx.call(TxRollback())
    assert observer.bodies(queue) == []
    tx.send(BasicAck(delivery_tag=1), BasicReject(delivery_tag=2, requeue=True))
    tx.call(TxCommit())
    assert observer.bodies(queue) == [b"2"]


def test_rollback_does_not_deliver_again(tx: Channel, observer: Channel, queue: str) -> None:
    tx.consume(queue)
    observer.publish(queue, b"1")
    tx.expect(BasicDeliver)
    tx.send(BasicAck(delivery_tag=1))
    tx.call(TxRollback())
    tx.expect_silence()


def test_deliveries_are_not_transactional(tx: Channel, observer: Channel, queue: str) -> None:
    tx.consume(queue)
    observer.publish(queue, b"1")
    assert tx.expect(BasicDeliver).body == b"1"


def test_window_opens_at_commit(tx: Channel, observer: Channel, queue: str) -> None:
    tx.prefetch(1)
    tx.consume(queue)
    observer.publish(queue, b"1", b"2")
    tx.deliveries(1)
    tx.send(BasicAck(delivery_tag=1))
    tx.expect_silence()
    tx.call(TxCommit())
    assert tx.expect(BasicDeliver).body == b"2"


def test_unknown_tag_is_told_at_once(tx: Channel, queue: str) -> None:
    tx.expect_refused(BasicAck(delivery_tag=1), 406, "unknown delivery tag 1")


def test_tag_settled_in_the_same_transaction_is_unknown(tx: Channel, observer: Channel, queue: str) -> None:
    observer.publish(queue, b"1")
    observer.expect_ready(queue, 1)
    tx.get(queue)
    tx.send(BasicAck(delivery_tag=1), BasicAck(delivery_tag=1))
    tx.expect_closed(406, "unknown delivery tag 1", by=BasicAck)


def test_missing_exchange_is_told_at_once(tx: Channel, names: Names) -> None:
    missing = names.plain()
    tx.expect_refused(BasicPublish(exchange=missing), 404, f"no exchange '{missing}' in vhost '/'")


def test_error_is_rollback(tx: Channel, names: Names, queue: str) -> None:
    missing = names.plain()
    tx.publish(queue, b"1")
    tx.expect_refused(BasicPublish(exchange=missing), 404, f"no exchange '{missing}' in vhost '/'")
    assert tx.bodies(queue) == []


def test_returns_come_before_commit_ok(tx: Channel) -> None:
    tx.publish("behaviour-nowhere", b"1", mandatory=True)
    tx.expect_silence()
    tx.send(TxCommit())
    assert tx.expect(BasicReturn).body == b"1"
    tx.expect(TxCommitOk)


def test_routing_is_decided_at_publish(tx: Channel, observer: Channel, names: Names, queue: str) -> None:
    exchange = observer.exchange(names.exchange(), "fanout")
    tx.publish("", b"too early", exchange=exchange)
    observer.bind(queue, exchange)
    tx.publish("", b"in time", exchange=exchange)
    tx.call(TxCommit())
    assert tx.bodies(queue) == [b"in time"]


def test_commit_to_a_full_queue(tx: Channel, names: Names) -> None:
    full = tx.queue(names.plain(), x_max_length=0, x_overflow="reject-publish")
    tx.publish(full, b"1")
    tx.expect_refused(TxCommit(), 406, "partial tx completion")


def test_partial_completion_keeps_what_was_taken(tx: Channel, names: Names, queue: str) -> None:
    full = tx.queue(names.plain(), x_max_length=0, x_overflow="reject-publish")
    tx.publish(queue, b"1")
    tx.publish(full, b"2")
    tx.publish(queue, b"3")
    tx.expect_refused(TxCommit(), 406, "partial tx completion")
    tx.expect_ready(queue, 2)
    assert tx.bodies(queue) == [b"1", b"3"]


def test_select_inside_a_transaction_changes_nothing(tx: Channel, queue: str) -> None:
    tx.publish(queue, b"1")
    tx.call(TxSelect())
    assert tx.bodies(queue) == []
    tx.call(TxCommit())
    assert tx.bodies(queue) == [b"1"]


@pytest.mark.parametrize("request_", [TxCommit(), TxRollback()], ids=lambda request: type(request).__name__)
def test_many_without_waiting(tx: Channel, queue: str, request_: Request[TxCommitOk | TxRollbackOk]) -> None:
    for _ in range(5):
        tx.publish(queue, b"x")
        tx.call(request_)
    assert len(tx.bodies(queue)) == (5 if isinstance(request_, TxCommit) else 0)


def test_a_channel_may_be_closed_behind_a_commit(tx: Channel, peer: Peer, names: Names) -> None:
    queue = tx.queue(names.queue(), exclusive=False, durable=True)
    tx.send(
        BasicPublish(routing_key=queue, body=b"kept", properties=Properties(delivery_mode=2)),
        TxCommit(),
        ChannelClose(reply_code=200, reply_text="bye"),
    )
    assert ChannelCloseOk in [type(method) for method in tx.arriving(Method)]
    other = peer.channel(3)
    other.expect_ready(queue, 1)
