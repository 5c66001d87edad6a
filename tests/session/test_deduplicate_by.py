"""A queue that takes a message with the same header, or the same message-id, only once; by argument, policy, override.

The argument x-message-deduplication is tested in tests/core/test_deduplication.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.message.log import MessageLog, Recovered, Resting
from leveret.core.message.message import Message
from leveret.core.policy.policy import Policy
from leveret.wire.fields import Field, array, boolean, long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicNack,
    BasicPublish,
    BasicReject,
    ConfirmSelect,
    ConfirmSelectOk,
    QueuePurge,
    QueuePurgeOk,
)
from leveret.wire.properties import BasicProperties
from tests.brokers.run import START_MS, Run
from tests.clients.socketless import Got, Peer
from tests.session.queue_scene import QueueScene, Taker

WAYS = pytest.mark.parametrize("way", ["argument", "policy", "override"])
BY = pytest.mark.parametrize("by", ["task", "message-id"])


def deduplicating(way: str, by: str, **arguments: object) -> QueueScene:
    """A queue that tells messages apart."""
    scene = QueueScene(**arguments, **({"deduplicate_by": by} if way == "argument" else {}))
    if way == "policy":
        scene.policy({"deduplicate-by": by})
    elif way == "override":
        scene.override(deduplicate_by=by)
    return scene


def named(by: str, name: str) -> dict[str, Any]:
    """The properties of a message that is called so."""
    return {"message_id": name} if by == "message-id" else {"headers": {by: name}}


@WAYS
@BY
def test_the_same_is_taken_once_and_confirmed_twice(way: str, by: str) -> None:
    scene = deduplicating(way, by)
    for body, name in (("a", "1"), ("b", "2"), ("a again", "1")):
        assert [type(each) for each in scene.publish(body, **named(by, name))] == [BasicAck]
    scene.publish("without", "without")
    assert scene.queue.counters.duplicates == 1
    assert [scene.get() for _ in range(5)] == ["a", "b", "without", "without", None]


@BY
@pytest.mark.parametrize("ends", ["ack", "reject", "get", "expire", "drop", "purge", "no_ack"])
def test_it_comes_again_when_the_first_is_gone(by: str, ends: str) -> None:
    scene = deduplicating("policy", by, message_ttl=1000, max_length=3)
    if ends == "no_ack":
        taker = Taker(scene, no_ack=True)
        scene.publish("a", **named(by, "1"))
        scene.publish("b", **named(by, "1"))
        assert taker.got() == ["a", "b"]
        return
    scene.publish("a", **named(by, "1"))
    if ends in ("ack", "reject"):
        taker = Taker(scene)
        assert taker.got() == ["a"]
        scene.publish("too early", **named(by, "1"))
        assert taker.got() == []
        taker.settle(BasicAck(1) if ends == "ack" else BasicReject(1, False))
    elif ends == "get":
        assert scene.get() == "a"
    elif ends == "expire":
        scene.pass_ms(1000)
    elif ends == "drop":
        scene.publish("x", "y", "z")
    else:
        assert Peer(scene.broker).call(QueuePurge("q"), QueuePurgeOk).message_count == 1
    scene.publish("b", **named(by, "1"))
    bodies = [entry.message.body() for entry in scene.queue.ready.items()]
    assert (b"b" in bodies) or taker.got() == ["b"]


def test_what_comes_back_is_still_known() -> None:
    scene = deduplicating("argument", "task")
    scene.publish("a", **named("task", "1"))
    taker = Taker(scene)
    assert taker.got() == ["a"]
    taker.settle(BasicNack(1, False, True))
    scene.publish("b", **named("task", "1"))
    assert taker.got() == ["a"]


def test_what_was_refused_may_come_again() -> None:
    scene = deduplicating("policy", "task", max_length=1, overflow="reject-publish")
    scene.publish("full")
    assert [type(each) for each in scene.publish("a", **named("task", "1"))] == [BasicNack]
    assert scene.get() == "full"
    assert [type(each) for each in scene.publish("a", **named("task", "1"))] == [BasicAck]
    assert scene.get() == "a"


class Failing(MessageLog):
    """Keeps nothing, and may fail once."""

    fails = False

    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int, level: int = 0) -> None:
        """Nothing, or not even that."""
        if self.fails:
            self.fails = False
            raise OSError("it failed")

    def remove(self, queue_id: int, position: int) -> None:
        """Nothing."""

    def delivered(self, queue_id: int, position: int) -> None:
        """Nothing."""

    def drop(self, queue_id: int) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""

    def recover(self) -> Iterator[Recovered | Resting]:
        """Nothing."""
        return iter(())

    def close(self) -> None:
        """Nothing."""


def test_a_message_that_failed_to_come_may_come_again_and_takes_no_other_name_with_it() -> None:
    scene = deduplicating("policy", "task")
    log = Failing()
    scene.queue.log = log
    scene.publish("first", **named("task", "1"))
    for name in (None, "2"):
        log.fails = True
        given = {} if name is None else named("task", name)
        assert BasicNack in [type(each) for each in scene.publish("failed", **given)]
        scene.queue.repair()
    scene.publish("second", **named("task", "2"))
    scene.publish("first again", **named("task", "1"))
    assert [scene.get() for _ in range(3)] == ["first", "second", None]


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        (long(5), Field(0x62, 5), True),
        (long(5), longstr("5"), False),
        (longstr("x" * 100), longstr("x" * 100), True),
        (longstr("x" * 100), longstr("x" * 101), False),
        (array([long(1)]), array([long(1)]), True),
        (boolean(True), boolean(False), False),
    ],
)
def test_values_are_the_same_as_everywhere(first: Field, second: Field, is_same: bool) -> None:
    scene = deduplicating("argument", "task")
    scene.publish("a", headers={"task": first})
    scene.publish("b", headers={"task": second})
    assert scene.ready() == (1 if is_same else 2)


def test_what_was_there_before_is_not_known_and_what_was_known_is_forgotten() -> None:
    scene = QueueScene()
    scene.publish("a", **named("task", "1"))
    scene.policy({"deduplicate-by": "task"})
    scene.publish("b", **named("task", "1"))
    scene.publish("c", **named("task", "1"))
    assert scene.ready() == 2
    scene.policy({"deduplicate-by": "message-id"})
    scene.publish("d", **named("task", "1"))
    scene.publish("e", message_id="1")
    scene.publish("f", message_id="1")
    assert scene.ready() == 4
    scene.policy(None)
    scene.publish("g", message_id="1")
    assert scene.ready() == 5
    scene.policy({"deduplicate-by": "task"})
    assert [scene.get() for _ in range(6)] == ["a", "b", "d", "e", "g", None]


def test_what_is_held_is_known_too() -> None:
    scene = deduplicating("argument", "task", hold_until_header="eta")
    later = {"headers": {"task": "1", "eta": scene.broker.clock.today_ms + 1000}}
    scene.publish("a", **later)
    scene.publish("b", **named("task", "1"))
    assert (scene.counts(), int(scene.queue.counters.duplicates)) == ((0, 1, 0), 1)
    assert scene.queue.detours.holding is not None
    assert scene.queue.drop_held(scene.queue.detours.holding.first())
    scene.publish("c", **later)
    assert Peer(scene.broker).call(QueuePurge("q"), QueuePurgeOk).message_count == 1
    scene.publish("d", **named("task", "1"))
    assert scene.counts() == (1, 0, 0)


def test_a_duplicate_is_confirmed_when_the_first_is_safe(tmp_path: Path) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q", x_deduplicate_by="task")
    run.peer.call(ConfirmSelect(), ConfirmSelectOk)
    for _ in range(2):
        run.publish("q", b"a", headers={"task": longstr("1")})
    assert run.peer.got() == []
    heard: list[Got] = []
    while not heard:
        run.commit()
        heard = run.peer.got()
    (got,) = heard
    assert isinstance(got.method, BasicAck)
    assert (got.method.delivery_tag, got.method.multiple) == (2, True)
    run.end()


@pytest.mark.usefixtures("load_bytes")
@BY
def test_it_is_known_after_a_restart(tmp_path: Path, by: str) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q")
    run.broker.vhosts["/"].set_policy(Policy("p", "", {"deduplicate-by": by}, 0, "queues"))
    run.broker.finish()
    _publish(run, by, b"a")
    run.end()
    run = Run(tmp_path, 5_000, START_MS)
    _publish(run, by, b"b")
    assert run.ready("q") == 1
    assert run.get("q").body == b"a"
    _publish(run, by, b"c")
    assert run.ready("q") == 1
    run.end()


def _publish(run: Run, by: str, body: bytes) -> None:
    properties = BasicProperties()
    properties.delivery_mode = 2
    properties.message_id = "1" if by == "message-id" else "other"
    properties.headers = {"task": longstr("1")} if by == "task" else {}
    run.peer.send(BasicPublish("", "q"), body, properties)


@given(st.binary(max_size=255).filter(lambda raw: b"\0" not in raw))
def test_any_message_id_is_the_same_as_itself(raw: bytes) -> None:
    scene = deduplicating("argument", "message-id")
    name = raw.decode("utf-8", "surrogateescape")
    for _ in range(2):
        scene.publish("m", message_id=name, correlation_id="c", reply_to="r", app_id="x")
    assert scene.ready() == 1
