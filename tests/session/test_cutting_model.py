"""Whatever clients ask, and however it is cut into reads: the answers are the same.

Three clients send the same methods in the same order: each method in a read of its own, and then as many as come one
after the other from one client in one read, cut anywhere. Consumers, priorities, limits, TTLs, dead letters and shared
windows take part, so that a delivery that comes too late, or to another consumer, changes what follows.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leveret.core.broker import Broker
from leveret.wire.fields import Table, boolean, long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicRecover,
    BasicReject,
    ChannelClose,
    ChannelOpen,
    ConfirmSelect,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
    TxCommit,
    TxRollback,
    TxSelect,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Got, Peer, encode, make_broker

pytestmark = pytest.mark.timeout(600)  # what is found is made smaller for up to 300 s

QUEUES: dict[str, Table] = {
    "plain": {},
    "priority": {"x-max-priority": long(3)},
    "short": {
        "x-max-length": long(2),
        "x-dead-letter-exchange": longstr(""),
        "x-dead-letter-routing-key": longstr("dead"),
    },
    "full": {"x-max-length": long(2), "x-overflow": longstr("reject-publish")},
    "now": {
        "x-message-ttl": long(0),
        "x-dead-letter-exchange": longstr(""),
        "x-dead-letter-routing-key": longstr("dead"),
    },
    "single": {"x-single-active-consumer": boolean(True)},
    "dead": {},
}
CLIENTS = 3
NAMES = st.sampled_from(sorted(QUEUES))
PUBLISHED_TO = st.sampled_from(sorted(set(QUEUES) - {"dead"}))  # a dead letter may be overtaken by a publish behind it
TAGS = st.sampled_from(["one", "two"])
DELIVERY_TAGS = st.integers(1, 6)
ALL = 0  # as a delivery tag: all that are outstanding


@dataclass
class Step:
    """Bytes of one client. text: what they are, for who reads a counterexample."""

    client: int
    data: bytes = field(repr=False)
    text: str = ""


def publish(queue: str, body: bytes, priority: int, expires: bool) -> bytes:
    """The frames of a publish; transient, so that its confirm does not wait for the log, which an error outruns."""
    properties = BasicProperties()
    properties.priority = priority
    if expires:
        properties.expiration = "0"
    return encode(1, BasicPublish("", queue), body, properties)


@st.composite
def scripts(draw: st.DrawFn) -> list[Step]:
    """Methods of several clients. Each consumes from one queue only, so that its delivery tags name messages."""
    consumes = [draw(NAMES) for _ in range(CLIENTS)]
    consumers: set[tuple[int, str]] = set()
    steps: list[Step] = []
    modes = [draw(st.sampled_from([None, ConfirmSelect(), TxSelect()])) for _ in range(CLIENTS)]
    for client, mode in enumerate(modes):
        if mode is not None:
            steps.append(Step(client, encode(1, mode)))
    for number in range(draw(st.integers(1, 30))):
        client = draw(st.integers(0, CLIENTS - 1))
        own = consumes[client]
        new_tags = [tag for tag in ("one", "two") if (client, tag) not in consumers]
        method = draw(
            st.one_of(
                st.builds(BasicConsume, st.just(own), st.sampled_from(new_tags), st.just(False), st.booleans())
                if new_tags
                else st.none(),
                st.builds(BasicCancel, TAGS),
                st.builds(BasicGet, st.just(own), st.booleans()),
                st.just(BasicAck(ALL, True)),
                st.builds(BasicNack, st.just(ALL), st.just(True), st.booleans()),
                st.builds(BasicAck, DELIVERY_TAGS, st.booleans()),
                st.builds(BasicReject, DELIVERY_TAGS, st.booleans()),
                st.builds(BasicRecover, st.just(True)),
                st.builds(BasicQos, st.just(0), st.integers(0, 3), st.booleans()),
                st.builds(QueuePurge, NAMES),
                st.builds(QueueDeclare, NAMES, st.just(True)),
                st.builds(QueueDelete, NAMES, st.just(False), st.just(True)),
                st.builds(TxCommit) if isinstance(modes[client], TxSelect) else st.none(),
                st.builds(TxRollback) if isinstance(modes[client], TxSelect) else st.none(),
                *[st.none()] * 8,
            )
        )
        if isinstance(method, BasicConsume):
            consumers.add((client, method.consumer_tag))
        elif isinstance(method, BasicCancel):
            consumers.discard((client, method.consumer_tag))
        if method is None:
            content = (draw(PUBLISHED_TO), b"%d" % number, draw(st.integers(0, 3)), draw(st.integers(0, 5)) == 0)
            steps.append(Step(client, publish(*content), f"publish {content}"))
        else:
            steps.append(Step(client, encode(1, method), f"{type(method).__name__} {encode(1, method)[11:-1]!r}"))
    return steps


@dataclass
class Outcome:
    """What one client heard: methods in order, and which of its publishes were acked or nacked, in any order."""

    methods: list[tuple[object, ...]] = field(default_factory=list)
    confirms: list[tuple[int, bool]] = field(default_factory=list)


class World:
    """A broker with all queues, and clients with their channel 1 open."""

    def __init__(self) -> None:
        self.broker: Broker = make_broker()
        self.peers = [Peer(self.broker) for _ in range(CLIENTS)]
        self.outcomes = [Outcome() for _ in self.peers]
        for name, arguments in QUEUES.items():
            self.peers[0].send(QueueDeclare(name, durable=True, arguments=arguments))
            self.peers[0].got()
        self._confirmed = [0] * CLIENTS

    def receive(self, client: int, data: bytes) -> None:
        """Give the broker what a client sends, and hear what there is to hear."""
        self.peers[client].connection.receive(data)
        for number, peer in enumerate(self.peers):
            for got in peer.got():
                self._note(number, got)

    def _note(self, client: int, got: Got) -> None:
        method = got.method
        outcome = self.outcomes[client]
        if isinstance(method, BasicAck | BasicNack):
            first = self._confirmed[client] + 1 if method.multiple else method.delivery_tag
            is_ack = isinstance(method, BasicAck)
            known = {tag for tag, _ in outcome.confirms}
            outcome.confirms += [(tag, is_ack) for tag in range(first, method.delivery_tag + 1) if tag not in known]
            while self._confirmed[client] + 1 in {tag for tag, _ in outcome.confirms}:
                self._confirmed[client] += 1
        elif method is not None:
            outcome.methods.append((type(method).__name__, encode(1, method), got.body, _headers(got)))


def _headers(got: Got) -> str:
    return repr(got.properties.headers) if got.properties is not None else ""


def run(reads: list[Step]) -> list[Outcome]:
    """What all clients hear when these reads come in."""
    world = World()
    for read in reads:
        world.receive(read.client, read.data)
    for outcome in world.outcomes:
        outcome.confirms.sort()
    return world.outcomes


def joined(steps: list[Step], cuts: set[int]) -> list[Step]:
    """The same bytes in the same order, in one read as long as they are of one client, except where there is a cut."""
    reads: list[Step] = []
    for at, step in enumerate(steps):
        if reads and reads[-1].client == step.client and at not in cuts:
            reads[-1] = Step(step.client, reads[-1].data + step.data, f"{reads[-1].text}, {step.text}")
        else:
            reads.append(step)
    return reads


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Many clients do what is not allowed."""
    caplog.set_level(logging.CRITICAL)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(scripts(), st.sets(st.integers(0, 45)))
def test_cuts_between_methods_change_nothing(steps: list[Step], cuts: set[int]) -> None:
    apart = run(steps)
    assert run(joined(steps, set())) == apart
    assert run(joined(steps, cuts)) == apart


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(scripts(), st.integers(0, CLIENTS - 1), st.integers(1, 40))
def test_cuts_inside_methods_change_nothing(steps: list[Step], client: int, size: int) -> None:
    alone = [step for step in steps if step.client == client]
    data = b"".join(step.data for step in alone)
    pieces = [Step(client, data[at : at + size]) for at in range(0, len(data), size)]
    assert run(pieces) == run(alone)


def test_a_channel_that_closes_and_opens_again_in_one_read() -> None:
    steps = [
        Step(0, encode(1, BasicConsume("plain", "one", False, True))),
        Step(0, publish("plain", b"1", 0, False)),
        Step(0, encode(1, ChannelClose(200, "bye"))),
        Step(0, encode(1, ChannelOpen())),
        Step(0, publish("plain", b"2", 0, False)),
        Step(0, encode(1, BasicGet("plain", True))),
    ]
    heard = run(joined(steps, set()))
    assert heard == run(steps)
    kinds = [entry[0] for entry in heard[0].methods]
    assert kinds == ["BasicConsumeOk", "BasicDeliver", "ChannelCloseOk", "ChannelOpenOk", "BasicGetOk"]
