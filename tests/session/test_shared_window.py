"""A shared prefetch window (basic.qos with global): its consumers take turns, and whoever has waited is woken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from leveret.session.consume.consuming import MOMENT_MS, Consuming
from leveret.wire.fields import Table, boolean, longstr, signedint
from leveret.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicDeliver,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicReject,
    ChannelClose,
    ChannelOpen,
    ConnectionClose,
    Method,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    TxCommit,
    TxRollback,
    TxSelect,
    TxSelectOk,
)
from tests.clients.socketless import Peer, make_broker


def client(*queues: str, limit: int = 1, messages: int = 0, transaction: bool = False) -> Peer:
    """A client that consumes from these queues through one window, with as many messages in each queue. The tag of a
    consumer begins with the name of its queue.
    """
    peer = Peer()
    if transaction:
        peer.call(TxSelect(), TxSelectOk)
    for name in set(queues):
        peer.call(QueueDeclare(name), QueueDeclareOk)
    peer.call(BasicQos(prefetch_count=limit, global_=True), BasicQosOk)
    for number, name in enumerate(queues):
        peer.send(BasicConsume(name, f"{name}{number}", nowait=True))
    publisher = Peer(peer.broker)
    for _ in range(messages):
        for name in dict.fromkeys(queues):
            publisher.send(BasicPublish("", name), b"x")
    return peer


def deliveries(peer: Peer) -> list[BasicDeliver]:
    """What has come."""
    return [got.method for got in peer.got() if isinstance(got.method, BasicDeliver)]


def served(peer: Peer, count: int) -> list[str]:
    """Which consumers get so many messages, each acknowledged before the next one comes."""
    found: list[str] = []
    waiting = deliveries(peer)
    while len(found) < count:
        delivery = waiting.pop(0)
        found.append(delivery.consumer_tag)
        peer.send(BasicAck(delivery.delivery_tag))
        waiting += deliveries(peer)
    return found


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_consumers_of_a_queue_take_turns(limit: int) -> None:
    found = Counter(served(client("q", "q", limit=limit, messages=20), 10))
    assert found == {"q0": 5, "q1": 5}


@pytest.mark.parametrize("limit", [1, 2, 5, 10])
def test_queues_take_turns(limit: int) -> None:
    found = Counter(served(client("a", "b", "c", limit=limit, messages=100), 99))
    assert len(found) == 3
    assert max(found.values()) - min(found.values()) <= limit


def test_a_queue_gets_its_turn_however_many_messages_are_acknowledged_at_once() -> None:
    peer = client("a", "b", limit=4, messages=100)
    found: Counter[str] = Counter()
    for _ in range(20):
        batch = deliveries(peer)
        found.update(delivery.consumer_tag for delivery in batch)
        peer.send(BasicAck(batch[-1].delivery_tag, multiple=True))
    assert abs(found["a0"] - found["b1"]) <= 4


def test_a_queue_with_one_active_consumer_takes_turns_too() -> None:
    peer = Peer()
    peer.call(QueueDeclare("a", arguments={"x-single-active-consumer": boolean(True)}), QueueDeclareOk)
    peer.call(QueueDeclare("b"), QueueDeclareOk)
    peer.call(BasicQos(prefetch_count=1, global_=True), BasicQosOk)
    for name in "ab":
        peer.send(BasicConsume(name, name, nowait=True))
    for name in "ab" * 20:
        peer.send(BasicPublish("", name), b"x")
    assert Counter(served(peer, 20)) == {"a": 10, "b": 10}


def test_room_that_a_queue_cannot_use_is_handed_on() -> None:
    peer = client("a", "b", "c", messages=1)
    assert sorted(served(peer, 3)) == ["a0", "b1", "c2"]


def test_consumers_without_acknowledgement_stop_at_a_full_window_and_take_no_room() -> None:
    peer = client("a")
    peer.call(QueueDeclare("n"), QueueDeclareOk)
    peer.send(BasicConsume("n", "n", no_ack=True, nowait=True))
    for name in "annn":
        peer.send(BasicPublish("", name), b"x")
    assert [delivery.consumer_tag for delivery in deliveries(peer)] == ["a0"]
    peer.send(BasicAck(1))
    assert [delivery.consumer_tag for delivery in deliveries(peer)] == ["n", "n", "n"]
    peer.send(BasicPublish("", "a"), b"x")
    assert [delivery.consumer_tag for delivery in deliveries(peer)] == ["a0"]


# -- whatever makes room

WAYS: dict[str, Callable[[Peer], None]] = {
    "ack": lambda peer: peer.send(BasicAck(1)),
    "ack of all": lambda peer: peer.send(BasicAck(0, multiple=True)),
    "nack": lambda peer: peer.send(BasicNack(1, requeue=True)),
    "nack without requeue": lambda peer: peer.send(BasicNack(1, requeue=False)),
    "nack of all": lambda peer: peer.send(BasicNack(0, multiple=True, requeue=True)),
    "reject": lambda peer: peer.send(BasicReject(1, requeue=True)),
    "reject without requeue": lambda peer: peer.send(BasicReject(1, requeue=False)),
    "recover": lambda peer: peer.send(BasicRecover(True)),
    "wider": lambda peer: peer.send(BasicQos(prefetch_count=2, global_=True)),
    "no limit": lambda peer: peer.send(BasicQos(prefetch_count=0, global_=True)),
}


def ack_behind_cancel(peer: Peer) -> None:
    """What a consumer that has gone held counts until it is acknowledged."""
    peer.send(BasicCancel("a0", nowait=True))
    assert not deliveries(peer)
    peer.send(BasicAck(1))


def ack_of_a_deleted_queue(peer: Peer) -> None:
    """The queue is gone, with what was not acknowledged; it counts until it is."""
    other = Peer(peer.broker)
    other.call(QueueDelete("a"), QueueDeleteOk)
    assert not deliveries(peer)
    peer.send(BasicAck(1))


WAYS["ack behind cancel"] = ack_behind_cancel
WAYS["ack of a deleted queue"] = ack_of_a_deleted_queue


@pytest.mark.parametrize("way", WAYS)
def test_room_is_for_who_waits(way: str) -> None:
    peer = client("a", "b", messages=1)
    assert [delivery.consumer_tag for delivery in deliveries(peer)] == ["a0"]
    WAYS[way](peer)
    peer.broker.tick(MOMENT_MS)
    assert "b1" in [delivery.consumer_tag for delivery in deliveries(peer)]


@pytest.mark.parametrize("queues", ["ab", "aa"])
@pytest.mark.parametrize("settlement", [BasicAck(1), BasicNack(1, requeue=False), BasicReject(1, requeue=False)])
def test_a_commit_makes_room(queues: str, settlement: BasicAck | BasicNack | BasicReject) -> None:
    peer = client(*queues, messages=2, transaction=True)
    (first,) = deliveries(peer)
    peer.send(settlement)
    assert not deliveries(peer)
    peer.send(TxRollback())
    assert not deliveries(peer)
    peer.send(settlement)
    peer.send(TxCommit())
    (second,) = deliveries(peer)
    assert {first.consumer_tag, second.consumer_tag} == {f"{queues[0]}0", f"{queues[1]}1"}


def test_the_last_chance_of_a_message_makes_room() -> None:
    peer = Peer()
    peer.call(QueueDeclare("a", arguments={"x-delivery-limit": signedint(0)}), QueueDeclareOk)
    peer.call(QueueDeclare("b"), QueueDeclareOk)
    peer.call(BasicQos(prefetch_count=1, global_=True), BasicQosOk)
    for name in "ab":
        peer.send(BasicConsume(name, name, nowait=True))
        peer.send(BasicPublish("", name), b"x")
    peer.send(BasicReject(1, requeue=True))
    assert [delivery.consumer_tag for delivery in deliveries(peer)] == ["a", "b"]


def test_a_socket_with_room_again_wakes_who_waits() -> None:
    peer = client("a", "b", limit=2)
    peer.connection.pause_writing()
    for name in "ab":
        peer.send(BasicPublish("", name), b"x")
    peer.connection.resume_writing()
    assert sorted(delivery.consumer_tag for delivery in deliveries(peer)) == ["a0", "b1"]


# -- a model: nobody who could take a message is left waiting

ARGUMENTS: dict[str, Table] = {
    "plain": {},
    "single": {"x-single-active-consumer": boolean(True)},
    "quorum": {"x-queue-type": longstr("quorum"), "x-delivery-limit": signedint(1)},
    "short": {"x-message-ttl": signedint(40)},
}
CHANNELS = ((0, 1), (0, 2), (1, 1))  # of which client
TRANSACTIONAL = (0, 2)

queues = st.sampled_from(sorted(ARGUMENTS))
channels = st.sampled_from(CHANNELS)
numbers = st.integers(0, 100)


class WindowModel(RuleBasedStateMachine):
    """Some queues and channels, each with a shared window at times, one of them with transactions."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = make_broker()
        self.publisher = Peer(self.broker)
        self.peers = [Peer(self.broker), Peer(self.broker)]
        self.peers[0].open(2)
        self.send(TRANSACTIONAL, TxSelect())
        self.consumers = 0
        for name in ARGUMENTS:
            self.declare(name)

    def send(self, key: tuple[int, int], method: Method) -> None:
        """Send a method on a channel."""
        self.peers[key[0]].send(method, channel=key[1])

    def consuming(self, key: tuple[int, int]) -> Consuming:
        """What the broker knows of a channel."""
        return self.peers[key[0]].connection.channels[key[1]].consuming

    def declare(self, name: str) -> None:
        """A queue."""
        self.publisher.send(QueueDeclare(name, durable=name == "quorum", arguments=ARGUMENTS[name]))

    @initialize(limits=st.tuples(*[st.integers(1, 2)] * len(CHANNELS)))
    def begin(self, limits: tuple[int, ...]) -> None:
        """Every channel has a small window, and consumers of several queues."""
        for key, limit in zip(CHANNELS, limits, strict=True):
            self.resize(key, limit)
            for name in ("plain", "quorum", "single"):
                self.consume(key, name, 0, False, 0)

    # -- what clients do

    @rule(name=queues, count=st.integers(1, 4))
    def publish(self, name: str, count: int) -> None:
        """Some messages."""
        for _ in range(count):
            self.publisher.send(BasicPublish("", name), b"x")

    @rule(key=channels, limit=st.integers(0, 3))
    def resize(self, key: tuple[int, int], limit: int) -> None:
        """Another shared window."""
        self.send(key, BasicQos(prefetch_count=limit, global_=True))

    @rule(key=channels, name=queues, limit=st.integers(0, 2), no_ack=st.booleans(), priority=st.integers(0, 1))
    def consume(self, key: tuple[int, int], name: str, limit: int, no_ack: bool, priority: int) -> None:
        """Another consumer, with a window of its own too."""
        self.consumers += 1
        self.send(key, BasicQos(prefetch_count=limit))
        arguments = {"x-priority": signedint(0 if name == "single" else priority)}
        self.send(key, BasicConsume(name, f"{self.consumers}", no_ack=no_ack, nowait=True, arguments=arguments))

    @rule(key=channels, number=numbers)
    def cancel(self, key: tuple[int, int], number: int) -> None:
        """One consumer fewer; what it holds stays outstanding."""
        tags = list(self.consuming(key).consumers)
        if tags:
            self.send(key, BasicCancel(tags[number % len(tags)], nowait=True))

    @rule(key=channels, number=numbers)
    def ack(self, key: tuple[int, int], number: int) -> None:
        """One delivery is done with."""
        self.settle(key, number, "ack", False)

    @rule(key=channels, number=numbers, how=st.sampled_from(("ack", "nack", "drop", "reject")), multiple=st.booleans())
    def settle(self, key: tuple[int, int], number: int, how: str, multiple: bool) -> None:
        """One delivery is settled, or all up to it."""
        held = [tag for tag, _ in self.consuming(key).unacked.outstanding()]
        if not held:
            return
        tag = held[number % len(held)]
        if how == "ack":
            self.send(key, BasicAck(tag, multiple))
        elif how == "reject":
            self.send(key, BasicReject(tag, True))
        else:
            self.send(key, BasicNack(tag, multiple, how == "nack"))

    @rule(key=channels)
    def recover(self, key: tuple[int, int]) -> None:
        """Everything goes back."""
        self.send(key, BasicRecover(True))

    @rule(commits=st.booleans())
    def end_transaction(self, commits: bool) -> None:
        """All is settled, or outstanding again."""
        self.send(TRANSACTIONAL, TxCommit() if commits else TxRollback())

    @rule(key=channels)
    def reopen(self, key: tuple[int, int]) -> None:
        """A channel ends with all that it has, and begins anew."""
        self.send(key, ChannelClose(200, "", 0, 0))
        self.send(key, ChannelOpen())
        if key == TRANSACTIONAL:
            self.send(key, TxSelect())

    @rule(name=queues)
    def purge(self, name: str) -> None:
        """Nothing is ready."""
        self.publisher.send(QueuePurge(name))

    @rule(name=queues)
    def replace(self, name: str) -> None:
        """A queue goes, and another one of its name comes."""
        self.publisher.send(QueueDelete(name))
        self.declare(name)

    @rule(milliseconds=st.integers(1, 50))
    def wait(self, milliseconds: int) -> None:
        """Messages expire."""
        self.broker.tick(self.broker.clock.now_ms + milliseconds)

    @rule(number=st.integers(0, 1), is_full=st.booleans())
    def choke(self, number: int, is_full: bool) -> None:
        """A socket takes no more, or more again."""
        connection = self.peers[number].connection
        if is_full:
            connection.pause_writing()
        else:
            connection.resume_writing()

    # -- what has to be so

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        """No consumer could take what is ready."""
        self.broker.tick(self.broker.clock.now_ms + MOMENT_MS)  # then wider windows count
        for peer in [self.publisher, *self.peers]:
            assert not [got for got in peer.got() if isinstance(got.method, ChannelClose | ConnectionClose)]
        for queue in self.broker.vhosts["/"].queues.values():
            if len(queue.ready):
                consumers = list(queue.consumers.all)
                if queue.consumers.single_active:
                    del consumers[1:]
                assert not any(consumer.can_take() for consumer in consumers)

    @invariant()
    def windows_are_kept(self) -> None:
        """What is in a window is what its channel holds, and nothing was added to a full one."""
        for key in CHANNELS:
            consuming = self.consuming(key)
            held = len(consuming.unacked)
            if key == TRANSACTIONAL:
                assert consuming.shared.used >= held  # the rest waits for the commit
            else:
                assert consuming.shared.used == held


TestWindowModel = WindowModel.TestCase
TestWindowModel.settings = settings(stateful_step_count=50)
