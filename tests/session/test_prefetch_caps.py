"""How much consumers may have: capped by their queue, changed while they run; and who of them is next."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.queue.consumers import Consumers
from leveret.core.queue.detours import FEW, PORTION
from leveret.wire.fields import signedint
from leveret.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    QueueDeclare,
    QueueDeclareOk,
)
from tests.clients.socketless import Peer
from tests.session.queue_scene import QueueScene, Taker

WAYS = pytest.mark.parametrize("way", ["argument", "policy", "operator policy", "override"])


def capped(way: str, most: int) -> QueueScene:
    """A queue with a cap, set in one of the ways that there are."""
    if way == "argument":
        return QueueScene(max_prefetch=most)
    scene = QueueScene()
    if way == "override":
        scene.override(max_prefetch=most)
    else:
        scene.policy({"max-prefetch": most}, way == "operator policy")
    return scene


# -- a cap


@WAYS
@pytest.mark.parametrize(("prefetch", "expected"), [(0, 3), (2, 2), (3, 3), (100, 3)])
@pytest.mark.parametrize("shared", [False, True])
def test_no_consumer_has_more_than_the_cap(way: str, prefetch: int, expected: int, shared: bool) -> None:
    scene = capped(way, 3)
    scene.publish(*"abcdefgh")
    taker = Taker(scene, prefetch, shared)
    assert len(taker.got()) == expected
    taker.settle(BasicAck(1))
    assert len(taker.got()) == 1
    taker.settle(BasicAck(0, True))
    assert len(taker.got()) == expected


def test_a_shared_window_and_the_cap_hold_both() -> None:
    scene = capped("override", 2)
    scene.publish(*"abcdefgh")
    peer = Peer(scene.broker)
    peer.call(QueueDeclare("free"), QueueDeclareOk)
    peer.call(BasicQos(0, 5, True), BasicQosOk)
    for queue, tag in (("q", "one"), ("q", "two"), ("free", "three")):
        peer.send(BasicConsume(queue, tag, nowait=True))
    for _ in range(8):
        scene.peer.send(BasicPublish("", "free"), b"free")
    got = Counter(got.method.consumer_tag for got in peer.got() if got.body is not None)  # type: ignore[union-attr]
    assert got == {"one": 2, "two": 2, "three": 1}


def test_a_consumer_without_acks_has_no_window() -> None:
    scene = capped("override", 2)
    scene.publish(*"abcd")
    assert Taker(scene, no_ack=True).got() == ["a", "b", "c", "d"]


def test_a_cap_that_comes_later_takes_nothing_away_and_one_that_goes_lets_more_come() -> None:
    scene = QueueScene()
    scene.publish(*"abcdef")
    taker = Taker(scene, 4)
    assert len(taker.got()) == 4
    scene.policy({"max-prefetch": 2})
    for tag in (1, 2):
        taker.settle(BasicAck(tag))
        assert taker.got() == []
    taker.settle(BasicAck(3))
    assert taker.got() == ["e"]
    scene.policy({"max-prefetch": 3})
    assert taker.got() == ["f"]
    scene.publish("g", "h")
    assert taker.got() == []
    scene.policy(None)
    assert taker.got() == ["g"]


def test_the_window_that_is_asked_for_later_is_capped_too() -> None:
    scene = capped("policy", 2)
    taker = Taker(scene, 1)
    taker.peer.call(BasicQos(0, 50), BasicQosOk)
    taker.peer.call(BasicConsume("q", "second"), BasicConsumeOk)
    scene.publish(*"abcdef")
    assert len(taker.got()) == 3


# -- a running consumer


def test_the_window_of_a_running_consumer_changes() -> None:
    scene = QueueScene()
    scene.publish(*"abcdefgh")
    taker = Taker(scene, 2)
    (consumer,) = scene.queue.consumers.all
    assert len(taker.got()) == 2
    scene.queue.set_prefetch(consumer, 4)
    assert len(taker.got()) == 2
    scene.queue.set_prefetch(consumer, 1)
    taker.settle(BasicAck(3, True))
    assert taker.got() == []
    taker.settle(BasicAck(4))
    assert len(taker.got()) == 1
    scene.queue.set_prefetch(consumer, 0)
    assert len(taker.got()) == 3


def test_what_an_operator_sets_is_capped_too_and_stays_when_the_cap_goes() -> None:
    scene = capped("policy", 2)
    scene.publish(*"abcdefgh")
    taker = Taker(scene, 1)
    (consumer,) = scene.queue.consumers.all
    scene.queue.set_prefetch(consumer, 5)
    assert len(taker.got()) == 2
    scene.policy(None)
    assert len(taker.got()) == 3


# -- the least loaded


ORDERS = pytest.mark.parametrize("way", ["argument", "policy", "override"])


def least_loaded(way: str = "argument") -> QueueScene:
    """A queue whose least loaded consumer is first."""
    if way == "argument":
        return QueueScene(consumer_order="least-loaded")
    scene = QueueScene()
    if way == "override":
        scene.override(consumer_order="least-loaded")
    else:
        scene.policy({"consumer-order": "least-loaded"})
    return scene


@ORDERS
def test_who_has_the_fewest_is_next(way: str) -> None:
    scene = least_loaded(way)
    one, two = Taker(scene), Taker(scene)
    scene.publish(*"abcd")
    assert (one.got(), two.got()) == (["a", "c"], ["b", "d"])
    one.settle(BasicAck(0, True))
    scene.publish(*"efg")
    assert (one.got(), two.got()) == (["e", "f"], ["g"])  # of two with as many, the one that has waited longer
    scene.publish("h")
    assert (one.got(), two.got()) == (["h"], [])


def test_by_turns_it_would_have_been_otherwise() -> None:
    scene = QueueScene()
    one, two = Taker(scene), Taker(scene)
    scene.publish(*"abcd")
    one.settle(BasicAck(0, True))
    scene.publish(*"ef")
    assert (one.got(), two.got()) == (["a", "c", "e"], ["b", "d", "f"])


def test_priorities_come_first_and_a_full_one_gives_way() -> None:
    scene = least_loaded()
    low = Taker(scene)
    high = Taker(scene, 2, priority=signedint(5))
    scene.publish(*"abcd")
    assert (high.got(), low.got()) == (["a", "b"], ["c", "d"])
    high.settle(BasicAck(1))
    scene.publish("e")
    assert (high.got(), low.got()) == (["e"], [])


def test_the_order_changes_while_consumers_run() -> None:
    scene = QueueScene()
    one, two = Taker(scene), Taker(scene)
    scene.publish("a", "b", "c")
    assert (one.got(), two.got()) == (["a", "c"], ["b"])
    one.settle(BasicAck(0, True))
    scene.override(consumer_order="least-loaded")
    scene.publish("d")
    assert (one.got(), two.got()) == (["d"], [])
    scene.override(consumer_order="round-robin")
    scene.publish("e", "f")
    assert (len(one.got()), len(two.got())) == (1, 1)


def test_a_single_active_consumer_stays_alone() -> None:
    scene = QueueScene(single_active_consumer=True, consumer_order="least-loaded")
    one, two = Taker(scene), Taker(scene)
    scene.publish(*"abc")
    assert (one.got(), two.got()) == (["a", "b", "c"], [])


def test_many_consumers_are_looked_at_in_portions_of_messages() -> None:
    scene = least_loaded()
    count = 8 * FEW
    takers = [Taker(scene) for _ in range(count)]
    scene.publish(*["m"] * count)
    scene.broker.finish()
    for taker in takers:
        assert taker.got() == ["m"]
    for taker in takers[1:]:
        taker.settle(BasicAck(1))
    scene.override(paused=True)
    scene.publish(*["m"] * (count - 1))
    scene.override(paused=None)
    scene.broker.dirty.clear()
    before = scene.queue.delivered
    scene.queue.touch()
    scene.queue.pump()
    assert 0 < scene.queue.delivered - before <= PORTION * FEW // count
    scene.broker.finish()
    assert [len(taker.got()) for taker in takers] == [0] + [1] * (count - 1)


@given(st.lists(st.tuples(st.sampled_from("pagxc"), st.integers(0, 3)), max_size=60), st.integers(0, 3))
def test_against_a_model(steps: list[tuple[str, int]], prefetch: int) -> None:
    """p: publish; a: ack all; g: give all back; x: the client goes, another one comes; c: change the window."""
    scene = least_loaded()
    takers = [Taker(scene, prefetch) for _ in range(4)]
    held: list[list[str]] = [[] for _ in takers]
    limits = [prefetch] * 4
    number = 0

    def look() -> None:
        """Every message goes to one that had the fewest when it came, if it had room; so the loads differ by what
        windows forbid only."""
        for taker, own in zip(takers, held, strict=True):
            own.extend(taker.got())
        room = [not limit or len(own) < limit for own, limit in zip(held, limits, strict=True)]
        assert not (scene.ready() and any(room))

    for what, at in steps:
        if what == "p":
            number += 1
            loads = [len(own) for own in held]
            free = [load for load, limit in zip(loads, limits, strict=True) if not limit or load < limit]
            was_ready = scene.ready()
            scene.publish(str(number))
            look()
            chosen = [before for before, own in zip(loads, held, strict=True) if len(own) > before]
            if free and not was_ready:
                assert chosen == [min(free)]
        elif what == "a" and held[at]:
            held[at].clear()
            takers[at].settle(BasicAck(0, True))
            look()
        elif what == "g" and held[at]:
            held[at].clear()
            takers[at].settle(BasicNack(0, True, True))
            scene.broker.finish()
            look()
        elif what == "x":
            takers[at].peer.connection.lost()
            scene.broker.finish()
            held[at] = []
            limits[at] = prefetch
            takers[at] = Taker(scene, prefetch)
            look()
        elif what == "c":
            consumer = next(each for each in scene.queue.consumers.all if _is_of(each, takers[at]))
            limits[at] = (limits[at] + 1) % 4
            scene.queue.set_prefetch(consumer, limits[at])
            look()


def _is_of(consumer: object, taker: Taker) -> bool:
    return consumer in [each for channel in _channels(taker) for each in channel.consuming.consumers.values()]


def _channels(taker: Taker) -> list:  # type: ignore[type-arg]
    return list(taker.peer.connection.channels.values())


def test_an_order_of_consumers_by_itself() -> None:
    consumers = Consumers(False)
    consumers.set_order(True)
    assert consumers.next() is None
