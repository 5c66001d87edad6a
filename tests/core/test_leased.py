"""Consumers with a lease, without a socket: no message is lost, whatever their clients do or the broker fails at."""

from __future__ import annotations

import random

import pytest

from leveret.core.access.user import Credential
from leveret.core.broker import Broker
from leveret.core.client.leased import CALLER, FOLLOWER, NOBODY, LeasedConsumer, LeasedParty
from leveret.core.client.settling import ACK, DISCARD, REQUEUE, RETURN
from leveret.core.errors.refusals import Refusal
from leveret.core.message.message import Message, address
from leveret.core.queue.queue import Queue
from leveret.core.turn.clock import Clock
from leveret.store.memory import MemoryLog
from leveret.wire.content import make_content
from leveret.wire.properties import BasicProperties

LEASE_MS = 30_000
ROOM = 1 << 20


class Place:
    """A broker with a queue."""

    def __init__(self) -> None:
        log = MemoryLog()
        self.broker = Broker(log, log, Clock(), 1, "node")
        self.broker.make_defaults("guest", Credential("", ""))
        self.vhost = self.broker.vhosts["/"]
        self.queue: Queue = self.vhost.declare_queue("q", True, False, False, {}, 1)
        self.published = 0

    def publish(self, count: int = 1, size: int = 0) -> None:
        """Publish numbered messages."""
        for _ in range(count):
            body = str(self.published).encode().ljust(size)
            self.queue.publish(Message(address("", "q"), make_content(BasicProperties().encode(), body), True), None)
            self.published += 1
        self.broker.settle()

    def consume(self, prefetch: int = 10) -> LeasedConsumer:
        """A consumer of the queue."""
        party = LeasedParty(self.broker, "127.0.0.1", self.broker.users.user("guest"), self.vhost)
        consumer = LeasedConsumer(party, LEASE_MS, "q", prefetch=prefetch)
        self.broker.settle()
        return consumer

    def ask(self, consumer: LeasedConsumer, count: int = 10, room: int = ROOM) -> list[str]:
        """The messages that it gets for a request of this size."""
        consumer.ask(count, room)
        self.broker.settle()
        consumer.ask(0, 0)
        return [each.message.body().decode().strip() for each in consumer.take()]

    def pass_time(self, ms: int) -> None:
        """Let time pass."""
        self.broker.tick(self.broker.clock.now_ms + ms)
        self.broker.finish()


@pytest.fixture
def place() -> Place:
    """A new broker for the test."""
    return Place()


def test_nothing_comes_that_nobody_asks_for(place: Place) -> None:
    consumer = place.consume()
    place.publish(5)
    assert (place.queue.waiting(), place.queue.unacked) == (5, 0)
    assert place.ask(consumer, 2) == ["0", "1"]
    place.publish(1)
    assert (place.queue.waiting(), place.queue.unacked) == (4, 2)


def test_bytes_are_bounded_but_for_the_last_message(place: Place) -> None:
    consumer = place.consume()
    place.publish(5, 1000)
    assert place.ask(consumer, 10, 1500) == ["0", "1"]
    assert place.ask(consumer, 10, 1) == ["2"]


def test_the_lease_runs_from_the_last_call(place: Place) -> None:
    consumer = place.consume()
    place.publish(2)
    place.ask(consumer)
    place.pass_time(LEASE_MS - 1)
    consumer.heard()
    place.pass_time(LEASE_MS - 1)
    assert place.queue.unacked == 2
    place.pass_time(1)
    assert consumer.over == "its lease has run out"
    assert (place.queue.waiting(), place.queue.unacked) == (2, 0)
    assert place.ask(place.consume()) == ["0", "1"]


@pytest.mark.parametrize("who", [CALLER, FOLLOWER])
def test_the_lease_waits_for_who_attends(place: Place, who: int) -> None:
    consumer = place.consume()
    consumer.attend(who)
    place.pass_time(10 * LEASE_MS)
    assert not consumer.over
    consumer.attend(NOBODY)
    place.pass_time(LEASE_MS)
    assert consumer.over


def test_the_lease_waits_for_who_holds_something_and_wants_more(place: Place) -> None:
    consumer = place.consume()
    place.publish()
    place.ask(consumer)
    consumer.attend(CALLER)
    place.pass_time(10 * LEASE_MS)
    assert not consumer.over


def test_who_follows_has_to_settle(place: Place) -> None:
    consumer = place.consume()
    consumer.attend(FOLLOWER)
    place.pass_time(10 * LEASE_MS)
    place.publish()
    place.ask(consumer)
    place.pass_time(LEASE_MS - 1)
    assert consumer.settle(1, ACK)
    place.pass_time(10 * LEASE_MS)
    assert not consumer.over
    place.publish()
    place.ask(consumer)
    place.pass_time(LEASE_MS)
    assert consumer.over


def test_a_delivery_may_not_be_kept_for_ever(place: Place) -> None:
    consumer = place.consume()
    place.publish()
    place.ask(consumer)
    for _ in range(180):
        assert not consumer.over
        consumer.heard()
        place.pass_time(10_000)
    assert consumer.over == "a message was not settled within 1800000 ms"
    assert (place.queue.waiting(), place.queue.unacked) == (1, 0)


def test_many_go_back_in_pieces_and_in_order(place: Place) -> None:
    consumer = place.consume(1000)
    place.publish(1500)
    assert len(place.ask(consumer, 1000)) == 1000
    other = place.consume(1000)
    other.ask(1000, ROOM)
    place.broker.settle()
    other.ask(1000, ROOM)
    consumer.end("a test wants it")
    place.broker.finish()
    place.broker.settle()
    found = [each.message.body().decode() for each in other.take()]
    assert found == [*map(str, range(1000, 1500)), *map(str, range(500))]


def test_news_that_fail_end_the_consumer_alone(place: Place) -> None:
    consumer, other = place.consume(), place.consume()

    def fail() -> None:
        raise RuntimeError("a fault")

    consumer.on_news = fail
    place.publish(2)
    consumer.ask(10, ROOM)
    place.broker.settle()
    place.broker.finish()
    assert consumer.over == "something has failed inside the broker"
    assert "a fault" in str(place.broker.faults.told[0])
    assert place.ask(other) == ["0", "1"]
    assert place.queue.unacked == 2


def test_it_counts_as_a_connection(place: Place) -> None:
    user, broker, vhost = place.broker.users.user("guest"), place.broker, place.vhost
    broker.set_vhost_limits("/", {"max-connections": 1})
    consumer = place.consume()
    assert (user.connections, vhost.connections, broker.leased, len(broker.connections)) == (1, 1, 1, 1)
    with pytest.raises(Refusal, match="connection limit"):
        place.consume()
    consumer.end("a test wants it")
    consumer.end("and twice")
    assert (user.connections, vhost.connections, broker.leased, len(broker.connections)) == (0, 0, 0, 0)
    assert len(broker.timers.waiting()) == 0
    broker.users.put("other", Credential("", ""), ())
    broker.clear_vhost_limits("/", None)
    with pytest.raises(Refusal, match="'other'"):
        LeasedConsumer(LeasedParty(broker, "", broker.users.user("other"), vhost), 1, "q")
    assert broker.leased == 0


@pytest.mark.parametrize("seed", range(30))
def test_whatever_clients_do_nothing_is_lost(place: Place, seed: int) -> None:
    chance = random.Random(seed)
    consumers: list[LeasedConsumer] = []
    gone: set[str] = set()
    bodies: dict[tuple[int, int], str] = {}
    for _ in range(300):
        step = chance.choice(["publish", "consume", "ask", "ask", "settle", "settle", "back", "time", "attend", "end"])
        consumers = [each for each in consumers if not each.over]
        if step == "publish":
            place.publish(chance.randrange(5))
        elif step == "consume" and len(consumers) < 4:
            consumers.append(place.consume(chance.randrange(1, 6)))
        elif step == "time":
            place.pass_time(chance.choice([10, 1000, LEASE_MS // 2]))
        elif consumers:
            consumer = chance.choice(consumers)
            if step == "ask":
                consumer.ask(chance.randrange(6), chance.choice([1, ROOM]))
                place.broker.settle()
                consumer.ask(0, 0)
                for each in consumer.take():
                    bodies[consumer.party.number, int(each.tag)] = each.message.body().decode()
            elif step == "settle" and consumer.outstanding():
                tag = chance.choice(consumer.outstanding())
                how = chance.choice([ACK, DISCARD, REQUEUE, RETURN])
                if how in (ACK, DISCARD):
                    gone.add(bodies[consumer.party.number, tag])
                assert consumer.settle(tag, how)
                assert not consumer.settle(tag, how)
            elif step == "back":
                consumer.give_back(chance.sample(range(1, 50), 10))
            elif step == "attend":
                consumer.attend(chance.choice([NOBODY, CALLER, FOLLOWER]))
            elif step == "end":
                consumer.end("a test wants it")
        place.broker.settle()
        place.broker.finish()
        held = [tag for each in consumers for tag in each.outstanding()]
        assert place.queue.unacked == len(held)
        assert place.queue.waiting() + len(held) + len(gone) == place.published
    for consumer in consumers:
        consumer.end("a test wants it")
    place.broker.finish()
    last = place.consume(1000)
    left = place.ask(last, 1000)
    assert left == sorted(left, key=int)
    assert {*left, *gone} == set(map(str, range(place.published)))
    assert last.party.total().delivered == len(left)
