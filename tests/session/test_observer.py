"""An observer sees what passes a virtual host, and decides what becomes of publishes."""

from __future__ import annotations

import pytest

from leveret.core.client.settling import ACK, DISCARD, REQUEUE, RETURN
from leveret.core.message.confirm import AGAIN, FULL, Confirm
from leveret.core.message.destination import Destination
from leveret.core.message.message import Followed, Message
from leveret.core.queue.client import FOLLOW, HOLD, PASS, REFUSE, STRAY, Client, Follower, Observer
from leveret.core.queue.dead_letter import EXPIRED, MAXLEN, REJECTED
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


class Notes(Observer):
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

    def on_death(self, stored: QueueEntry, reason: str) -> None:
        """Note it."""
        self.seen.append(("death", stored.message.body(), stored.queue.name, reason))


@pytest.fixture
def peer() -> Peer:
    """A client with a queue q."""
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    return peer


@pytest.fixture
def notes(peer: Peer) -> Notes:
    """The observer of its broker; one publish went before, so that its route is known."""
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
        ("death", b"now", "q", REJECTED),
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
    assert peer.broker.add_vhost("later").observer is notes


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


def test_it_sees_what_is_given_up(peer: Peer, notes: Notes) -> None:
    arguments = {"x-message-ttl": long(1_000), "x-max-length": long(1)}
    peer.call(QueueDeclare("short", arguments=arguments), QueueDeclareOk)
    peer.send(BasicPublish("", "short"), b"first")
    peer.send(BasicPublish("", "short"), b"second")
    peer.broker.tick(1_001)
    assert [each for each in notes.seen if each[0] == "death"] == [
        ("death", b"first", "short", MAXLEN),
        ("death", b"second", "short", EXPIRED),
    ]


# -- several of them


@pytest.fixture
def more(peer: Peer, notes: Notes) -> Notes:
    """Another one, in the virtual host alone."""
    more = Notes()
    more.needs_contents = False
    peer.broker.vhosts["/"].join(more)
    return more


def test_all_of_them_see_everything(peer: Peer, notes: Notes, more: Notes) -> None:
    peer.send(BasicPublish("", "q"), b"now")
    peer.send(BasicConsume("q", "tag"))
    peer.send(BasicAck(1))
    peer.send(BasicReject(2, False))
    assert more.seen == notes.seen
    assert [each[0] for each in more.seen] == ["publish", "deliver", "deliver", "settle", "settle", "death"]


def test_who_leaves_sees_no_more_and_the_others_do(peer: Peer, notes: Notes, more: Notes) -> None:
    vhost = peer.broker.vhosts["/"]
    third = Notes()
    vhost.join(third)
    vhost.leave(more)
    peer.send(BasicPublish("", "q"), b"1")
    peer.broker.let_watch(None)
    peer.send(BasicPublish("", "q"), b"2")
    vhost.leave(third)
    peer.send(BasicPublish("", "q"), b"3")
    assert [len(each.seen) for each in (notes, more, third)] == [1, 0, 2]
    assert vhost.observer is None
    assert not vhost.is_watched


def test_the_firehose_goes_on_and_off_beside_them(peer: Peer, notes: Notes, more: Notes) -> None:
    vhost = peer.broker.vhosts["/"]
    vhost.trace(True)
    vhost.trace(False)
    vhost.trace(True)
    peer.send(BasicPublish("", "q"), b"now")
    assert (len(notes.seen), len(more.seen)) == (1, 1)
    vhost.leave(more)
    peer.broker.let_watch(None)
    assert (vhost.tracing, vhost.is_watched, vhost.observer) == (True, True, None)


@pytest.mark.parametrize(
    ("first", "second", "seen"),
    [(PASS, STRAY, ["q"]), (STRAY, HOLD, []), (REFUSE, PASS, []), (HOLD, REFUSE, ["q"])],
)
def test_the_first_one_that_wants_something_gets_it(
    peer: Peer, notes: Notes, more: Notes, first: int, second: int, seen: list[str]
) -> None:
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    notes.verdicts, more.verdicts = [first], [second]
    peer.send(BasicPublish("", "q"), b"now")
    counts = {STRAY: 1, REFUSE: 1, HOLD: 2}
    verdict = first if first != PASS else second
    assert len(peer.broker.vhosts["/"].queues["q"].ready) == counts[verdict]
    assert more.seen == [("publish", b"now", seen, False)]
    assert [len(each.held) for each in (notes, more)] == ([1, 0] if verdict == HOLD else [0, 0])


def test_who_holds_a_confirm_gets_it(peer: Peer, notes: Notes, more: Notes) -> None:
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    more.verdicts = [HOLD]
    peer.send(BasicPublish("", "q"), b"now")
    assert (peer.got(), notes.held) == ([], [])
    more.held.pop().pay()
    assert methods(peer.got()) == [("BasicAck", 1)]


def test_what_one_refuses_the_others_see(peer: Peer, notes: Notes, more: Notes) -> None:
    notes.error = AmqpError(403, "for a test")
    peer.send(BasicPublish("", "q"), b"now")
    assert peer.expect(ChannelClose).reply_code == 403
    assert more.seen == [("publish", b"now", [], False)]


def test_one_that_fails_is_not_felt_by_the_others(peer: Peer, notes: Notes) -> None:
    class Blind(Notes):
        def note(self, *what: object) -> None:
            raise ValueError("blind")

        on_publish = on_delivery = on_settle = on_death = note  # type: ignore[assignment]

    vhost = peer.broker.vhosts["/"]
    more = Notes()
    vhost.join(Blind())
    vhost.join(more)
    peer.send(BasicPublish("", "q"), b"now")
    peer.send(BasicConsume("q", "tag"))
    peer.send(BasicReject(1, False))
    assert more.seen == notes.seen
    assert len(more.seen) == 5
    assert {fault.doing.split(" (")[0] for fault in peer.broker.faults.told} == {"show an observer what passes"}


def test_one_of_them_follows_what_the_others_only_look_at(peer: Peer, notes: Notes, more: Notes) -> None:
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    more.verdicts = [FOLLOW]
    peer.send(BasicPublish("", "q"), b"now")
    assert methods(peer.got()) == [("BasicAck", 1)]
    assert [each.heard for each in more.following] == [[(True, 0)]]
    last = peer.broker.vhosts["/"].queues["q"].ready.items()[-1].message
    assert isinstance(last, Followed)
    assert last.follower is more.following[0]


@pytest.mark.parametrize(
    ("verdict", "heard"), [(HOLD, (False, 0)), (STRAY, (False, 0)), (REFUSE, (False, AGAIN)), (FOLLOW, (False, 0))]
)
@pytest.mark.parametrize("is_first", [True, False])
def test_who_cannot_follow_hears_at_once(
    peer: Peer, notes: Notes, more: Notes, verdict: int, heard: tuple[bool, int], is_first: bool
) -> None:
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    notes.verdicts, more.verdicts = ([verdict], [FOLLOW]) if is_first else ([FOLLOW], [verdict])
    peer.send(BasicPublish("", "q"), b"now")
    follows, other = (more, notes) if is_first or verdict == FOLLOW else (notes, more)
    assert [each.heard for each in follows.following] == [[heard]]
    if verdict == FOLLOW:
        assert [each.heard for each in other.following] == [[(True, 0)]]
    else:
        assert len(other.held) == (verdict == HOLD)


def test_an_error_of_one_of_them_ends_what_another_follows(peer: Peer, notes: Notes, more: Notes) -> None:
    more.verdicts = [FOLLOW]
    notes.error = AmqpError(403, "for a test")
    peer.send(BasicPublish("", "q"), b"")
    peer.expect(ChannelClose)
    assert [each.heard for each in more.following] == [[(False, AGAIN)]]


def test_contents_stay_while_one_of_them_needs_them(peer: Peer, notes: Notes, more: Notes) -> None:
    vhost = peer.broker.vhosts["/"]
    assert vhost.observer is not None
    assert vhost.observer.needs_contents
    peer.broker.let_watch(None)
    assert vhost.observer is more
    vhost.join(Notes())
    assert vhost.observer.needs_contents


def test_what_a_channel_leaves_behind_is_seen_to_come_back(peer: Peer, notes: Notes) -> None:
    peer.send(BasicConsume("q", "tag"))
    assert [type(got.method) for got in peer.got()] == [BasicConsumeOk, BasicDeliver]
    peer.connection.lost()
    assert notes.seen[-1] == ("settle", b"before", RETURN)
