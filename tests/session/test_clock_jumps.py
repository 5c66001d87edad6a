"""The time of day leaps by hours, while the broker runs and while it does not; nothing comes or ends too early."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.core.exchange.exchange import Binding
from leveret.wire.fields import Table, long, longstr
from leveret.wire.methods import BasicPublish, BasicReject
from leveret.wire.properties import BasicProperties
from tests.brokers.run import START_MS, Run
from tests.clients.socketless import Peer
from tests.session.test_restart import deaths

HOURS_MS = 5 * 3_600_000
both_ways = pytest.mark.parametrize("leap_ms", [HOURS_MS, -HOURS_MS])


class Life(Run):
    """A life of a broker whose node looks at the time of day, as node/monitors/clock.py does."""

    def __init__(self, directory: Path, today_ms: int, now_ms: int = 5_000) -> None:
        super().__init__(directory, now_ms, today_ms)
        self._ahead_ms = today_ms - now_ms

    @property
    def today_ms(self) -> int:
        """The time of day."""
        return self.now_ms + self._ahead_ms

    def leap(self, milliseconds: int) -> None:
        """Somebody sets the clock."""
        self._ahead_ms += milliseconds
        self.broker.look_at_clock(self.today_ms)

    def end(self) -> None:
        """The broker stops."""
        self.broker.look_at_clock(self.today_ms)
        self.broker.keep_time()
        super().end()

    def declare(self) -> None:
        """A queue for everything that has to do with time."""
        self.queue("q", x_message_ttl=10_000)
        self.queue("own")
        self.queue("idle", x_expires=10_000)
        self.queue("due")
        self.queue("once")
        self.exchange("later", "x-delayed-message", "due", {"x-delayed-type": longstr("direct")})
        window: Table = {"x-cache-size": long(10), "x-cache-ttl": long(10_000)}
        self.exchange("unique", "x-message-deduplication", "once", window)

    def exchange(self, name: str, type_: str, queue: str, arguments: Table) -> None:
        """A durable exchange with a queue."""
        vhost = self.broker.vhosts["/"]
        exchange = vhost.declare_exchange(name, type_, True, False, False, arguments)
        vhost.bind(Binding(exchange, vhost.queues[queue], None, "", {}))

    def use(self) -> None:
        """A message for each, to end in 10 s."""
        self.publish("q", b"a")
        self.publish("own", b"b", expiration="10000")
        self.send("later", b"c", {"x-delay": long(10_000)})
        self.once()

    def send(self, exchange: str, body: bytes, headers: Table) -> None:
        """Publish to an exchange."""
        properties = BasicProperties()
        properties.delivery_mode = 2
        properties.headers = headers
        self.peer.send(BasicPublish(exchange, ""), body, properties)

    def once(self) -> int:
        """Send what may come once in 10 s. Returns: how many of it are there."""
        self.send("unique", b"d", {"x-deduplication-header": longstr("d")})
        return self.ready("once")

    def state(self) -> tuple[int, int, int]:
        """Messages that have not expired, that have not, and that are due."""
        return self.ready("q"), self.ready("own"), self.ready("due")


BEFORE, AFTER = (1, 1, 0), (0, 0, 1)


@both_ways
def test_while_the_broker_runs_nothing_happens(tmp_path: Path, leap_ms: int) -> None:
    life = Life(tmp_path, START_MS)
    life.declare()
    life.use()
    heartbeats = Peer(life.broker, heartbeat_s=60)
    life.leap(leap_ms)
    life.pass_ms(0)
    life.leap(-2 * leap_ms)
    life.pass_ms(9_999)
    assert life.state() == BEFORE
    assert "idle" in life.broker.vhosts["/"].queues
    assert life.once() == 1
    life.pass_ms(2)
    assert life.state() == AFTER
    assert "idle" not in life.broker.vhosts["/"].queues
    assert life.once() == 2
    assert heartbeats.got() == []
    assert not heartbeats.connection.finished
    life.end()


@both_ways
def test_after_a_leap_messages_are_as_old_as_they_are_in_the_next_run(tmp_path: Path, leap_ms: int) -> None:
    life = Life(tmp_path, START_MS)
    life.declare()
    life.use()
    life.leap(leap_ms)
    life.use()
    life.pass_ms(3_000)
    today_ms = life.today_ms
    life.end()
    life = Life(tmp_path, today_ms, now_ms=77)
    assert life.once() == 1
    life.pass_ms(6_998)
    assert life.state() == (2, 2, 0)
    assert life.once() == 1
    life.pass_ms(3)
    assert life.state() == (0, 0, 2)
    assert life.once() == 2
    life.end()


def test_the_time_that_it_was_down_counts_after_a_leap_forward(tmp_path: Path) -> None:
    life = Life(tmp_path, START_MS)
    life.declare()
    life.leap(HOURS_MS)
    life.use()
    today_ms = life.today_ms
    life.end()
    life = Life(tmp_path, today_ms + 4_000)
    life.pass_ms(5_998)
    assert life.state() == BEFORE
    life.pass_ms(3)
    assert life.state() == AFTER
    life.end()


def test_set_back_while_it_is_down_it_goes_on_where_it_was(tmp_path: Path) -> None:
    life = Life(tmp_path, START_MS)
    life.declare()
    life.use()
    life.pass_ms(4_000)
    life.end()
    life = Life(tmp_path, START_MS - HOURS_MS)
    life.pass_ms(5_998)
    assert life.state() == BEFORE
    assert life.once() == 1
    life.pass_ms(3)
    assert life.state() == AFTER
    assert life.once() == 2
    life.end()


def test_set_back_and_set_right_again_is_no_reason_to_be_early(tmp_path: Path) -> None:
    life = Life(tmp_path, START_MS)
    life.declare()
    life.use()
    life.end()
    life = Life(tmp_path, START_MS - HOURS_MS)
    life.pass_ms(2_000)
    life.end()
    life = Life(tmp_path, START_MS + 3_000)
    life.pass_ms(6_998)
    assert life.state() == BEFORE
    life.pass_ms(3)
    assert life.state() == AFTER
    life.end()


def test_set_forward_while_it_is_down_counts_as_time(tmp_path: Path) -> None:
    life = Life(tmp_path, START_MS)
    life.declare()
    life.use()
    life.publish("own", b"e", expiration=str(2 * HOURS_MS))
    life.end()
    life = Life(tmp_path, START_MS + HOURS_MS)
    assert life.ready("q") == 0
    life.pass_ms(1)
    assert life.ready("due") == 1
    assert life.ready("own") == 1
    assert life.get("own").body == b"e"
    life.end()


@both_ways
def test_a_leap_is_known_though_the_end_was_not_told(tmp_path: Path, leap_ms: int) -> None:
    life = Life(tmp_path, START_MS)
    life.declare()
    life.leap(leap_ms)
    life.use()
    today_ms = life.today_ms
    Run.end(life)
    life = Life(tmp_path, today_ms)
    life.pass_ms(9_998)
    assert life.state() == BEFORE
    assert life.once() == 1
    life.pass_ms(3)
    assert life.state() == AFTER
    life.end()


def test_letters_say_the_time_of_day(tmp_path: Path) -> None:
    life = Life(tmp_path, START_MS)
    life.queue("dead")
    life.queue("q", x_dead_letter_exchange="", x_dead_letter_routing_key="dead")
    life.leap(-HOURS_MS)
    life.publish("q", b"a")
    life.get("q", no_ack=False)
    life.peer.send(BasicReject(1, False))
    (death,) = deaths(life.get("dead"))
    assert death["time"].integer == (START_MS - HOURS_MS) // 1000
    life.end()


def test_a_leap_is_told_once_and_small_ones_add_up(tmp_path: Path) -> None:
    life = Life(tmp_path, START_MS)
    for _ in range(5):
        life.leap(400)
    life.leap(0)
    told = ["the system clock has leapt by +1.2 s; deadlines are unchanged"]
    assert life.broker.explanations == told
    life.leap(-HOURS_MS)
    assert life.broker.explanations[1:] == ["the system clock has leapt by -17999.2 s; deadlines are unchanged"]
    life.end()
