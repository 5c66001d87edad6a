"""Messages that are held until the time that a header of theirs names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.client.tending import name_of, place_of
from leveret.core.message.budget import COST
from leveret.core.message.schedule import POSITIONS, place
from leveret.core.message.times import LAST_MS, MILLISECONDS_FROM, UNREADABLE, time_of
from leveret.core.policy.policy import Policy
from leveret.core.queue.holding import Held, Holding
from leveret.core.turn.work import PIECE
from leveret.wire.fields import (
    BINARY,
    DECIMAL,
    FLOAT32,
    FLOAT64,
    VOID,
    Field,
    array,
    boolean,
    long,
    longstr,
    table,
    timestamp,
)
from leveret.wire.methods import (
    BasicAck,
    BasicNack,
    BasicReject,
    ChannelClose,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
)
from tests.brokers.run import Run
from tests.clients.socketless import Peer, held_bytes
from tests.session.queue_scene import START_MS, QueueScene, Taker

WAYS = pytest.mark.parametrize("way", ["argument", "policy", "override"])
TYPES = pytest.mark.parametrize("kind", ["classic", "quorum"])


def holding(way: str = "argument", **arguments: object) -> QueueScene:
    """A queue that holds until the header eta."""
    scene = QueueScene(**arguments, **({"hold_until_header": "eta"} if way == "argument" else {}))
    if way == "policy":
        scene.policy({"hold-until-header": "eta"})
    elif way == "override":
        scene.override(hold_until_header="eta")
    return scene


def after(milliseconds: int) -> dict[str, Any]:
    """The headers of a message that may go so long after the beginning."""
    return {"eta": START_MS + milliseconds}


# -- what names a time


def iso(milliseconds: int) -> str:
    """A date with its zone."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)).isoformat()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (longstr("2023-11-14T22:13:20+00:00"), START_MS),
        (longstr("2023-11-14T22:13:20Z"), START_MS),
        (longstr("2023-11-14T22:13:20"), START_MS),
        (longstr("2023-11-14 22:13:20"), START_MS),
        (longstr(" 2023-11-14T22:13:20 "), START_MS),
        (longstr("20231114T221320Z"), START_MS),
        (longstr("2023-11-15T00:13:20+02:00"), START_MS),
        (longstr("2023-11-14T22:13:20.000001Z"), START_MS + 1),
        (longstr("2023-11-14T22:13:19.9999Z"), START_MS),
        (longstr("2023-11-15"), START_MS - 80_000_000 + 86_400_000),
        (longstr("1700000000"), START_MS),
        (longstr("1700000000000"), START_MS),
        (longstr("1700000000.0001"), START_MS + 1),
        (longstr("+1700000000"), START_MS),
        (Field(BINARY, b"1700000000"), START_MS),
        (long(1_700_000_000), START_MS),
        (long(START_MS), START_MS),
        (timestamp(1_700_000_000), START_MS),
        (Field(FLOAT64, 1_700_000_000.5), START_MS + 500),
        (Field(FLOAT64, 1.7e12), START_MS),
        (Field(FLOAT32, 1024.0), 1_024_000),
        (Field(DECIMAL, (2, 170_000_000_050)), START_MS + 500),
        (long(MILLISECONDS_FROM - 1), (MILLISECONDS_FROM - 1) * 1000),
        (long(MILLISECONDS_FROM), MILLISECONDS_FROM),
        (long(0), 0),
        (long(-5), 0),
        (longstr("1969-12-31T23:59:59Z"), 0),
        (longstr("0001-01-01T00:00:00+23:59"), 0),
        (Field(VOID, None), 0),
        (longstr("9999-12-31T23:59:59.999999-23:59"), LAST_MS),
        (long(LAST_MS), LAST_MS),
        (long(LAST_MS + 1), UNREADABLE),
        (longstr(""), UNREADABLE),
        (longstr("soon"), UNREADABLE),
        (longstr("2023-13-01"), UNREADABLE),
        (longstr("2023-11-14T25:00:00"), UNREADABLE),
        (longstr("1e9"), UNREADABLE),
        (longstr("１７"), UNREADABLE),
        (longstr("1" * 10_000), UNREADABLE),
        (longstr(b"\xff\xfe"), UNREADABLE),
        (longstr("2023-11-14T22:13:20+00:00" + " " * 60), UNREADABLE),
        (Field(FLOAT64, float("nan")), UNREADABLE),
        (Field(FLOAT64, float("inf")), UNREADABLE),
        (Field(FLOAT64, -1e300), UNREADABLE),
        (long((1 << 63) - 1), UNREADABLE),
        (timestamp((1 << 64) - 1), UNREADABLE),
        (boolean(True), UNREADABLE),
        (array([long(1)]), UNREADABLE),
        (table({}), UNREADABLE),
    ],
)
def test_what_names_a_time(value: Field, expected: int) -> None:
    assert time_of(value) == expected


@given(st.integers(0, LAST_MS), st.integers(-14 * 60, 14 * 60))
def test_a_date_is_the_same_in_every_zone(milliseconds: int, minutes: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    try:
        elsewhere = moment + timedelta(minutes=minutes)
    except OverflowError:
        return
    sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
    text = f"{elsewhere.replace(tzinfo=None).isoformat()}{sign}{minutes // 60:02}:{minutes % 60:02}"
    assert time_of(longstr(text)) == milliseconds


@given(st.binary(max_size=80))
def test_whatever_stands_there_is_read_or_not(raw: bytes) -> None:
    assert UNREADABLE <= time_of(longstr(raw)) <= LAST_MS


# -- what is held


@WAYS
def test_a_message_comes_when_its_time_has_come(way: str) -> None:
    scene = holding(way)
    taker = Taker(scene)
    assert [type(each) for each in scene.publish("later", headers=after(1000))] == [BasicAck]
    scene.publish("now")
    scene.publish("past", headers=after(-1000))
    assert taker.got() == ["now", "past"]
    assert scene.counts() == (0, 1, 2)
    assert scene.declare().message_count == 0
    scene.pass_ms(999)
    assert taker.got() == []
    scene.pass_ms(1)
    assert taker.got() == ["later"]
    assert scene.counts() == (0, 0, 3)


def test_it_is_not_redelivered_and_get_gets_it_too() -> None:
    scene = holding()
    scene.publish("a", headers=after(10))
    assert scene.get() is None
    scene.pass_ms(10)
    assert not scene.queue.ready.first().redelivered
    assert scene.get() == "a"


@pytest.mark.parametrize("eta", ["soon", True, Field(FLOAT64, float("nan")), LAST_MS + 1])
def test_what_cannot_be_read_is_not_held_and_counted(eta: object) -> None:
    scene = holding()
    scene.publish("a", headers={"eta": eta})
    assert scene.counts() == (1, 0, 0)
    assert scene.queue.total().unreadable == 1
    taker = Taker(scene)
    assert taker.got() == ["a"]
    taker.settle(BasicReject(1, True))
    assert (taker.got(), scene.queue.total().unreadable) == (["a"], 1)


def test_nothing_in_the_header_is_no_time_and_no_mistake() -> None:
    scene = holding()
    scene.publish("a", headers={"eta": Field(VOID, None)})  # as Celery writes it
    scene.publish("b", headers={"other": 1})
    scene.publish("c")
    assert (scene.counts(), int(scene.queue.total().unreadable)) == ((3, 0, 0), 0)


@TYPES
def test_it_goes_to_the_place_that_it_would_have_had(kind: str) -> None:
    scene = holding(queue_type=kind)
    scene.publish("a")
    scene.publish("b", headers=after(20))
    scene.publish("c")
    scene.publish("d", headers=after(10))
    scene.publish("e")
    scene.pass_ms(10)
    scene.pass_ms(10)
    assert [scene.get() for _ in range(6)] == ["a", "b", "c", "d", "e", None]


def test_it_goes_into_its_priority() -> None:
    scene = holding(max_priority=5)
    scene.publish("urgent", headers=after(10), priority=4)
    scene.publish("low", priority=1)
    scene.publish("also urgent", priority=4)
    scene.pass_ms(10)
    assert [scene.get() for _ in range(3)] == ["urgent", "also urgent", "low"]


def test_those_that_come_back_do_not_wait_again() -> None:
    scene = holding()
    scene.publish("a", headers=after(10))
    scene.pass_ms(10)
    taker = Taker(scene)
    assert taker.got() == ["a"]
    taker.settle(BasicNack(1, False, True))
    assert taker.got() == ["a"]


def test_its_time_to_live_begins_when_its_time_has_come() -> None:
    scene = holding(message_ttl=100)
    scene.publish("a", headers=after(1000))
    scene.publish("b", headers=after(1000), expiration="50")
    scene.pass_ms(1000)
    assert scene.counts() == (2, 0, 0)
    scene.pass_ms(49)
    assert scene.ready() == 2
    scene.pass_ms(50)
    assert scene.ready() == 2  # the one behind the head
    scene.pass_ms(1)
    assert scene.counts() == (0, 0, 0)


def test_many_that_are_due_at_once_come_in_pieces() -> None:
    scene = holding()
    count = PIECE + 10
    scene.publish(*["m"] * count, headers=after(100))
    scene.pass_ms(100)
    assert scene.counts() == (PIECE, 10, 0)
    scene.pass_ms(1)
    assert scene.counts() == (count, 0, 0)


# -- limits, purges, ends


@pytest.mark.parametrize("limit", ["max_length", "max_length_bytes"])
def test_what_is_held_counts_for_the_limits(limit: str) -> None:
    limits: dict[str, Any] = {limit: 2}
    scene = holding(overflow="reject-publish", **limits)
    scene.publish("a", headers=after(100))
    scene.publish("b")
    assert [type(each) for each in scene.publish("c", headers=after(100))] == [BasicNack]
    assert [type(each) for each in scene.publish("d")] == [BasicNack]
    assert scene.counts() == (1, 1, 0)


def test_what_is_ready_is_dropped_first_and_then_what_is_due_first() -> None:
    scene = holding(max_length=2, dead_letter_exchange="", dead_letter_routing_key="dead")
    scene.vhost.declare_queue("dead", True, False, False, {}, 0)
    scene.publish("ready")
    for name, due in (("c", 300), ("a", 100), ("b", 200)):
        scene.publish(name, headers=after(due))
    dead = [entry.message.body().decode() for entry in scene.vhost.queues["dead"].ready.items()]
    assert (dead, scene.counts()) == (["ready", "a"], (0, 2, 0))


def test_a_purge_drops_and_counts_them() -> None:
    scene = holding()
    scene.publish("a", "b", headers=after(100))
    scene.publish("c")
    assert Peer(scene.broker).call(QueuePurge("q"), QueuePurgeOk).message_count == 3
    scene.broker.finish()
    assert (scene.counts(), held_bytes(scene.broker)) == ((0, 0, 0), 0)
    assert scene.broker.dated == {}
    assert not [each for _, each in scene.broker.timers.waiting() if isinstance(each, Holding)]
    scene.pass_ms(100)
    assert scene.ready() == 0


def test_a_purge_of_many_is_done_in_pieces() -> None:
    scene = holding()
    count = 3 * PIECE
    scene.publish(*["m"] * count, headers=after(100))
    assert scene.queue.purge() == count
    assert len(scene.broker.background) == 1
    scene.broker.finish()
    assert held_bytes(scene.broker) == 0


def test_a_queue_that_holds_something_is_not_empty_and_takes_it_along() -> None:
    scene = holding()
    scene.publish("a", headers=after(100))
    assert Peer(scene.broker).call(QueueDelete("q", if_empty=True), ChannelClose).reply_code == 406
    assert Peer(scene.broker).call(QueueDelete("q"), QueueDeleteOk).message_count == 0
    scene.broker.finish()
    assert (held_bytes(scene.broker), scene.broker.dated) == (0, {})
    scene.pass_ms(1000)


def test_the_numbers_add_up() -> None:
    scene = holding()
    scene.publish("a", "b", headers=after(100))
    scene.publish("c")
    total = scene.queue.total()
    ready, held, unacked = scene.counts()
    assert (total.published, total.removed) == (ready + held + unacked, 0)
    (first, _) = page(scene)
    assert scene.queue.drop_held(first.place)
    assert scene.queue.total().removed == 1


# -- one by one


def page(scene: QueueScene, behind: int = 0, limit: int = 100) -> list[Held]:
    """What is held."""
    found = scene.queue.detours.holding
    return [] if found is None else found.page(behind, limit)


def test_they_are_shown_by_their_times_and_dropped_by_their_names() -> None:
    scene = holding()
    for name, due in (("c", 300), ("a", 100), ("b", 200)):
        scene.publish(name, headers=after(due))
    found = page(scene)
    assert [each.entry.message.body() for each in found] == [b"a", b"b", b"c"]
    assert [each.due_ms - START_MS for each in found] == [100, 200, 300]
    assert [each.place for each in page(scene, found[0].place, 1)] == [found[1].place]
    assert scene.queue.drop_held(found[1].place)
    assert not scene.queue.drop_held(found[1].place)
    assert not scene.queue.drop_held(0)
    scene.pass_ms(100)
    assert [scene.get(), scene.get()] == ["a", None]
    scene.pass_ms(200)
    assert [scene.get(), scene.get()] == ["c", None]


@given(st.integers(0, 1 << 47), st.integers(1, POSITIONS))
def test_a_name_stands_for_a_place(due_ms: int, position: int) -> None:
    assert place_of(name_of(due_ms, position)) == place(due_ms, position)


@given(st.one_of(st.text(max_size=50), st.from_regex(r"[0-9]{0,30}-[0-9]{0,30}", fullmatch=True)))
def test_any_other_name_stands_for_none_or_for_one_that_could_be(name: str) -> None:
    assert 0 <= place_of(name) < 1 << 100


# -- settings that change


def test_what_was_there_before_is_held_when_it_is_its_turn() -> None:
    scene = QueueScene()
    scene.publish("later", headers=after(1000))
    scene.publish("now")
    scene.publish("later too", headers=after(1000))
    scene.override(hold_until_header="eta")
    assert scene.counts() == (3, 0, 0)
    taker = Taker(scene)
    assert taker.got() == ["now"]
    assert scene.counts() == (0, 2, 1)
    scene.publish("new", headers=after(500))
    scene.pass_ms(500)
    assert taker.got() == ["new"]
    scene.pass_ms(500)
    assert taker.got() == ["later", "later too"]


def test_what_a_client_had_before_is_held_when_it_comes_back() -> None:
    scene = QueueScene()
    scene.publish("later", "later too", headers=after(1000))
    taker = Taker(scene)
    assert taker.got() == ["later", "later too"]
    scene.policy({"hold-until-header": "eta"})
    taker.settle(BasicReject(1, True))
    assert taker.got() == []
    assert scene.counts() == (0, 1, 1)
    taker.peer.connection.lost()
    other = Taker(scene)
    assert (other.got(), scene.counts()) == ([], (0, 2, 0))
    scene.pass_ms(1000)
    assert other.got() == ["later", "later too"]


def test_get_sees_it_too() -> None:
    scene = QueueScene()
    scene.publish("later", "later too", headers=after(1000))
    scene.publish("now")
    scene.override(hold_until_header="eta")
    assert [scene.get(), scene.get()] == ["now", None]
    assert scene.counts() == (0, 2, 0)


def test_in_a_queue_with_priorities() -> None:
    scene = QueueScene(max_priority=3)
    scene.publish("later", headers=after(1000), priority=3)
    scene.publish("now", priority=1)
    scene.publish("later too", headers=after(1000), priority=2)
    scene.override(hold_until_header="eta")
    taker = Taker(scene)
    assert taker.got() == ["now"]
    scene.pass_ms(1000)
    assert taker.got() == ["later", "later too"]


def test_in_a_queue_with_priorities_what_is_new_may_come_before_what_nobody_has_seen() -> None:
    scene = QueueScene(max_priority=3)
    scene.publish("later", headers=after(1000), priority=1)
    scene.override(hold_until_header="eta")
    scene.publish("new", priority=3)
    taker = Taker(scene)
    assert (taker.got(), scene.counts()) == (["new"], (0, 1, 1))


def test_a_long_backlog_is_looked_at_in_pieces() -> None:
    scene = QueueScene()
    scene.publish(*["later"] * (3 * PIECE), headers=after(1000))
    scene.publish("now")
    scene.override(hold_until_header="eta")
    taker = Taker(scene)
    scene.broker.finish()
    assert taker.got() == ["now"]
    assert scene.counts() == (0, 3 * PIECE, 1)


@WAYS
def test_without_the_setting_all_go_at_once(way: str) -> None:
    scene = holding(way)
    scene.publish("a", "b", headers=after(1000))
    taker = Taker(scene)
    if way == "policy":
        scene.policy(None)
    else:
        scene.override(hold_until_header=None)
    scene.pass_ms(1)
    assert taker.got() == ["a", "b"]


def test_another_header_counts_for_those_that_come_then() -> None:
    scene = holding()
    scene.publish("a", headers=after(1000))
    scene.override(hold_until_header="when")
    scene.publish("b", headers={"eta": START_MS + 1000, "when": START_MS + 500})
    taker = Taker(scene)
    scene.pass_ms(500)
    assert taker.got() == ["b"]
    scene.pass_ms(500)
    assert taker.got() == ["a"]


# -- the time of day


def test_a_clock_that_is_set_is_heeded_at_once() -> None:
    scene = holding()
    scene.publish("a", headers=after(10_000_000))
    scene.publish("b", headers=after(20_000_000))
    taker = Taker(scene)
    clock = scene.broker.clock
    scene.broker.look_at_clock(clock.today_ms + 10_000_000)
    scene.pass_ms(1)
    assert taker.got() == ["a"]
    taker.settle(BasicAck(1))
    scene.publish("due by now", headers=after(9_000_000))
    assert taker.got() == ["due by now"]
    taker.settle(BasicAck(2))
    scene.broker.look_at_clock(clock.today_ms - 10_000_000)
    scene.pass_ms(10_000_000)
    assert taker.got() == []
    scene.pass_ms(10_000_000)
    assert taker.got() == ["b"]


# -- memory, restarts, the log


def test_what_is_held_needs_memory_and_can_rest_in_the_log(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q", x_hold_until_header="eta")
    count = 100
    for number in range(count):
        run.publish("q", b"%03d" % number + bytes(2000), headers={"eta": long(START_MS + 1000 + number)})
    assert held_bytes(run.broker) > count * (2000 + COST)
    run.commit()
    run.broker.budget.limit = 100_000
    run.broker.relieve()
    assert held_bytes(run.broker) < 100_000 + COST
    run.broker.budget.limit = 1 << 60
    run.pass_ms(2000)
    bodies = [run.get("q").body or b"" for _ in range(count)]
    assert [body[:3] for body in bodies] == [b"%03d" % number for number in range(count)]
    run.end()


@pytest.mark.usefixtures("load_bytes")
@TYPES
def test_what_is_held_is_held_after_a_restart(tmp_path: Path, kind: str) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q", x_queue_type=kind, x_hold_until_header="eta", x_message_ttl=100)
    run.publish("q", b"b", headers={"eta": long(START_MS + 2000)})
    run.publish("q", b"a", headers={"eta": longstr(iso(START_MS + 1000))})
    run.publish("q", b"transient", headers={"eta": long(START_MS + 1000)}, delivery_mode=1)
    run.end()
    run = Run(tmp_path, 77, START_MS + 500)
    queue = run.broker.vhosts["/"].queues["q"]
    kept = 3 if kind == "quorum" else 2
    assert (run.ready("q"), queue.detours.held()) == (0, kept)
    run.pass_ms(499)
    assert run.ready("q") == 0
    run.pass_ms(1)
    assert run.ready("q") == kept - 1
    assert run.get("q").body == b"a"
    run.pass_ms(100)
    assert run.ready("q") == 0  # its time to live has begun when its time had come
    run.end()
    run = Run(tmp_path, 77, START_MS + 2050)
    assert run.get("q").body == b"b"  # due while no broker ran
    run.end()
    run = Run(tmp_path, 77, START_MS + 3000)
    assert run.ready("q") == 0
    run.end()


@pytest.mark.usefixtures("load_bytes")
def test_a_policy_holds_after_a_restart_too(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q")
    run.broker.vhosts["/"].set_policy(Policy("p", "^q$", {"hold-until-header": "eta"}, 0, "queues"))
    run.broker.finish()
    for number in range(700):
        eta = START_MS + (1000 if number % 2 else -1000)
        run.publish("q", b"%d" % number, headers={"eta": long(eta)})
    run.end()
    run = Run(tmp_path, 5_000, START_MS)
    assert (run.ready("q"), run.broker.vhosts["/"].queues["q"].detours.held()) == (350, 350)
    assert run.get("q").body == b"0"
    run.end()


def test_what_is_dropped_does_not_come_back(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q", x_hold_until_header="eta")
    for body in (b"a", b"b"):
        run.publish("q", body, headers={"eta": long(START_MS + 1000)})
    queue = run.broker.vhosts["/"].queues["q"]
    assert queue.detours.holding is not None
    assert queue.drop_held(queue.detours.holding.first())
    run.end()
    run = Run(tmp_path, 5_000, START_MS + 1000)
    assert (run.ready("q"), run.get("q").body) == (1, b"b")
    run.end()
