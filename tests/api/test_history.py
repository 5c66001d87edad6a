"""Rates and samples: what the sampler sees while time passes as the test says, and how much of it is kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.api import history as history_module
from leveret.api.history import BASIC, DETAILED, FEW, GLOBAL, History, Sum, numbers
from leveret.api.query import Query, Span
from leveret.api.sampler import BROKER, CONNECTION, EXCHANGE, QUEUE, VHOST, Machine, Sampler
from leveret.api.statistics import Details, Sample, details, idle_since
from leveret.api.turns import Turns
from leveret.core.broker import Broker
from leveret.core.turn.clock import Clock
from leveret.store.memory import MemoryLog
from leveret.wire.methods import BasicGet, BasicPublish, QueueDeclare, QueueDelete
from tests.clients.socketless import Peer, turn

STEP_MS = 5_000
START_MS = 1_700_000_000_000
ONE = numbers("n")


class Watched:
    """A broker, its sampler, and one client that publishes and gets."""

    def __init__(self) -> None:
        log = MemoryLog()
        self.broker = Broker(log, log, Clock(0, START_MS), seed=1, node="test")
        log.listener = self.broker.news
        self.now_ms = 0
        self.peer = Peer(self.broker)
        self.sampler = Sampler(self.broker, Turns(), Machine(self.broker, ""))
        self.history = self.sampler.history
        self.peer.send(QueueDeclare(queue="q", durable=True))
        self.peer.got()

    @property
    def queue(self) -> Any:
        """What everything goes through."""
        return self.broker.vhosts["/"].queues["q"]

    def publish(self, count: int) -> None:
        """Publish messages to the queue."""
        for _ in range(count):
            self.peer.send(BasicPublish("", "q"), b"12345")
        turn(self.broker)

    def get(self, count: int) -> None:
        """Get messages without acknowledgements."""
        for _ in range(count):
            self.peer.send(BasicGet("q", True))
        self.peer.got()

    def look(self, after_ms: int = STEP_MS) -> None:
        """Time passes, and the sampler has a look."""
        self.now_ms += after_ms
        self.broker.tick(self.now_ms)
        asyncio.run(self.sampler.look())

    def told(self, thing: object, name: str, query: str = "") -> Details:
        """What is told of a number. query: seconds of samples and seconds between them."""
        span = None
        if query:
            age, step = query.split("/")
            span = Query({"lengths_age": age, "lengths_incr": step}).span("lengths")
        return details(self.history.find(thing), name, span)


def samples(found: Details) -> list[Sample]:
    """Those that were asked for."""
    assert isinstance(found.samples, list)
    return found.samples


def test_a_rate_is_what_came_in_a_second() -> None:
    watched = Watched()
    watched.look()
    watched.publish(20)
    watched.look()
    assert watched.told(watched.queue, "publish").rate == 4.0
    assert watched.told(watched.queue, "messages").rate == 4.0
    assert watched.told(watched.broker.vhosts["/"], "publish").rate == 4.0
    assert watched.told(watched.broker, "publish").rate == 4.0
    watched.get(10)
    watched.look(2_000)
    assert watched.told(watched.queue, "publish").rate == 0.0
    assert watched.told(watched.queue, "get_no_ack").rate == 5.0
    assert watched.told(watched.queue, "messages").rate == -5.0


def test_before_there_are_two_samples_there_is_no_rate() -> None:
    watched = Watched()
    watched.publish(20)
    assert watched.told(watched.queue, "publish") == Details(0.0)
    assert watched.told(watched.queue, "publish", "60/5") == Details(0.0, [], 0.0, 0.0)
    watched.look()
    assert watched.told(watched.queue, "publish") == Details(0.0)


def test_samples_are_the_latest_first_with_their_average_and_the_rate_between_them() -> None:
    watched = Watched()
    watched.look()
    for count in (10, 0, 20):
        watched.publish(count)
        watched.look()
    found = watched.told(watched.queue, "messages", "15/5")
    assert [each.sample for each in samples(found)] == [30, 10, 10, 0]
    assert [each.timestamp - START_MS for each in samples(found)] == [20_000, 15_000, 10_000, 5_000]
    assert (found.rate, found.avg, found.avg_rate) == (4.0, 12.5, 2.0)
    coarse = watched.told(watched.queue, "messages", "20/10")
    assert [each.sample for each in samples(coarse)] == [30, 10]


def test_bytes_of_connections_and_what_exchanges_route() -> None:
    watched = Watched()
    watched.look()
    watched.publish(10)
    watched.look()
    (client,) = watched.broker.connections.values()
    series = watched.history.find(client)
    assert series is not None
    assert series.names is CONNECTION
    assert series.rate("recv_oct") > 10 * 5 / 5
    exchange = watched.history.find(watched.broker.vhosts["/"].exchanges[""])
    assert exchange is not None
    assert exchange.names is EXCHANGE
    assert (exchange.rate("publish_in"), exchange.rate("publish_out")) == (2.0, 2.0)


def test_what_is_gone_is_forgotten_and_still_counts_for_all() -> None:
    watched = Watched()
    watched.look()
    watched.publish(10)
    watched.look()
    queue, vhost = watched.queue, watched.broker.vhosts["/"]
    (client,) = watched.broker.connections.values()
    watched.peer.send(QueueDelete("q"))
    watched.peer.got()
    watched.look()
    assert watched.history.find(queue) is None
    assert watched.history.find(client) is not None
    watched.peer.connection.lost()
    watched.look()
    assert watched.history.find(client) is None
    series = watched.history.find(vhost)
    assert series is not None
    assert series.now[VHOST["publish"]] == 10
    assert series.now[VHOST["messages"]] == 0
    overall = watched.history.find(watched.broker)
    assert overall is not None
    assert overall.now[BROKER["publish"]] == 10
    assert overall.now[BROKER["queue_deleted"]] == 1


def test_idle_since_the_last_change() -> None:
    watched = Watched()
    watched.look()
    watched.publish(1)
    watched.look()
    series = watched.history.find(watched.queue)
    assert series is not None
    assert series.names is QUEUE
    assert not isinstance(idle_since(series), str)
    watched.look()
    watched.look()
    assert idle_since(series) == "2023-11-14T22:13:30.000+00:00"


@pytest.mark.parametrize("retention", [DETAILED, BASIC, GLOBAL])
def test_no_more_is_kept_than_the_retention_says(retention: tuple[tuple[int, int], ...]) -> None:
    history = History()
    series = history.note("thing", ONE, retention)
    most = sum(kept_s // step_s + 2 for kept_s, step_s in retention)
    for at_s in range(0, 90_000, 5):
        series.add(START_MS + at_s * 1000, (at_s,))
    assert history.count <= most
    for kept_s, step_s in retention:
        found = series.samples("n", Span(kept_s - 5, step_s))
        assert len(found) == (kept_s - 5) // step_s + 1
        assert all(0 <= at_ms - START_MS - value * 1000 < step_s * 1000 for at_ms, value in found)


def test_what_does_not_change_needs_no_memory() -> None:
    history = History()
    series = history.note("thing", ONE, DETAILED)
    for at_s in range(0, 3_600, 5):
        series.add(START_MS + at_s * 1000, (7,))
    assert history.count == 1
    assert [value for _, value in series.samples("n", Span(60, 5))] == [7] * 13


def test_all_series_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "MOST", 500)
    history = History()
    things = [history.note(number, ONE, DETAILED) for number in range(20)]
    for at_s in range(0, 600, 5):
        for series in things:
            series.add(START_MS + at_s * 1000, (at_s,))
    assert history.count <= 500 + len(things)
    assert all(len(series.samples("n", Span(50, 5))) >= FEW - 2 for series in things)
    assert len(list(history.clear())) == len(things)
    assert history.count == 0


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=40), st.integers(1, 12))
def test_samples_are_what_was_last_seen_at_each_time(seen: list[tuple[int, int]], steps: int) -> None:
    """Against all that was ever seen, kept in a list."""
    series = History().note("thing", ONE, DETAILED)
    everything: list[tuple[int, int]] = []
    at_ms = START_MS
    for gap, value in seen:
        at_ms += gap * 1_000
        everything.append((at_ms, value))
        series.add(at_ms, (value,))
    step_ms = 5_000
    last_ms = at_ms - at_ms % step_ms
    expected = []
    for wanted_ms in range(last_ms, last_ms - steps * step_ms - 1, -step_ms):
        before = [value for when_ms, value in everything if when_ms <= wanted_ms]
        if before:
            expected.append((wanted_ms, before[-1]))
    assert series.samples("n", Span(steps * 5, 5)) == expected


def test_several_series_are_one_sum() -> None:
    history = History()
    early, late = history.note("early", ONE, DETAILED), history.note("late", ONE, DETAILED)
    for at_s in (0, 5, 10):
        early.add(START_MS + at_s * 1_000, (at_s,))
    for at_s, value in ((5, 100), (10, 120)):
        late.add(START_MS + at_s * 1_000, (value,))
    total = Sum(ONE, [early, None, late, history.note("never seen", ONE, DETAILED)])
    assert total.now == (130,)
    assert total.rate("n") == 5.0
    found = [(at_ms - START_MS, value) for at_ms, value in total.samples("n", Span(10, 5))]
    assert found == [(10_000, 130), (5_000, 105), (0, 0)]
    assert Sum(ONE, []).now == (0,)
