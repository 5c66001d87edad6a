"""The states of connections, handshakes, channels and queues: the tables, all their entries, and a whole life."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from leveret.core.broker import Broker
from leveret.core.queue import life as queue_life
from leveret.core.queue.queue import Queue
from leveret.core.turn.alarms import DISK
from leveret.core.turn.clock import Timed
from leveret.core.turn.states import StateTable
from leveret.session.base import lane
from leveret.session.connection import handshake as shaking
from leveret.session.connection import life
from leveret.session.connection.connection import CLOSE_MS, HANDSHAKE_MS, SILENCE_MS, Connection
from leveret.session.connection.life import CLOSING, DEAF, ENDED, RUNNING, SHAKING, SILENT
from leveret.wire.constants import FRAME_MAX, INTERNAL_ERROR
from leveret.wire.methods import (
    BasicAck,
    BasicPublish,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionTuneOk,
    QueueDeclare,
    QueueDeclareOk,
)
from leveret.wire.writer import HEARTBEAT
from tests.clients.socketless import CAPABILITIES, Parser, Peer, encode, everybody, handshake, make_broker, turn

TABLES = {
    "connection": life.STATES,
    "handshake": shaking.STATES,
    "channel": lane.STATES,
    "queue": queue_life.LIFE,
}
ENDS = {
    "connection": {ENDED},
    "handshake": {shaking.REFUSED, shaking.DONE},
    "channel": {lane.GONE},
    "queue": {queue_life.DELETED},
}
GARBAGE = HEARTBEAT[:-1] + b"\x00"
CLOSE_OK = encode(0, ConnectionCloseOk())
CLOSE = encode(0, ConnectionClose(200, "", 0, 0))


def reached(table: StateTable, state: int) -> set[int]:
    """All states to which events lead from one, and this one."""
    found, left = {state}, [state]
    while left:
        new = set(table.transitions[left.pop()].values()) - found
        found |= new
        left += new
    return found


# -- the tables


@pytest.mark.parametrize("name", TABLES)
def test_every_state_is_reached(name: str) -> None:
    table = TABLES[name]
    assert reached(table, 0) == set(table.transitions) == set(range(len(table.states)))


@pytest.mark.parametrize("name", TABLES)
def test_every_event_happens(name: str) -> None:
    table = TABLES[name]
    happens = {event for events in table.transitions.values() for event in events}
    assert happens == set(range(len(table.events)))


@pytest.mark.parametrize("name", TABLES)
def test_ends_are_final_and_always_ahead(name: str) -> None:
    table = TABLES[name]
    assert {state for state, events in table.transitions.items() if not events} == ENDS[name]
    assert all(reached(table, state) & ENDS[name] for state in table.transitions)


def test_nobody_comes_back_into_the_core() -> None:
    for state in (CLOSING, DEAF, ENDED):
        assert min(reached(life.STATES, state)) >= CLOSING


@pytest.mark.parametrize("name", TABLES)
def test_what_cannot_happen_is_an_error(name: str) -> None:
    table = TABLES[name]
    for state, events in table.transitions.items():
        for event in range(len(table.events)):
            if event not in events:
                with pytest.raises(RuntimeError, match=f"in state '{table.states[state]}'"):
                    table.follow(state, event)


# -- what cannot happen does


class Untimely(Timed):
    """Ends the handshake of a connection that has ended it already."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def on_timer(self, token: int) -> None:
        """Do it."""
        self._connection.go(life.OPENED)

    def fail(self, doing: str, error: Exception) -> None:
        """As every timer of a connection."""
        self._connection.fail(doing, error)


def test_a_mistake_of_the_broker_closes_the_connection_it_was_made_for() -> None:
    peer = Peer()
    bystander = Peer(peer.broker)
    peer.broker.timers.call_at(1, Untimely(peer.connection))
    peer.broker.tick(1)
    assert peer.expect(ConnectionClose).reply_code == INTERNAL_ERROR
    (fault,) = peer.broker.faults.told
    assert str(fault.error) == "a connection cannot handle 'the end of the handshake' in state 'running'"
    bystander.call(QueueDeclare("q"), QueueDeclareOk)


def test_no_request_is_looked_at_behind_a_failure() -> None:
    peer = Peer()
    peer.connection.fail("pass a test", OSError("no"))
    peer.send(QueueDeclare("q"))
    assert peer.expect(ConnectionClose).reply_code == INTERNAL_ERROR
    assert not peer.broker.vhosts["/"].queues


def test_what_the_broker_does_itself_is_no_heartbeat() -> None:
    model = LifeModel()
    model.begin(steps=5, heartbeat_s=7)
    model.let_pass(seconds=20)
    model.fail()  # which has the connection go on with what it has read
    model.says_what_it_should()
    model.let_pass(seconds=1)
    model.is_where_it_should_be()
    assert model.connection.state == ENDED


@pytest.mark.parametrize("is_right", [True, False])
def test_a_login_that_is_checked_too_late(is_right: bool) -> None:
    connection = fresh()
    for piece in handshake(capabilities=())[:2]:
        connection.receive(piece)
    fail(connection)
    connection.data_to_send()
    if is_right:
        connection.login(everybody())
    else:
        connection.refuse("wrong password")
    assert connection.data_to_send() == []
    assert connection.state == CLOSING
    connection.receive(CLOSE_OK)
    assert connection.state == ENDED


# -- every entry of a table, once


def fresh() -> Connection:
    """A client of which nothing has come."""
    return Connection(make_broker(), "test", "127.0.0.1", "0")


def running() -> Connection:
    """A client with an open connection."""
    return Peer().connection


def silent() -> Connection:
    """A client that got its handshake wrong."""
    connection = fresh()
    connection.receive(handshake()[0] + GARBAGE)
    return connection


def closing() -> Connection:
    """A client that has not answered connection.close."""
    connection = running()
    connection.force_close("enough")
    return connection


def deaf() -> Connection:
    """A client that was told that it makes no sense."""
    connection = running()
    connection.receive(GARBAGE)
    return connection


def shake_hands(connection: Connection) -> None:
    """The whole handshake."""
    for piece in handshake():
        connection.receive(piece)
        if connection.login_request is not None:
            connection.login(everybody())


def send(data: bytes) -> Callable[[Connection], None]:
    """The client sends something."""
    return lambda connection: connection.receive(data)


def force_close(connection: Connection) -> None:
    """An operator closes it."""
    connection.force_close("enough")


def fail(connection: Connection) -> None:
    """Something fails inside the broker."""
    connection.fail("pass a test", OSError("no"))
    connection.broker.settle()


WAYS: dict[tuple[int, int], tuple[Callable[[], Connection], Callable[[Connection], None], int]] = {
    (SHAKING, life.OPENED): (fresh, shake_hands, RUNNING),
    (SHAKING, life.CLOSE_SENT): (fresh, fail, CLOSING),
    (SHAKING, life.GARBLED): (fresh, send(handshake()[0] + GARBAGE), SILENT),
    (SHAKING, life.OVER): (fresh, Connection.lost, ENDED),
    (RUNNING, life.CLOSE_SENT): (running, force_close, CLOSING),
    (RUNNING, life.CLOSE_CAME): (running, send(CLOSE), ENDED),  # when it is answered
    (RUNNING, life.GARBLED): (running, send(GARBAGE), DEAF),  # when that is said
    (RUNNING, life.OVER): (running, Connection.lost, ENDED),
    (SILENT, life.CLOSE_SENT): (silent, fail, DEAF),
    (SILENT, life.OVER): (silent, Connection.lost, ENDED),
    (CLOSING, life.CLOSE_CAME): (closing, send(CLOSE), ENDED),  # when it is answered
    (CLOSING, life.GARBLED): (closing, send(GARBAGE), DEAF),
    (CLOSING, life.OVER): (closing, send(CLOSE_OK), ENDED),
    (DEAF, life.OVER): (deaf, Connection.lost, ENDED),
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{life.STATES.states[way[0]]}, {life.STATES.events[way[1]]}")
def test_the_life_of_a_connection(way: tuple[int, int]) -> None:
    make, act, after = WAYS[way]
    connection = make()
    assert connection.state == way[0]
    act(connection)
    assert connection.state == after


def test_there_is_a_way_for_every_entry() -> None:
    assert set(WAYS) == {(state, event) for state, events in life.STATES.transitions.items() for event in events}


SOFT_ERROR = encode(1, BasicAck(9))
CHANNEL_WAYS: dict[tuple[int, int], tuple[bytes, int]] = {
    (lane.OPEN, lane.FAILED): (SOFT_ERROR, lane.SHUT),
    (lane.OPEN, lane.CLOSED): (encode(1, ChannelClose(200, "", 0, 0)), lane.GONE),  # when it is answered
    (lane.OPEN, lane.LOST): (CLOSE, lane.GONE),
    (lane.SHUT, lane.CLOSED): (encode(1, ChannelClose(200, "", 0, 0)), lane.SHUT),
    (lane.SHUT, lane.FREED): (encode(1, ChannelCloseOk()), lane.GONE),
    (lane.SHUT, lane.LOST): (CLOSE, lane.GONE),
}


@pytest.mark.parametrize(
    "way", CHANNEL_WAYS, ids=lambda way: f"{lane.STATES.states[way[0]]}, {lane.STATES.events[way[1]]}"
)
def test_the_life_of_a_channel(way: tuple[int, int]) -> None:
    data, after = CHANNEL_WAYS[way]
    connection = running()
    channel = connection.channels[1]
    if way[0] == lane.SHUT:
        connection.receive(SOFT_ERROR)
    assert channel.state == way[0]
    connection.receive(data)
    assert channel.state == after
    assert (1 in connection.channels) == (after != lane.GONE)


def test_there_is_a_way_for_every_entry_of_channels() -> None:
    assert set(CHANNEL_WAYS) == {
        (state, event) for state, events in lane.STATES.transitions.items() for event in events
    }


QUEUE = queue_life.LIFE
QUEUE_WAYS: dict[tuple[int, int], tuple[Callable[[Queue], object], int]] = {
    (queue_life.RUNNING, queue_life.FAILED): (lambda each: each.fail("pass a test", OSError("no")), queue_life.FAULTY),
    (queue_life.RUNNING, queue_life.REPAIRED): (Queue.repair, queue_life.RUNNING),
    (queue_life.RUNNING, queue_life.TAKEN): (lambda each: each.on_lost("node b has it"), queue_life.LOST),
    (queue_life.RUNNING, queue_life.REMOVED): (lambda each: each.vhost.remove_queue(each), queue_life.DELETED),
    (queue_life.FAULTY, queue_life.REPAIRED): (Queue.repair, queue_life.RUNNING),
    (queue_life.FAULTY, queue_life.TAKEN): (lambda each: each.on_lost("node b has it"), queue_life.LOST),
    (queue_life.FAULTY, queue_life.REMOVED): (lambda each: each.vhost.remove_queue(each), queue_life.DELETED),
    (queue_life.LOST, queue_life.REMOVED): (lambda each: each.vhost.remove_queue(each), queue_life.DELETED),
}


@pytest.mark.parametrize("way", QUEUE_WAYS, ids=lambda way: f"{QUEUE.states[way[0]]}, {QUEUE.events[way[1]]}")
def test_the_life_of_a_queue(way: tuple[int, int]) -> None:
    act, after = QUEUE_WAYS[way]
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    found = peer.broker.vhosts["/"].queues["q"]
    if way[0] == queue_life.FAULTY:
        found.fail("pass a test", OSError("no"))
    elif way[0] == queue_life.LOST:
        found.on_lost("node b has it")
    assert found.state == way[0]
    act(found)
    assert found.state == after
    assert (found.fault != "") == (after in (queue_life.FAULTY, queue_life.LOST))
    assert found.deleted == (after in (queue_life.LOST, queue_life.DELETED))
    peer.send(BasicPublish("", "q"), b"x")
    assert len(found.ready) == (after == queue_life.RUNNING)


def test_there_is_a_way_for_every_entry_of_queues() -> None:
    assert set(QUEUE_WAYS) == {(state, event) for state, events in QUEUE.transitions.items() for event in events}


@pytest.mark.parametrize(
    "ends", [Queue.on_lost, lambda each, _: each.vhost.remove_queue(each)], ids=["lost", "deleted"]
)
def test_nothing_brings_a_queue_back(ends: Callable[[Queue, str], object]) -> None:
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    found = peer.broker.vhosts["/"].queues["q"]
    ends(found, "node b has it")
    state = found.state
    found.repair()
    found.fail("pass a test", OSError("no"))
    found.on_lost("node c has it")
    assert found.state == state


# -- a whole life


class LifeModel(RuleBasedStateMachine):
    """One connection to which everything happens, and what is expected of it. step: as the handshake's state."""

    def __init__(self) -> None:
        super().__init__()
        self.broker: Broker = make_broker()
        self.bystander = Peer(self.broker)
        self.connection = Connection(self.broker, "test", "127.0.0.1", "0")
        self.parser = Parser()
        self.user = everybody()
        self.state = SHAKING
        self.step = shaking.HEADER
        self.understands_close = False
        self.heartbeat_s = 0
        self.deadline_ms: int | None = HANDSHAKE_MS
        self.check_ms: int | None = None  # of heartbeats
        self.idle_checks = 0
        self.was_heard = False  # since the last check
        self.is_blocked = False
        self.is_raised = False
        self.has_failed = False
        self.closes = 0

    # what is expected

    @property
    def now_ms(self) -> int:
        """The broker's time."""
        return self.broker.clock.now_ms

    def go(self, state: int) -> None:
        """It is in another state, which the table allows."""
        assert state in reached(life.STATES, self.state)
        self.state = state
        if state >= CLOSING:
            self.is_blocked = False
        if state == ENDED:
            self.deadline_ms = self.check_ms = None

    def expect_close(self) -> None:
        """Connection.close is sent, unless that or less was said before."""
        if self.state >= CLOSING:
            return
        is_deaf = self.state == SILENT
        self.closes += 1
        self.go(DEAF if is_deaf else CLOSING)
        patience_ms = CLOSE_MS
        if is_deaf or self.step < shaking.TUNE:
            patience_ms = SILENCE_MS
        elif self.heartbeat_s:
            patience_ms = min(CLOSE_MS, 1000 * self.heartbeat_s)
        self.deadline_ms = self.now_ms + patience_ms

    def expect_silence(self) -> None:
        """A failed handshake is answered by nothing."""
        self.go(DEAF if self.state == CLOSING else SILENT)
        self.deadline_ms = self.now_ms + SILENCE_MS

    def expect_error(self) -> None:
        """A frame that is read has no place where it came."""
        if self.step < shaking.OPEN:
            self.expect_silence()
        else:
            self.expect_close()

    def reads(self) -> bool:
        """Whether frames are looked at."""
        return self.state == CLOSING or (self.state < SILENT and self.step not in (shaking.HEADER, shaking.LOGIN))

    def receive(self, data: bytes) -> None:
        """The client sends something."""
        if self.state in (SHAKING, RUNNING, CLOSING):
            self.was_heard = True
        self.connection.receive(data)

    # what happens

    @initialize(steps=st.sampled_from([0, 1, 2, 3, 4, 5, 5, 5, 5]), heartbeat_s=st.sampled_from([0, 7]))
    def begin(self, steps: int, heartbeat_s: int) -> None:
        """So much of the handshake goes well."""
        if steps > 0:
            self.send_header(True)
        if steps > 1:
            self.send_start_ok(True)
        if steps > 2:
            self.check_login(True)
        if steps > 3:
            self.send_tune_ok(True, heartbeat_s)
        if steps > 4:
            self.send_open(True)

    @precondition(lambda self: self.state == SHAKING and self.step == shaking.HEADER)
    @rule(is_right=st.booleans())
    def send_header(self, is_right: bool) -> None:
        """The first eight bytes."""
        self.receive(handshake()[0] if is_right else b"GET / HT")
        if is_right:
            self.step = shaking.START
        else:
            self.go(ENDED)

    @precondition(lambda self: self.state == SHAKING and self.step == shaking.START)
    @rule(understands_close=st.booleans())
    def send_start_ok(self, understands_close: bool) -> None:
        """Name and password."""
        self.understands_close = understands_close
        self.receive(handshake(capabilities=CAPABILITIES if understands_close else ())[1])
        self.step = shaking.LOGIN

    @precondition(lambda self: self.connection.login_request is not None)
    @rule(is_right=st.sampled_from([True, True, False]))
    def check_login(self, is_right: bool) -> None:
        """They are right, or not; perhaps nobody waits for that any more."""
        if is_right:
            self.connection.login(self.user)
        else:
            self.connection.refuse("wrong")
        if self.state != SHAKING:
            return
        if is_right:
            self.step = shaking.TUNE
        else:
            self.step = shaking.REFUSED
            if self.understands_close:
                self.expect_close()
            else:
                self.expect_silence()

    @precondition(lambda self: self.state == SHAKING and self.step == shaking.TUNE)
    @rule(is_right=st.sampled_from([True, True, False]), heartbeat_s=st.sampled_from([0, 7]))
    def send_tune_ok(self, is_right: bool, heartbeat_s: int) -> None:
        """What the client wants, or cannot have."""
        self.receive(encode(0, ConnectionTuneOk(10, FRAME_MAX if is_right else 1, heartbeat_s)))
        if not is_right:
            self.expect_close()
            return
        self.step = shaking.OPEN
        self.heartbeat_s = heartbeat_s
        if heartbeat_s:
            self.check_ms = self.now_ms + 1000 * heartbeat_s

    @precondition(lambda self: self.state == SHAKING and self.step == shaking.OPEN)
    @rule(is_right=st.sampled_from([True, True, False]))
    def send_open(self, is_right: bool) -> None:
        """A virtual host, and what the client wants there."""
        self.receive(encode(0, ConnectionOpen("/" if is_right else "nowhere")))
        if not is_right:
            self.expect_close()
            return
        self.step = shaking.DONE
        self.deadline_ms = None
        self.go(RUNNING)
        self.receive(encode(1, ChannelOpen()) + encode(1, QueueDeclare("own", exclusive=True)))

    def send_garbage(self) -> None:
        """What is no frame."""
        reads = self.reads()
        self.receive(GARBAGE)
        if not reads:
            return
        if self.step < shaking.OPEN:
            self.expect_silence()
        elif self.state == CLOSING:
            self.go(DEAF)
        else:
            self.go(SILENT)
            self.expect_close()

    def send_method_out_of_turn(self) -> None:
        """A method that has its time, which is over or to come."""
        if self.state == SHAKING and self.step == shaking.TUNE:
            return  # it is its turn
        reads = self.reads()
        self.receive(encode(0, ConnectionTuneOk(10, FRAME_MAX, 0)))
        if reads and self.state != CLOSING:
            self.expect_error()

    def send_close_ok(self) -> None:
        """The answer to connection.close, asked for or not."""
        reads = self.reads()
        self.receive(CLOSE_OK)
        if reads and self.state == CLOSING:
            self.go(ENDED)
        elif reads:
            self.expect_error()

    def send_close(self) -> None:
        """The client has enough."""
        reads = self.reads()
        self.receive(CLOSE)
        if reads and self.step == shaking.DONE:
            self.go(ENDED)
        elif reads and self.state != CLOSING:
            self.expect_error()

    @precondition(lambda self: self.step == shaking.DONE)
    @rule(method=st.sampled_from([BasicAck(9), ChannelClose(200, "", 0, 0), ChannelCloseOk(), ChannelOpen()]))
    def use_channel(self, method: BasicAck | ChannelClose | ChannelCloseOk | ChannelOpen) -> None:
        """A channel fails, is closed, or opened again; what has no place there closes the connection."""
        channel = self.connection.channels.get(1)
        was = lane.GONE if channel is None else channel.state
        self.receive(encode(1, method))
        if self.state != RUNNING:
            return
        allowed: dict[int, tuple[type, ...]] = {
            lane.OPEN: (BasicAck, ChannelClose),
            lane.SHUT: (BasicAck, ChannelClose, ChannelCloseOk, ChannelOpen),  # of which most are ignored
            lane.GONE: (ChannelOpen,),
        }
        if not isinstance(method, allowed[was]):
            self.expect_close()

    @precondition(lambda self: self.state >= RUNNING and self.step == shaking.DONE)
    @rule()
    def publish(self) -> None:
        """A message; who sends one while an alarm is raised waits."""
        channel = self.connection.channels.get(1)
        was = lane.GONE if channel is None else channel.state
        self.receive(encode(1, BasicPublish("", "own"), b"x"))
        if self.state == RUNNING and was == lane.OPEN:
            self.is_blocked = self.is_blocked or self.is_raised
        elif self.state == RUNNING and was == lane.GONE:
            self.expect_close()

    @rule(is_raised=st.booleans())
    def set_alarm(self, is_raised: bool) -> None:
        """The disk is full, or not any more."""
        self.is_raised = is_raised
        self.is_blocked = self.is_blocked and is_raised
        self.broker.alarms.set(DISK, is_raised)

    def force_close(self) -> None:
        """An operator closes it."""
        self.connection.force_close("enough")
        if self.step != shaking.DONE:
            self.go(ENDED)
        else:
            self.expect_close()

    def fail(self) -> None:
        """Something fails inside the broker, which is told once."""
        self.has_failed = self.has_failed or self.state != ENDED
        fail(self.connection)
        self.expect_close()

    def lose(self) -> None:
        """The socket is gone."""
        self.connection.lost()
        self.go(ENDED)

    @precondition(lambda self: self.state != SHAKING or self.step not in (shaking.HEADER, shaking.LOGIN))
    @rule(which=st.integers(0, 3))
    def send_last(self, which: int) -> None:
        """What mostly is the end of it."""
        (self.send_garbage, self.send_method_out_of_turn, self.send_close_ok, self.send_close)[which]()

    @rule(which=st.integers(0, 2))
    def end(self, which: int) -> None:
        """It ends for a reason that the client has not given."""
        (self.force_close, self.fail, self.lose)[which]()

    @rule(seconds=st.integers(1, 12))
    def let_pass(self, seconds: int) -> None:
        """Time passes; the bystander has no heartbeats."""
        for _ in range(seconds):
            self.broker.tick(self.now_ms + 1000)
            if self.check_ms is not None and self.check_ms <= self.now_ms:
                self.check_ms += 1000 * self.heartbeat_s
                self.idle_checks = 0 if self.was_heard or self.is_blocked else self.idle_checks + 1
                self.was_heard = False
                if self.idle_checks >= 2:
                    self.go(ENDED)
            if self.deadline_ms is not None and self.deadline_ms <= self.now_ms:
                self.go(ENDED)

    # what holds

    @invariant()
    def is_where_it_should_be(self) -> None:
        """States, and nothing in the core of a client that is not there."""
        connection = self.connection
        assert life.STATES.states[connection.state] == life.STATES.states[self.state]
        assert connection.finished == (self.state == ENDED)
        assert shaking.STATES.states[connection.handshake.state] == shaking.STATES.states[self.step]
        assert (connection.number in self.broker.connections) == (self.state != ENDED)
        is_there = self.state == RUNNING
        assert self.broker.open_connections == 1 + is_there
        assert self.user.connections == is_there
        assert self.user.channels == len(connection.channels) <= is_there
        assert self.broker.open_channels == sum(len(each.channels) for each in (connection, self.bystander.connection))
        assert ("own" in self.broker.vhosts["/"].queues) == is_there
        assert connection.is_paused == self.is_blocked == self.broker.alarms.blocked()

    @invariant()
    def says_what_it_should(self) -> None:
        """One connection.close at most; nothing that was not expected is told to the operator."""
        turn(self.broker)
        self.broker.awake.clear()
        said = self.parser.feed(b"".join(map(bytes, self.take())))
        self.closes -= sum(isinstance(got.method, ConnectionClose) for got in said)
        assert self.closes == 0
        assert len(self.broker.faults.told) == self.has_failed

    def take(self) -> list[bytes]:
        """What it has to say; not the protocol header, which is no frame."""
        pieces = [bytes(piece) for piece in self.connection.data_to_send()]
        self.connection.flushed()
        return [piece for piece in pieces if not piece.startswith(b"AMQP")]

    def teardown(self) -> None:
        """Nobody else has noticed."""
        self.bystander.call(QueueDeclare("bystander"), QueueDeclareOk)


TestLife = LifeModel.TestCase
TestLife.settings = settings(max_examples=400, stateful_step_count=20, deadline=None)
