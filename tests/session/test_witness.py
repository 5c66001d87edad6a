"""A witness sees what passes a virtual host, and decides what becomes of publishes."""

from __future__ import annotations

import pytest

from leveret.core.client.settling import ACK, DISCARD, REQUEUE, RETURN
from leveret.core.message.confirm import AGAIN, Confirm
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message
from leveret.core.queue.client import HOLD, PASS, REFUSE, STRAY, Client, Witness
from leveret.core.queue.entry import QueueEntry
from leveret.session.base.errors import AmqpError
from leveret.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicNack,
    BasicPublish,
    BasicReject,
    BasicReturn,
    ChannelClose,
    ConfirmSelect,
    ConfirmSelectOk,
    QueueDeclare,
    QueueDeclareOk,
    TxCommit,
    TxCommitOk,
    TxSelect,
    TxSelectOk,
)
from tests.clients.socketless import Got, Peer


class Notes(Witness):
    """Takes notes. verdicts: of the next publishes; error: raised instead."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []
        self.verdicts: list[int] = []
        self.error: AmqpError | None = None
        self.held: list[Confirm] = []

    def on_publish(self, client: Client, message: Message, queues: list[Destination], mandatory: bool) -> int:
        """Note it."""
        self.seen.append(("publish", message.body(), [queue.name for queue in queues], mandatory))
        if self.error is not None:
            raise self.error
        return self.verdicts.pop(0) if self.verdicts else PASS

    def on_held(self, confirm: Confirm) -> None:
        """Keep it."""
        self.held.append(confirm)

    def on_delivery(self, client: Client, stored: QueueEntry, tag: int, no_ack: bool, is_get: bool) -> None:
        """Note it."""
        self.seen.append(("deliver", stored.message.body(), stored.queue.name, no_ack))

    def on_settle(self, stored: QueueEntry, how: int) -> None:
        """Note it."""
        self.seen.append(("settle", stored.message.body(), how))


@pytest.fixture
def peer() -> Peer:
    """A client with a queue q."""
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    return peer


@pytest.fixture
def notes(peer: Peer) -> Notes:
    """The witness of its broker; one publish went before, so that its route is known."""
    peer.send(BasicPublish("", "q"), b"before")
    notes = Notes()
    peer.broker.let_watch(notes)
    return notes


def methods(found: list[Got]) -> list[tuple[str, int]]:
    """Kinds and tags of acks and nacks."""
    return [(type(got.method).__name__, getattr(got.method, "delivery_tag", 0)) for got in found]


def test_it_sees_publishes_deliveries_and_settlements(peer: Peer, notes: Notes) -> None:
    peer.send(BasicPublish("", "q"), b"now")
    peer.send(BasicPublish("", "nobody", mandatory=True), b"lost")
    peer.expect(BasicReturn)
    peer.send(BasicConsume("q", "tag"))
    peer.got()
    peer.send(BasicAck(1))
    peer.send(BasicReject(2, False))
    assert notes.seen == [
        ("publish", b"now", ["q"], False),
        ("publish", b"lost", [], True),
        ("deliver", b"before", "q", False),
        ("deliver", b"now", "q", False),
        ("settle", b"before", ACK),
        ("settle", b"now", DISCARD),
    ]


def test_it_sees_what_comes_back(peer: Peer, notes: Notes) -> None:
    peer.send(BasicGet("q"))
    peer.send(BasicNack(1, False, True))
    peer.send(BasicGet("q"))
    peer.send(BasicReject(2, True))
    peer.send(BasicGet("q", no_ack=True))
    peer.got()
    assert [each[2] for each in notes.seen if each[0] == "settle"] == [REQUEUE, RETURN]
    assert [each[3] for each in notes.seen if each[0] == "deliver"] == [False, False, True]


def test_it_sees_no_more_when_it_has_gone(peer: Peer, notes: Notes) -> None:
    peer.broker.let_watch(None)
    peer.send(BasicPublish("", "q"), b"now")
    assert notes.seen == []


def test_a_virtual_host_that_comes_later_is_watched_too(peer: Peer, notes: Notes) -> None:
    assert peer.broker.add_vhost("later").witness is notes


def test_refused_held_and_stray_publishes_are_confirmed_under_their_tags(peer: Peer, notes: Notes) -> None:
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    notes.verdicts = [PASS, REFUSE, HOLD, STRAY, PASS]
    for number in range(5):
        peer.send(BasicPublish("", "q"), b"%d" % number)
    assert methods(peer.got()) == [("BasicAck", 1), ("BasicAck", 4), ("BasicAck", 5), ("BasicNack", 2)]
    notes.held.pop().pay()
    assert methods(peer.got()) == [("BasicAck", 3)]
    assert [stored.message.body() for stored in peer.broker.vhosts["/"].queues["q"].ready.items()] == [
        b"before",
        b"0",
        b"2",
        b"4",
    ]


def test_a_held_confirm_may_be_refused(peer: Peer, notes: Notes) -> None:
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    notes.verdicts = [HOLD]
    peer.send(BasicPublish("", "nobody", mandatory=True), b"")
    peer.expect(BasicReturn)
    notes.held.pop().refuse(AGAIN)
    assert methods(peer.got()) == [("BasicNack", 1)]


def test_a_held_confirm_outlives_its_channel(peer: Peer, notes: Notes) -> None:
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    notes.verdicts = [HOLD]
    peer.send(BasicPublish("", "q"), b"")
    peer.connection.lost()
    notes.held.pop().pay()
    assert peer.got() == []


def test_without_confirms_nothing_is_held(peer: Peer, notes: Notes) -> None:
    notes.verdicts = [HOLD, REFUSE]
    peer.send(BasicPublish("", "q"), b"held")
    peer.send(BasicPublish("", "q"), b"refused")
    assert (notes.held, peer.got()) == ([], [])
    assert len(peer.broker.vhosts["/"].queues["q"].ready) == 2


def test_an_error_closes_the_channel(peer: Peer, notes: Notes) -> None:
    notes.error = AmqpError(403, "for a test")
    peer.send(BasicPublish("", "q"), b"")
    close = peer.expect(ChannelClose)
    assert (close.reply_code, close.reply_text, close.class_id, close.method_id) == (
        403,
        "ACCESS_REFUSED - for a test",
        60,
        40,
    )


def test_in_a_transaction_a_refused_publish_is_not_committed(peer: Peer, notes: Notes) -> None:
    peer.call(TxSelect(), TxSelectOk)
    notes.verdicts = [REFUSE, STRAY, PASS]
    for body in (b"refused", b"stray", b"kept"):
        peer.send(BasicPublish("", "q"), body)
    peer.call(TxCommit(), TxCommitOk)
    queue = peer.broker.vhosts["/"].queues["q"]
    assert [stored.message.body() for stored in queue.ready.items()] == [b"before", b"kept"]


def test_what_a_channel_leaves_behind_is_seen_to_come_back(peer: Peer, notes: Notes) -> None:
    peer.send(BasicConsume("q", "tag"))
    assert [type(got.method) for got in peer.got()] == [BasicConsumeOk, BasicDeliver]
    peer.connection.lost()
    assert notes.seen[-1] == ("settle", b"before", RETURN)
