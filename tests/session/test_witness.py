"""A witness sees what passes a virtual host, and decides what becomes of publishes."""

from __future__ import annotations

import pytest

from leveret.core.client.settling import ACK, DISCARD, REQUEUE, RETURN
from leveret.core.message.confirm import AGAIN, FULL, Confirm
from leveret.core.message.destination import Destination
from leveret.core.message.message import Followed, Message
from leveret.core.queue.client import FOLLOW, HOLD, PASS, REFUSE, STRAY, Client, Follower, Witness
from leveret.core.queue.entry import QueueEntry
from leveret.session.base.errors import AmqpError
from leveret.store.memory import MemoryLog
from leveret.wire.fields import long, longstr
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
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    TxCommit,
    TxCommitOk,
    TxSelect,
    TxSelectOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Got, Peer, make_broker, turn


class Following(Follower):
    """Takes notes of what it hears of one message."""

    def __init__(self) -> None:
        self.heard: list[tuple[bool, int]] = []

    def on_published(self, is_confirmed: bool, how: int) -> None:
        """Note it."""
        self.heard.append((is_confirmed, how))


class Notes(Witness):
    """Takes notes. verdicts: of the next publishes; error: raised instead. following: all followers so far."""

    def __init__(self) -> None:
        self.following: list[Following] = []
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

    def follower(self) -> Follower:
        """A new one."""
        self.following.append(Following())
        return self.following[-1]

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


def test_a_follower_hears_of_the_confirm(notes: Notes) -> None:
    log = MemoryLog(hold=True)
    peer = Peer(make_broker(log))
    peer.broker.let_watch(notes)
    peer.send(QueueDeclare("q", durable=True))
    log.release()
    peer.expect(QueueDeclareOk)
    full = {"x-max-length": long(0), "x-overflow": longstr("reject-publish")}
    peer.call(QueueDeclare("none", arguments=full), QueueDeclareOk)
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    notes.verdicts = [FOLLOW] * 3
    persistent = BasicProperties()
    persistent.delivery_mode = 2
    peer.send(BasicPublish("", "q"), b"1", persistent)
    peer.send(BasicPublish("", "none"), b"2")
    peer.send(BasicPublish("", "nobody"), b"3")
    turn(peer.broker)
    assert [each.heard for each in notes.following] == [[], [(False, FULL)], [(False, 0)]]
    log.release()
    assert [each.heard for each in notes.following] == [[(True, 0)], [(False, FULL)], [(False, 0)]]
    assert sorted(methods(peer.got())) == [("BasicAck", 1), ("BasicAck", 3), ("BasicNack", 2)]


def test_without_confirms_a_follower_hears_at_once(peer: Peer, notes: Notes) -> None:
    notes.verdicts = [FOLLOW, FOLLOW]
    peer.send(BasicPublish("", "q"), b"now")
    peer.call(TxSelect(), TxSelectOk)
    peer.send(BasicPublish("", "q"), b"later")
    assert [each.heard for each in notes.following] == [[(False, 0)]] * 2
    peer.call(TxCommit(), TxCommitOk)
    found = [stored.message for stored in peer.broker.vhosts["/"].queues["q"].ready.items()]
    assert [message.body() for message in found] == [b"before", b"now", b"later"]
    assert [message.follower for message in found if isinstance(message, Followed)] == notes.following


def test_publishes_are_counted_whether_somebody_watches_or_not(peer: Peer, notes: Notes) -> None:
    peer.call(QueueDeclare("r"), QueueDeclareOk)
    for name in ("q", "r"):
        peer.call(QueueBind(name, "amq.fanout"), QueueBindOk)
        peer.call(QueueBind(name, "amq.headers"), QueueBindOk)
    for verdict in (PASS, FOLLOW):
        notes.verdicts = [verdict] * 3
        peer.send(BasicPublish("", "q"), b"1")
        peer.send(BasicPublish("amq.fanout", ""), b"2")
        peer.send(BasicPublish("amq.headers", ""), b"3")
    peer.broker.let_watch(None)
    peer.send(BasicPublish("", "q"), b"4")
    peer.connection.count_routes()
    exchanges = peer.broker.vhosts["/"].exchanges
    totals = {name: exchanges[name].counters.total() for name in ("", "amq.fanout", "amq.headers")}
    assert {name: (total.published, total.routed) for name, total in totals.items()} == {
        "": (4, 4),
        "amq.fanout": (2, 4),
        "amq.headers": (2, 4),
    }


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
