"""A paused queue delivers nothing, and does all else; a rate lets through what it says, to the millisecond."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.policy.checks import MAX_RATE
from leveret.core.queue.brake import TICK_MS
from leveret.core.turn.flow_control import LAG
from leveret.wire.methods import BasicAck, BasicNack, BasicPublish, BasicReject, QueueDelete, QueueDeleteOk
from tests.brokers.run import START_MS, Run
from tests.clients.socketless import Peer, encode
from tests.session.queue_scene import QueueScene, Taker

PAUSES = pytest.mark.parametrize("way", ["argument", "policy", "operator policy", "override"])


def paused(way: str, **arguments: object) -> QueueScene:
    """A queue that is paused in one of the ways that there are."""
    scene = QueueScene(**arguments, **({"paused": True} if way == "argument" else {}))
    if way == "override":
        scene.override(paused=True)
    elif way != "argument":
        scene.policy({"paused": True}, way == "operator policy")
    return scene


# -- pause


@PAUSES
def test_a_paused_queue_takes_publishes_and_answers_get_with_get_empty(way: str) -> None:
    scene = paused(way)
    assert [type(each) for each in scene.publish("a", "b")] == [BasicAck]
    taker = Taker(scene)
    assert taker.got() == []
    assert scene.get() is None
    assert scene.queue.counters.get_empty == 1
    assert scene.declare().message_count == 2
    assert scene.counts() == (2, 0, 0)


@PAUSES
def test_what_waited_comes_in_order_when_it_is_resumed(way: str) -> None:
    scene = paused(way)
    taker = Taker(scene)
    scene.publish("a", "b")
    if way == "argument":
        scene.override(paused=False)
    elif way == "override":
        scene.vhost.override(scene.queue, {})
    else:
        scene.policy(None, way == "operator policy")
    scene.publish("c")
    assert taker.got() == ["a", "b", "c"]


def test_what_consumers_have_can_be_settled_and_comes_back() -> None:
    scene = QueueScene()
    scene.publish("a", "b", "c")
    taker = Taker(scene)
    assert taker.got() == ["a", "b", "c"]
    scene.override(paused=True)
    taker.settle(BasicAck(1))
    taker.settle(BasicReject(2, True))
    taker.settle(BasicNack(3, False, True))
    assert taker.got() == []
    assert scene.counts() == (2, 0, 0)
    scene.override(paused=False)
    assert taker.got() == ["b", "c"]


def test_a_client_that_goes_gives_back_to_a_paused_queue() -> None:
    scene = QueueScene()
    scene.publish("a", "b")
    taker = Taker(scene)
    other = Taker(scene)
    scene.override(paused=True)
    taker.peer.connection.lost()
    scene.pass_ms(1)
    assert (scene.counts(), other.got()) == ((2, 0, 0), [])
    scene.override(paused=False)
    assert other.got() == ["a", "b"]


@pytest.mark.parametrize("has_consumer", [False, True])
def test_messages_expire_and_are_dropped_as_usual(has_consumer: bool) -> None:
    scene = paused("override", message_ttl=1000, max_length=3)
    if has_consumer:
        Taker(scene)
    scene.publish("a", "b", "c", "d")
    assert (scene.ready(), int(scene.queue.counters.dropped)) == (3, 1)
    scene.pass_ms(999)
    assert scene.ready() == 3
    scene.pass_ms(1)
    assert (scene.ready(), int(scene.queue.counters.expired)) == (0, 3)


def test_a_full_paused_queue_refuses_as_usual() -> None:
    scene = paused("override", max_length=1, overflow="reject-publish")
    Taker(scene)
    assert [type(each) for each in scene.publish("a", "b")] == [BasicAck, BasicNack]


def test_an_idle_paused_queue_ends_as_usual() -> None:
    scene = paused("override", expires=1000)
    scene.pass_ms(1000)
    assert "q" not in scene.vhost.queues


def test_a_paused_queue_can_be_deleted() -> None:
    scene = paused("override")
    scene.publish("a")
    assert Peer(scene.broker).call(QueueDelete("q"), QueueDeleteOk).message_count == 1
    scene.declare()
    scene.publish("b")
    assert scene.get() == "b"  # what an operator had said went with it


def test_a_dead_letter_comes_into_a_paused_queue_and_out_of_it() -> None:
    scene = paused("override", message_ttl=10, dead_letter_exchange="", dead_letter_routing_key="dead")
    scene.vhost.declare_queue("dead", True, False, False, {}, 0)
    scene.publish("a")
    scene.pass_ms(10)
    assert len(scene.vhost.queues["dead"].ready) == 1


def test_publishers_do_not_wait_for_a_queue_that_is_kept_back() -> None:
    for change in ({"paused": True}, {"delivery_rate": 1}):
        scene = QueueScene()
        scene.override(**change)
        Taker(scene, prefetch=1)
        publisher = Peer(scene.broker)
        for _ in range(3):
            publisher.connection.receive(encode(1, BasicPublish("", "q"), b"m") * LAG)
            assert not publisher.connection.is_in_flow
        assert scene.ready() > 2 * LAG


@pytest.mark.usefixtures("load_bytes")
def test_a_queue_is_paused_after_a_restart_and_after_a_kill(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q")
    run.queue("other")
    queue = run.broker.vhosts["/"].queues["q"]
    run.broker.vhosts["/"].override(queue, {"paused": True, "max-length": 5})
    for name in ("q", "other"):
        run.publish(name, b"a")
    run.commit()
    for _ in range(2):
        run.end()
        run = Run(tmp_path, 5_000, START_MS)
        queue = run.broker.vhosts["/"].queues["q"]
        assert (queue.settings.is_paused, queue.settings.max_length) == (True, 5)
        assert run.get("q").body is None
        assert run.ready("q") == 1
    assert run.get("other").body == b"a"
    run.broker.vhosts["/"].override(queue, {})
    run.end()
    run = Run(tmp_path, 5_000, START_MS)
    assert run.get("q").body == b"a"
    run.end()


# -- rate


RATES = pytest.mark.parametrize("way", ["argument", "policy", "operator policy", "override"])


def rated(way: str, rate: float, burst: int | None = None) -> QueueScene:
    """A queue with a rate."""
    named = {"delivery_rate": rate} | ({} if burst is None else {"delivery_burst": burst})
    if way == "argument":
        return QueueScene(**named)
    scene = QueueScene()
    if way == "override":
        scene.override(**named)
    else:
        scene.policy({name.replace("_", "-"): value for name, value in named.items()}, way == "operator policy")
    return scene


@RATES
def test_so_many_a_second_and_no_more(way: str) -> None:
    scene = rated(way, 10)
    taker = Taker(scene)
    scene.publish(*"abcdefgh")
    assert taker.got() == ["a"]
    for expected in "bcd":
        scene.pass_ms(99)
        assert taker.got() == []
        scene.pass_ms(1)
        assert taker.got() == [expected]


def test_a_burst_goes_at_once_and_fills_again() -> None:
    scene = rated("override", 10, 3)
    taker = Taker(scene)
    scene.publish(*"abcdefgh")
    assert taker.got() == ["a", "b", "c"]
    scene.pass_ms(100)
    assert taker.got() == ["d"]
    scene.publish("i")
    scene.pass_ms(400)
    assert taker.got() == ["e", "f", "g"]  # the bucket holds three, however long nobody looks
    scene.pass_ms(1)
    assert taker.got() == []


def test_less_than_one_a_second() -> None:
    scene = QueueScene()
    scene.override(delivery_rate=0.5)
    taker = Taker(scene)
    scene.publish("a", "b")
    assert taker.got() == ["a"]
    scene.pass_ms(1999)
    assert taker.got() == []
    scene.pass_ms(1)
    assert taker.got() == ["b"]


def test_redeliveries_and_gets_count_too() -> None:
    scene = rated("override", 1)
    scene.publish("a", "b")
    assert (scene.get(), scene.get()) == ("a", None)
    taker = Taker(scene)
    scene.pass_ms(1000)
    assert taker.got() == ["b"]
    taker.settle(BasicReject(1, True))
    assert taker.got() == []
    scene.pass_ms(1000)
    assert taker.got() == ["b"]


def test_a_rate_changes_while_messages_wait() -> None:
    scene = rated("override", 0.01)
    taker = Taker(scene)
    scene.publish(*"abcdefgh")
    assert taker.got() == ["a"]
    scene.override(delivery_rate=100)
    scene.pass_ms(10)
    assert taker.got() == ["b"]
    scene.override(delivery_rate=None)
    assert taker.got() == ["c", "d", "e", "f", "g", "h"]


def test_no_timer_is_left_where_nothing_waits() -> None:
    scene = rated("override", 10)
    scene.publish("a")
    taker = Taker(scene)
    assert taker.got() == ["a"]
    taker.settle(BasicAck(1))
    for _ in range(5):
        scene.pass_ms(100)
    assert scene.broker.tick(scene.broker.clock.now_ms) in (None, 60_000)  # that of the ack


@given(
    rate=st.one_of(st.floats(0.1, 2000), st.integers(1, 5000), st.just(MAX_RATE)),
    burst=st.one_of(st.none(), st.integers(1, 50)),
    steps=st.lists(st.integers(1, 400), min_size=1, max_size=30),
)
def test_whatever_the_steps_of_time_no_more_comes_than_may(rate: float, burst: int | None, steps: list[int]) -> None:
    scene = rated("override", rate, burst)
    taker = Taker(scene, no_ack=True)
    count = 3000
    scene.publish(*["m"] * count)
    most_at_once = max(burst or 1, rate * 2 * TICK_MS / 1000)
    got, passed_ms = len(taker.got()), 0
    assert got == min(int(most_at_once + 1e-6), count)
    for step in steps:
        scene.pass_ms(step)
        passed_ms += step
        got += len(taker.got())
        assert got <= most_at_once + rate * passed_ms / 1000 + 1e-6
    if rate <= 100 and got < count:  # the broker looks again as soon as one may go
        for _ in range(200):
            due_ms = scene.broker.tick(scene.broker.clock.now_ms)
            assert due_ms is not None
            scene.pass_ms(due_ms - scene.broker.clock.now_ms)
            if taker.got():
                break
        else:
            raise AssertionError("nothing comes any more")


def test_a_backlog_goes_at_the_rate_and_not_slower() -> None:
    for rate in (3, 50, 100, 777, 5000):
        scene = rated("override", rate)
        taker = Taker(scene, no_ack=True)
        count = 2 * rate
        scene.publish(*["m"] * count)
        got = len(taker.got())
        while scene.broker.clock.now_ms < 1000:
            due_ms = scene.broker.tick(scene.broker.clock.now_ms)
            assert due_ms is not None
            scene.pass_ms(max(due_ms - scene.broker.clock.now_ms, 1))
            got += len(taker.got())
        assert rate - 1 <= got <= rate * 1.03 + 1, rate
