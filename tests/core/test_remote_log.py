"""A queue with a remote log: it waits for answers, handles refusals, and stops when another node takes it."""

from __future__ import annotations

import gc

import pytest

from leveret.core.errors.administration import AdministrationError, InvalidError, Promise
from leveret.core.errors.refusals import UNKNOWN, Refusal
from leveret.core.message.log import NotHereYet
from leveret.core.queue.life import LOST
from leveret.core.queue.queue import Queue
from leveret.management.messages import export_messages
from leveret.management.queues import faulty_queues, repair_queue
from leveret.session.connection.connection import Connection
from leveret.session.consume.consuming import PATIENCE_MS
from leveret.wire.constants import NOT_FOUND
from leveret.wire.fields import Field, Table, boolean, long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    BasicReject,
    ChannelClose,
    ChannelCloseOk,
    ConfirmSelect,
    ConfirmSelectOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    TxCommit,
    TxCommitOk,
    TxSelect,
    TxSelectOk,
)
from leveret.wire.properties import BasicProperties
from tests.brokers.remote import RemoteLog
from tests.clients.socketless import Got, Peer, held_bytes, make_broker

SIZE = 700
MANY = 40
GONE = "NOT_FOUND - home node of durable queue 'q' in vhost '/' is down or inaccessible"
LIMIT = 12_000  # bytes of memory: a third of MANY messages


def body(number: int) -> bytes:
    """A body that is large enough to be paged out."""
    return str(number).encode().ljust(SIZE)


def numbers(found: list[Got]) -> list[int]:
    """The numbers of the delivered messages."""
    return [int(got.body.split()[0]) for got in found if got.body is not None]


class Scene:
    """A queue with a log of its own, and one that has the log of the broker."""

    def __init__(self, **arguments: Field) -> None:
        self.broker = make_broker()
        self.broker.budget.limit = LIMIT
        self.log = RemoteLog(self.broker.news)
        self.peer = Peer(self.broker)
        self.peer.call(QueueDeclare("dead", arguments=None), QueueDeclareOk)
        self.peer.call(QueueDeclare("q", durable=True, arguments=arguments), QueueDeclareOk)
        self.queue.log = self.log

    @property
    def queue(self) -> Queue:
        """The queue with the remote log."""
        return self.broker.vhosts["/"].queues["q"]

    def publish(self, *which: int) -> None:
        """Publish persistent messages."""
        properties = BasicProperties()
        properties.delivery_mode = 2
        for number in which:
            self.peer.send(BasicPublish("", "q"), body(number), properties)

    def fill(self, count: int = MANY) -> None:
        """Publish more than the budget allows; what is behind the head is paged out."""
        self.publish(*range(count))
        self.log.commit()
        self.peer.got()
        assert held_bytes(self.broker) <= LIMIT

    def drain(self, peer: Peer) -> list[Got]:
        """All messages delivered while the log answers."""
        found = peer.got()
        while self.log.bring():
            found += peer.got()
        return found

    def dead(self) -> list[int]:
        """The dead letters."""
        found: list[int] = []
        for stored in self.broker.vhosts["/"].queues["dead"].ready.items():
            found.append(int(stored.message.body().split()[0]))
        return found


@pytest.fixture
def scene() -> Scene:
    """A plain queue."""
    return Scene()


def test_a_get_waits_for_the_head(scene: Scene) -> None:
    scene.fill()
    other = Peer(scene.broker)
    got: list[Got] = []
    while len(got) < MANY:
        other.send(BasicGet("q", no_ack=True))
        other.send(QueueDeclare("dead", passive=True))
        found = other.got()
        if not found:
            assert scene.peer.call(QueueDeclare("dead", passive=True), QueueDeclareOk)  # nobody else waits
            assert other.got() == []
            assert scene.log.bring()
            found = other.got()
        assert [type(each.method) for each in found] == [BasicGetOk, QueueDeclareOk]
        got += found[:1]
    assert numbers(got) == list(range(MANY))
    other.call(BasicGet("q"), BasicGetEmpty)


def test_a_get_that_waits_ends_with_its_connection(scene: Scene) -> None:
    scene.fill()
    other = Peer(scene.broker)
    while not scene.log.asked:
        other.send(BasicGet("q"))
        other.got()
    held = scene.queue.unacked
    other.connection.lost()
    assert scene.queue.unacked == 0 < held
    assert numbers(scene.drain(consumer(scene))) == list(range(MANY))


def test_a_get_does_not_wait_for_ever(scene: Scene) -> None:
    scene.fill()
    other = Peer(scene.broker)
    while not scene.log.asked:
        other.send(BasicGet("q"))
        other.got()
    other.send(QueueDeclare("dead", passive=True))
    scene.broker.tick(scene.broker.clock.now_ms + PATIENCE_MS - 1)
    assert other.got() == []
    scene.broker.tick(scene.broker.clock.now_ms + 1)
    close = other.expect(ChannelClose)
    assert (close.reply_code, close.reply_text.partition(" queue ")[0]) == (NOT_FOUND, GONE.partition(" queue ")[0])
    other.send(ChannelCloseOk())
    other.open(1)
    other.call(QueueDeclare("dead", passive=True), QueueDeclareOk)
    scene.log.bring()
    assert other.got() == []
    assert scene.queue.unacked == 0


def alive() -> int:
    """The number of connections, including unused ones."""
    return sum(isinstance(each, Connection) for each in gc.get_objects())


def test_who_waits_and_goes_leaves_nothing(scene: Scene) -> None:
    scene.fill()
    gc.collect()
    gc.disable()
    try:
        before = alive()
        for count in range(1, 4):
            other = Peer(scene.broker)
            while len(scene.queue._waiting or ()) < count:
                other.send(BasicGet("q", no_ack=True))
                other.got()
            other.connection.lost()
        del other
        scene.broker.tick(scene.broker.clock.now_ms + PATIENCE_MS)
        assert not scene.queue._waiting
        scene.broker.awake.clear()  # as the driver does
        assert alive() == before
    finally:
        gc.enable()


def consumer(scene: Scene, limit: int = 0, no_ack: bool = True) -> Peer:
    """A client that consumes from the queue."""
    peer = Peer(scene.broker)
    if limit:
        peer.call(BasicQos(0, limit), BasicQosOk)
    peer.send(BasicConsume("q", "c", no_ack=no_ack))
    return peer


def test_consumers_get_what_comes(scene: Scene) -> None:
    scene.fill()
    peer = consumer(scene)
    first = peer.got()
    assert 0 < len(first) < MANY
    assert peer.got() == []
    assert numbers(first + scene.drain(peer)) == list(range(MANY))


def test_a_consumer_goes_before_a_get_that_waits(scene: Scene) -> None:
    scene.fill()
    peer = consumer(scene)
    found = peer.got()
    other = Peer(scene.broker)
    other.send(BasicGet("q"))
    assert other.got() == []
    scene.log.bring()
    assert [type(got.method) for got in other.got()] == [BasicGetEmpty]
    assert numbers(found + peer.got()) == list(range(MANY))


def test_what_a_consumer_can_take_is_not_dropped() -> None:
    scene = Scene(**{"x-max-length": long(MANY)})
    scene.fill()
    peer = consumer(scene)
    found = peer.got()
    scene.publish(*range(MANY, MANY + 6 + len(found)))
    assert numbers(found + scene.drain(peer)) == list(range(MANY + 6 + len(found)))
    assert scene.queue.total().dropped == 0


def test_a_limit_drops_what_comes() -> None:
    scene = Scene(**{"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")})
    scene.fill()
    scene.broker.budget.limit = 1 << 30
    scene.peer.call(QueueDeclare("q", passive=True), QueueDeclareOk)
    scene.queue.settings.max_length = 5
    scene.queue.apply(scene.queue.settings)
    scene.peer.got()
    before = len(scene.queue.ready)
    assert 5 < before < MANY
    scene.drain(scene.peer)
    assert len(scene.queue.ready) == 5
    assert scene.dead() == list(range(MANY - 5))
    assert numbers(scene.drain(consumer(scene))) == list(range(MANY - 5, MANY))


def test_what_expires_waits_for_the_log() -> None:
    scene = Scene(
        **{
            "x-message-ttl": long(1000),
            "x-dead-letter-exchange": longstr(""),
            "x-dead-letter-routing-key": longstr("dead"),
        }
    )
    scene.fill()
    scene.broker.budget.limit = 1 << 30
    scene.broker.tick(1001)
    scene.peer.got()
    assert len(scene.dead()) < MANY
    scene.drain(scene.peer)
    assert scene.dead() == list(range(MANY))
    assert len(scene.queue.ready) == 0


def test_what_rests_and_is_rejected_becomes_a_dead_letter() -> None:
    scene = Scene(**{"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")})
    peer = consumer(scene, no_ack=False)
    peer.expect(BasicConsumeOk)
    scene.fill()
    found = scene.drain(peer)
    assert numbers(found) == list(range(MANY))
    scene.broker.budget.limit = 1 << 30
    tags = [got.method.delivery_tag for got in found if isinstance(got.method, BasicDeliver)]
    for tag in tags:
        peer.send(BasicReject(tag, False))
    peer.send(BasicCancel("c"))
    scene.drain(peer)
    assert sorted(scene.dead()) == list(range(MANY))


def test_what_came_back_and_rests(scene: Scene) -> None:
    peer = consumer(scene, no_ack=False)
    peer.expect(BasicConsumeOk)
    scene.fill()
    found = scene.drain(peer)
    peer.connection.lost()
    other = consumer(scene)
    again = scene.drain(other)
    assert numbers(again) == numbers(found) == list(range(MANY))
    assert all(got.method.redelivered for got in again if isinstance(got.method, BasicDeliver))


def test_a_purge_needs_nothing(scene: Scene) -> None:
    scene.fill()
    assert scene.peer.call(QueuePurge("q"), QueuePurgeOk).message_count == MANY
    assert scene.log.asked == {}
    assert scene.log.stored[scene.queue.queue_id] == {}
    assert held_bytes(scene.broker) == 0


def test_a_message_is_taken_from_what_rests(scene: Scene) -> None:
    scene.fill()
    with pytest.raises(NotHereYet):
        scene.queue.take_at(MANY // 2)
    assert len(scene.queue.ready) == MANY
    scene.log.bring()
    stored = scene.queue.take_at(MANY // 2)
    assert stored is not None
    assert stored.message.body() == body(MANY // 2 - 1)


def test_an_administrator_looks(scene: Scene) -> None:
    scene.fill()
    promise = export_messages(scene.broker, "q")
    assert isinstance(promise, Promise)
    assert not promise.is_done()
    while not promise.is_done():
        assert scene.log.bring()
    answer = promise.result()
    assert isinstance(answer, dict)
    assert (answer["ready"], answer["missing"], answer["is_last"]) == (MANY, 0, True)
    assert len(answer["data"]) > MANY * SIZE


def test_an_administrator_looks_at_what_is_lost_meanwhile(scene: Scene) -> None:
    scene.fill()
    promise = export_messages(scene.broker, "q")
    assert not promise.is_done()
    scene.log.lose(scene.queue)
    assert promise.is_done()
    with pytest.raises(InvalidError, match="no longer exists: node b has taken it over"):
        promise.result()
    with pytest.raises(AdministrationError, match="no longer exists: node b has taken it over"):
        repair_queue(scene.broker, "q")
    assert faulty_queues(scene.broker) == []


def test_priorities_of_which_the_log_has_lost_some() -> None:
    scene = Scene(**{"x-max-priority": long(2)})
    scene.fill(20 * MANY)
    stored = scene.log.stored[scene.queue.queue_id]
    for position in range(2, 15 * MANY):  # a whole run, and a part of the next one
        del stored[position]
    found = numbers(scene.drain(consumer(scene)))
    assert found == sorted(found)
    assert (len(scene.queue.ready), scene.queue.ready.size, scene.queue.ready.resident) == (0, 0, 0)


# -- refusals


def confirmed(scene: Scene) -> None:
    """The publisher waits for confirms."""
    scene.peer.call(ConfirmSelect(), ConfirmSelectOk)


def test_a_refusal_for_good_leaves_messages_until_the_end(scene: Scene) -> None:
    confirmed(scene)
    scene.publish(1, 2)
    assert scene.peer.got() == []
    scene.log.refuse(again=False)
    assert [type(got.method) for got in scene.peer.got()] == [BasicNack, BasicNack]
    assert numbers(scene.drain(consumer(scene))) == [1, 2]


def test_a_refusal_for_now_takes_messages_away(scene: Scene) -> None:
    confirmed(scene)
    scene.publish(0)
    scene.log.commit()
    scene.publish(1, 2)
    scene.log.refuse(again=True)
    scene.publish(3)
    scene.log.commit()
    answers = [got.method for got in scene.peer.got()]
    assert {(type(each), each.delivery_tag) for each in answers if isinstance(each, (BasicAck, BasicNack))} == {
        (BasicAck, 1),
        (BasicNack, 2),
        (BasicNack, 3),
        (BasicAck, 4),
    }
    assert numbers(scene.drain(consumer(scene))) == [0, 3]
    counters = scene.queue.total()
    assert (counters.published, counters.removed, counters.bytes_in) == (4, 2, 4 * SIZE)
    assert held_bytes(scene.broker) == 0


def test_what_is_only_there_to_rest_is_safe_without(scene: Scene) -> None:
    confirmed(scene)
    for number in range(MANY):
        scene.peer.send(BasicPublish("", "q"), body(number))
    assert [type(got.method) for got in scene.peer.got()] == [BasicAck]
    scene.log.refuse(again=True)
    assert numbers(scene.drain(consumer(scene))) == list(range(MANY))


@pytest.mark.parametrize("how", ["commit", "again", "refuse", "lose"])
def test_a_duplicate_is_as_safe_as_the_first(how: str) -> None:
    scene = Scene(**{"x-message-deduplication": boolean(True)})
    second = Peer(scene.broker)
    properties = BasicProperties()
    properties.delivery_mode = 2
    properties.headers = {"x-deduplication-header": longstr("a")}
    for peer in (scene.peer, second):
        peer.call(ConfirmSelect(), ConfirmSelectOk)
        peer.send(BasicPublish("", "q"), b"x", properties)
        assert peer.got() == []
    if how == "commit":
        scene.log.commit()
    elif how == "lose":
        scene.log.lose(scene.queue)
    else:
        scene.log.refuse(how == "again")
    answer = BasicAck if how == "commit" else BasicNack
    assert [type(got.method) for got in scene.peer.got() + second.got()] == [answer, answer]
    if how == "commit":
        second.send(BasicPublish("", "q"), b"x", properties)
        second.expect(BasicAck)


def test_what_somebody_has_already_stays_theirs(scene: Scene) -> None:
    peer = consumer(scene, no_ack=False)
    scene.publish(1)
    assert numbers(peer.got()) == [1]
    scene.log.refuse(again=True)
    peer.send(BasicReject(1, True))
    assert numbers(peer.got()) == [1]
    peer.send(BasicAck(2))
    assert peer.got() == []
    assert scene.queue.unacked == 0


@pytest.mark.parametrize("again", [False, True])
def test_a_dead_letter_that_a_log_refuses(again: bool) -> None:
    scene = Scene()
    arguments: Table = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("q")}
    scene.peer.call(QueueDeclare("source", durable=True, arguments=arguments), QueueDeclareOk)
    properties = BasicProperties()
    properties.delivery_mode = 2
    scene.peer.send(BasicPublish("", "source"), b"7", properties)
    scene.peer.call(BasicGet("source"), BasicGetOk)
    scene.peer.send(BasicReject(1, False))
    scene.peer.got()
    scene.log.refuse(again)
    assert len(scene.queue.ready) == (0 if again else 1)
    scene.broker.tick(1001)
    scene.peer.got()
    assert len(scene.queue.ready) == 1
    scene.log.commit()
    assert numbers(scene.drain(consumer(scene))) == [7]


# -- losing the queue


def test_a_queue_that_is_lost(scene: Scene) -> None:
    confirmed(scene)
    watcher = consumer(scene, 1, no_ack=False)
    scene.fill(3)
    assert numbers(watcher.got()) == [0]
    scene.publish(4)
    scene.log.lose(scene.queue)
    assert [type(got.method) for got in scene.peer.got()] == [BasicNack]
    assert [type(got.method) for got in watcher.got()] == [BasicCancel]
    watcher.send(BasicAck(1))  # nobody hears it
    assert watcher.got() == []
    scene.publish(5)
    assert [type(got.method) for got in scene.peer.got()] == [BasicNack]
    assert scene.queue.state == LOST
    assert held_bytes(scene.broker) == 0
    for method in (
        QueueDeclare("q", durable=True, arguments=None),
        QueueDeclare("q", passive=True),
        BasicGet("q"),
        BasicConsume("q", "d"),
        QueuePurge("q"),
        QueueBind("q", "amq.fanout"),
    ):
        scene.peer.send(method)
        if isinstance(method, QueueBind):  # a binding is a definition, and not the queue's
            scene.peer.expect(QueueBindOk)
            continue
        close = scene.peer.expect(ChannelClose)
        assert close.reply_code == NOT_FOUND
        assert close.reply_text == GONE
        scene.peer.send(ChannelCloseOk())
        scene.peer.open(1)
    scene.queue.repair()
    scene.queue.fail("do anything", ValueError())
    scene.log.listener = None
    assert scene.peer.call(QueueDelete("q"), QueueDeleteOk).message_count == 0
    assert "q" not in scene.broker.vhosts["/"].queues


def test_whoever_waits_for_a_lost_queue_has_an_answer(scene: Scene) -> None:
    scene.fill()
    other = Peer(scene.broker)
    while not scene.log.asked:
        other.send(BasicGet("q"))
        other.got()
    scene.log.lose(scene.queue)
    assert other.expect(ChannelClose).reply_code == NOT_FOUND


def test_a_transaction_that_meets_a_lost_queue(scene: Scene) -> None:
    scene.peer.call(TxSelect(), TxSelectOk)
    scene.publish(1)
    scene.log.lose(scene.queue)
    scene.peer.send(TxCommit())
    assert not any(isinstance(got.method, TxCommitOk) for got in scene.peer.got())


def test_letters_of_a_lost_queue_are_the_other_nodes() -> None:
    scene = Scene(**{"x-dead-letter-exchange": longstr("nowhere"), "x-dead-letter-strategy": longstr("at-least-once")})
    scene.publish(1)
    scene.log.commit()
    scene.peer.call(BasicGet("q"), BasicGetOk)
    scene.peer.send(BasicReject(1, False))
    scene.peer.got()
    scene.log.lose(scene.queue)
    scene.broker.tick(60_000)
    scene.peer.got()
    assert held_bytes(scene.broker) == 0


def test_check_says_why_to_the_operator(scene: Scene) -> None:
    scene.log.lose(scene.queue)
    with pytest.raises(Refusal, match="home node") as raised:
        scene.queue.check_fault()
    refusal = raised.value
    assert (refusal.kind, refusal.subject) == (UNKNOWN, "queue 'q' in vhost '/'")
    assert refusal.hint == "node b has taken it over"
