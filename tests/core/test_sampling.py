"""Sampling: which traces are recorded, how many at most, and what the tracer sees of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.client.sampling import MOST_OPEN, OPEN, TELL_MS, Allowance, Sampler, Sampling, Tracer
from leveret.core.client.settling import ACK, REQUEUE, RETURN
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message, address
from leveret.core.message.traceparent import TraceParent, of, parse
from leveret.core.queue.client import Client, Follower
from leveret.core.queue.entry import QueueEntry
from leveret.wire.content import make_content
from leveret.wire.fields import Field, boolean, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicPublish,
    QueueDeclare,
    QueueDeclareOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Peer, turn

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"00-{TRACE}-{SPAN}-00"


# -- the header


def test_a_trace() -> None:
    found = parse(SAMPLED)
    assert found is not None
    assert (found.trace_id, found.span_id, found.is_sampled) == (int(TRACE, 16), int(SPAN, 16), True)
    unsampled = parse(f"00-{TRACE}-{SPAN}-fe")
    assert unsampled is not None
    assert not unsampled.is_sampled


def test_a_later_version_may_have_more() -> None:
    assert parse(f"cc-{TRACE}-{SPAN}-01-more") is not None
    assert parse(f"cc-{TRACE}-{SPAN}-01") is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "---",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-001",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'_1' * 16}-{SPAN}-01",
        f"00-+{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0 ",
        f"cc-{TRACE}-{SPAN}-01more",
    ],
)
def test_what_is_no_trace(text: str) -> None:
    assert parse(text) is None


@given(st.text())
def test_whatever_a_header_says(text: str) -> None:
    parse(text)


def message(**headers: Field) -> Message:
    """A message with headers."""
    properties = BasicProperties()
    properties.headers = headers or None
    return Message(address("", "q"), make_content(properties.encode(), b"body"), False)


def test_the_header_of_a_message() -> None:
    assert of(message()) is None
    assert of(message(other=longstr("x"))) is None
    assert of(message(traceparent=boolean(True))) is None
    assert of(message(traceparent=longstr("x" * 100_000))) is None
    assert of(message(other=boolean(True), traceparent=longstr(SAMPLED))) is not None


# -- selection


def share(sampler: Sampler) -> float:
    """The recorded share of the traces that begin here."""
    return sum(sampler.records(None) for _ in range(100_000)) / 100_000


@pytest.mark.parametrize("wanted", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 10**12])
def test_a_share_of_those_that_begin_here(wanted: float, seed: int) -> None:
    assert share(Sampler(wanted, True, seed)) == pytest.approx(wanted, rel=0.2)


@given(st.floats(0, 1), st.integers(1, 2**128 - 1), st.booleans())
def test_those_that_have_begun_elsewhere(wanted: float, trace: int, is_sampled: bool) -> None:
    parent = TraceParent(trace, 1, is_sampled)
    assert Sampler(wanted, True, 1).records(parent) == is_sampled
    assert Sampler(wanted, False, 1).records(parent) == (trace % 2**64 < round(wanted * 2**64))


# -- limits


def taken(allowance: Allowance, now_ms: int) -> int:
    """The number that it allows at once."""
    return sum(allowance.take(now_ms) for _ in range(10_000))


def test_an_allowance() -> None:
    allowance = Allowance(1000)
    assert taken(allowance, 1_000_000) == 200
    assert taken(allowance, 1_000_000) == 0
    assert taken(allowance, 1_000_010) == 10
    assert taken(allowance, 9_000_000) == 200


def test_a_small_allowance() -> None:
    allowance = Allowance(1)
    assert [taken(allowance, now_ms) for now_ms in (5000, 5500, 5999, 6000, 60_000)] == [1, 0, 0, 1, 1]


# -- what the tracer sees


class Silent(Follower):
    """Ignores all events."""

    def on_published(self, is_confirmed: bool, how: int) -> None:
        """Do nothing."""


class Notes(Tracer):
    """Records all calls."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []
        self.followers: list[Silent] = []

    def published(
        self, client: Client, message: Message, queues: list[Destination], mandatory: bool, parent: TraceParent | None
    ) -> Follower:
        """Record the call."""
        self.seen.append(("publish", message.body(), parent is not None))
        self.followers.append(Silent())
        return self.followers[-1]

    def delivered(
        self,
        client: Client,
        entry: QueueEntry,
        tag: int,
        no_ack: bool,
        is_get: bool,
        parent: TraceParent | None,
        follower: object,
    ) -> object:
        """Record the call."""
        known = "follower" if follower in self.followers else "parent" if parent is not None else ""
        self.seen.append(("deliver", entry.message.body(), tag, no_ack, is_get, known))
        return entry.message.body()

    def settled(self, delivery: object, how: int) -> None:
        """Record the call."""
        self.seen.append(("settle", delivery, how))

    def limited(self, count: int) -> None:
        """Record the call."""
        self.seen.append(("limited", count))


@pytest.fixture
def peer() -> Peer:
    """A client with a queue q."""
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    return peer


def watch(peer: Peer, share: float = 1.0, per_second: int = 100_000) -> tuple[Sampling, Notes]:
    """Install the sampling for a tracer."""
    notes = Notes()
    sampling = Sampling(notes, Sampler(share, True, 1), peer.broker.clock, per_second)
    peer.broker.let_watch(sampling)
    return sampling, notes


def publish(peer: Peer, body: bytes, parent: str | None = None) -> None:
    """Publish to q."""
    properties = BasicProperties()
    if parent is not None:
        properties.headers = {"traceparent": longstr(parent)}
    peer.send(BasicPublish("", "q"), body, properties)


def test_a_message_from_its_publish_to_its_ack(peer: Peer) -> None:
    _, notes = watch(peer)
    publish(peer, b"1")
    publish(peer, b"2", SAMPLED)
    publish(peer, b"3", UNSAMPLED)
    peer.send(BasicConsume("q", "tag"))
    peer.send(BasicAck(3, multiple=True))
    assert notes.seen == [
        ("publish", b"1", False),
        ("publish", b"2", True),
        ("deliver", b"1", 1, False, False, "follower"),
        ("deliver", b"2", 2, False, False, "follower"),
        ("settle", b"1", ACK),
        ("settle", b"2", ACK),
    ]


def test_each_delivery_is_one(peer: Peer) -> None:
    _, notes = watch(peer)
    publish(peer, b"1")
    peer.send(BasicGet("q"))
    peer.send(BasicNack(1, False, True))
    peer.send(BasicGet("q"))
    peer.connection.lost()
    assert [each[:2] + each[-1:] for each in notes.seen[1:]] == [
        ("deliver", b"1", "follower"),
        ("settle", b"1", REQUEUE),
        ("deliver", b"1", "follower"),
        ("settle", b"1", RETURN),
    ]


def test_nothing_is_settled_without_acks(peer: Peer) -> None:
    sampling, notes = watch(peer)
    publish(peer, b"1")
    peer.send(BasicGet("q", no_ack=True))
    sampling.close()
    assert notes.seen == [("publish", b"1", False), ("deliver", b"1", 1, True, True, "follower")]


def test_what_was_published_before_is_known_by_its_header(peer: Peer) -> None:
    for body, parent in ((b"1", None), (b"2", SAMPLED), (b"3", UNSAMPLED)):
        publish(peer, body, parent)
    _, notes = watch(peer)
    for _ in range(3):
        peer.send(BasicGet("q"))
    assert notes.seen == [("deliver", b"2", 2, False, True, "parent")]


def test_no_more_deliveries_are_waited_for_than_there_may_be(peer: Peer) -> None:
    sampling, notes = watch(peer)
    for number in range(MOST_OPEN + 2):
        publish(peer, b"%d" % number)
        peer.broker.tick(peer.broker.clock.now_ms + 10)
    peer.send(BasicConsume("q", "tag"))
    turn(peer.broker)  # the rest of what a queue gives in one
    settled = [each for each in notes.seen if each[0] == "settle"]
    assert settled == [("settle", b"0", OPEN), ("settle", b"1", OPEN)]
    sampling.close()
    assert len([each for each in notes.seen if each[0] == "settle"]) == MOST_OPEN + 2
    peer.send(BasicAck(0, multiple=True))
    assert notes.seen[-1][0] == "settle"
    assert notes.seen[-1][2] == OPEN


def test_the_limit_is_told_once_in_a_while(peer: Peer) -> None:
    sampling, notes = watch(peer, per_second=1)
    for _ in range(5):
        publish(peer, b"")
    peer.broker.tick(TELL_MS + 1)
    for _ in range(3):
        publish(peer, b"")
    assert [each for each in notes.seen if each[0] == "limited"] == [("limited", 1), ("limited", 4)]
    assert sampling.left_out == 6


def test_a_share_of_nothing(peer: Peer) -> None:
    _, notes = watch(peer, share=0.0)
    publish(peer, b"1")
    publish(peer, b"2", SAMPLED)
    assert notes.seen == [("publish", b"2", True)]
