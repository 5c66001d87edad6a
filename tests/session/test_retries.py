"""Messages that come back and are delivered again only after a while."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leveret.core.message.budget import COST
from leveret.core.policy.policy import Policy
from leveret.core.queue.queue import Queue
from leveret.core.queue.retries import Retries
from leveret.core.turn.work import PIECE
from leveret.management.messages import export_messages
from leveret.management.status import show_status
from leveret.wire.fields import Table, long, longstr, signedint
from leveret.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicRecover,
    BasicRecoverOk,
    BasicReject,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
)
from leveret.wire.properties import BasicProperties
from tests.brokers.promises import kept
from tests.clients.socketless import Got, Peer, held_bytes, turn

TYPES = pytest.mark.parametrize("kind", ["classic", "quorum"])
ALL: Table = {"x-delayed-retry-type": longstr("all"), "x-delayed-retry-min": signedint(100)}


class Scene:
    """A client and one queue."""

    def __init__(self, kind: str, arguments: Table) -> None:
        self.peer = Peer()
        self.broker = self.peer.broker
        table: Table = {"x-queue-type": longstr(kind), **arguments}
        self.peer.call(QueueDeclare("q", durable=True, arguments=table), QueueDeclareOk)

    @property
    def queue(self) -> Queue:
        """The queue."""
        return self.broker.vhosts["/"].queues["q"]

    def publish(self, *bodies: bytes, expiration: str | None = None, priority: int | None = None) -> None:
        """Publish persistent messages."""
        properties = BasicProperties()
        properties.delivery_mode = 2
        properties.expiration = expiration
        properties.priority = priority
        for body in bodies:
            self.peer.send(BasicPublish("", "q"), body, properties)

    def get(self) -> Got | None:
        """The next message, which stays outstanding; None when there is none."""
        self.peer.send(BasicGet("q", False))
        (got,) = self.peer.got()
        return got if isinstance(got.method, BasicGetOk) else None

    def take(self, body: bytes) -> int:
        """Get a message, which has to be this one. Returns: its delivery tag."""
        got = self.get()
        assert got is not None
        assert got.body == body
        assert isinstance(got.method, BasicGetOk)
        return got.method.delivery_tag

    def reject(self, body: bytes) -> None:
        """Get a message, which has to be this one, and give it back with basic.reject."""
        self.peer.send(BasicReject(self.take(body), True))

    def waits(self) -> tuple[int, int, int]:
        """How many messages are ready, wait to be delivered again, and are unacknowledged."""
        turn(self.broker)
        return len(self.queue.ready), len(self.queue.retries), int(self.queue.unacked)

    def timers(self) -> int:
        """How many timers wait for retries."""
        return sum(isinstance(target, Retries) for _, target in self.broker.timers.waiting())

    def pass_ms(self, milliseconds: int) -> None:
        """Time passes."""
        self.broker.tick(self.broker.clock.now_ms + milliseconds)


def by_reject(scene: Scene, tag: int) -> None:
    """A return that counts for the delivery limit."""
    scene.peer.send(BasicReject(tag, True))


def by_closing(scene: Scene, tag: int) -> None:
    """The same, by the end of the channel."""
    scene.peer.call(ChannelClose(200, "", 0, 0), ChannelCloseOk)
    scene.peer.call(ChannelOpen(), ChannelOpenOk)


def by_nack(scene: Scene, tag: int) -> None:
    """A return that does not count."""
    scene.peer.send(BasicNack(tag, False, True))


def by_recover(scene: Scene, tag: int) -> None:
    """The same, for all deliveries of the channel."""
    scene.peer.call(BasicRecover(True), BasicRecoverOk)


@TYPES
@pytest.mark.parametrize(
    ("way", "counts"), [(by_reject, True), (by_closing, True), (by_nack, False), (by_recover, False)]
)
@pytest.mark.parametrize("which", ["all", "failed", "returned", "disabled", "other", None])
def test_which_returns_have_to_wait(
    kind: str, which: str | None, way: Callable[[Scene, int], None], counts: bool
) -> None:
    arguments: Table = {"x-delayed-retry-min": signedint(100)}
    if which is not None:
        arguments["x-delayed-retry-type"] = longstr(which)
    scene = Scene(kind, arguments)
    scene.publish(b"a")
    way(scene, scene.take(b"a"))
    delayed = which == "all" or which == ("failed" if counts else "returned")
    assert scene.waits() == ((0, 1, 0) if delayed else (1, 0, 0))
    scene.pass_ms(99)
    assert scene.waits()[0] == (0 if delayed else 1)
    scene.pass_ms(1)
    assert scene.waits() == (1, 0, 0)
    got = scene.get()
    assert got is not None
    assert isinstance(got.method, BasicGetOk)
    assert got.method.redelivered


@TYPES
@pytest.mark.parametrize(
    ("least", "most", "delays"),
    [
        (100, None, [100, 100, 100]),
        (100, 250, [100, 200, 250, 250]),
        (100, 100, [100, 100]),
        (100, 50, [50, 50]),
        (100, 0, [100, 100]),
        (1, 1 << 62, [1, 2, 3, 4]),
        (1 << 62, 1 << 62, [1 << 48, 1 << 48]),
    ],
)
def test_the_delay_grows_with_the_failures(kind: str, least: int, most: int | None, delays: list[int]) -> None:
    arguments: Table = {"x-delayed-retry-type": longstr("failed"), "x-delayed-retry-min": long(least)}
    if most is not None:
        arguments["x-delayed-retry-max"] = long(most)
    scene = Scene(kind, arguments)
    scene.publish(b"a")
    for delay_ms in delays:
        scene.reject(b"a")
        scene.pass_ms(delay_ms - 1)
        assert scene.waits() == (0, 1, 0)
        scene.pass_ms(1)
        assert scene.waits() == (1, 0, 0)


@TYPES
@pytest.mark.parametrize("least", [None, signedint(0), signedint(-5), longstr("100")])
def test_without_a_delay_nothing_waits(kind: str, least: object) -> None:
    arguments: Table = {"x-delayed-retry-type": longstr("all"), "x-delayed-retry-max": signedint(100)}
    if least is not None:
        arguments["x-delayed-retry-min"] = least  # type: ignore[assignment]
    scene = Scene(kind, arguments)
    scene.publish(b"a")
    scene.reject(b"a")
    assert scene.waits() == (1, 0, 0)


@TYPES
def test_returns_that_do_not_count_wait_for_the_least(kind: str) -> None:
    scene = Scene(kind, {**ALL, "x-delayed-retry-max": signedint(1000)})
    scene.publish(b"a")
    for way, delay_ms in ((by_nack, 100), (by_nack, 100), (by_reject, 100), (by_nack, 100), (by_reject, 200)):
        way(scene, scene.take(b"a"))
        scene.pass_ms(delay_ms - 1)
        assert scene.waits() == (0, 1, 0)
        scene.pass_ms(1)
        assert scene.waits() == (1, 0, 0)


@TYPES
def test_it_goes_back_to_its_old_place(kind: str) -> None:
    scene = Scene(kind, ALL)
    scene.publish(b"a", b"b", b"c")
    scene.reject(b"a")
    scene.pass_ms(10)
    scene.reject(b"b")
    scene.peer.send(BasicAck(scene.take(b"c")))
    scene.publish(b"d")
    scene.pass_ms(90)
    assert scene.waits() == (2, 1, 0)
    scene.pass_ms(10)
    assert [scene.take(body) for body in (b"a", b"b", b"d")]


def test_it_goes_back_into_its_priority() -> None:
    scene = Scene("classic", {**ALL, "x-max-priority": signedint(5)})
    scene.publish(b"high", priority=4)
    scene.reject(b"high")
    scene.publish(b"low", priority=1)
    scene.pass_ms(100)
    assert [scene.take(body) for body in (b"high", b"low")]


@TYPES
def test_a_consumer_gets_it_when_its_time_has_come(kind: str) -> None:
    scene = Scene(kind, ALL)
    scene.publish(b"a")
    scene.peer.send(BasicConsume("q", "c"))
    consumed, delivered = scene.peer.got()
    assert isinstance(consumed.method, BasicConsumeOk)
    assert isinstance(delivered.method, BasicDeliver)
    scene.peer.send(BasicReject(delivered.method.delivery_tag, True))
    scene.pass_ms(99)
    assert scene.peer.got() == []
    scene.pass_ms(1)
    (again,) = scene.peer.got()
    assert isinstance(again.method, BasicDeliver)
    assert (again.body, again.method.redelivered) == (b"a", True)
    scene.peer.call(BasicCancel("c"), BasicCancelOk)


@TYPES
def test_the_delivery_limit_ends_it(kind: str) -> None:
    scene = Scene(kind, {**ALL, "x-delivery-limit": signedint(2)})
    scene.publish(b"a")
    for left in (1, 1, 0):
        scene.reject(b"a")
        assert scene.waits() == (0, left, 0)
        scene.pass_ms(100)


@TYPES
def test_it_expires_when_its_time_to_live_is_over_and_it_is_at_the_head(kind: str) -> None:
    scene = Scene(kind, ALL)
    scene.publish(b"a", expiration="50")
    scene.publish(b"b", expiration="200")
    scene.reject(b"a")
    scene.reject(b"b")
    scene.pass_ms(60)
    assert scene.waits() == (0, 2, 0)
    scene.pass_ms(40)
    assert scene.waits() == (1, 0, 0)
    scene.take(b"b")


@TYPES
def test_what_waits_is_purged_and_counted(kind: str) -> None:
    scene = Scene(kind, ALL)
    scene.publish(b"a", b"b", b"c")
    scene.reject(b"a")
    scene.reject(b"b")
    scene.publish(b"d")
    assert scene.peer.call(QueuePurge("q"), QueuePurgeOk).message_count == 4
    assert scene.waits() == (0, 0, 0)
    assert held_bytes(scene.broker) == 0
    scene.pass_ms(1000)
    assert scene.waits() == (0, 0, 0)
    assert scene.timers() == 0


@TYPES
def test_a_purge_of_many_is_done_in_pieces(kind: str) -> None:
    scene = Scene(kind, ALL)
    count = 3 * PIECE
    scene.publish(*[b"m"] * count)
    for _ in range(count):
        assert scene.get() is not None
    scene.peer.call(BasicRecover(True), BasicRecoverOk)
    scene.broker.finish()
    assert scene.waits() == (0, count, 0)
    assert scene.queue.purge() == count
    assert len(scene.broker.background) == 1
    scene.broker.finish()
    assert scene.waits() == (0, 0, 0)


@TYPES
def test_many_that_are_due_at_once_come_back_in_pieces(kind: str) -> None:
    scene = Scene(kind, ALL)
    count = PIECE + 10
    scene.publish(*[b"m"] * count)
    for _ in range(count):
        assert scene.get() is not None
    scene.peer.call(BasicRecover(True), BasicRecoverOk)
    scene.broker.finish()
    scene.pass_ms(100)
    assert scene.waits() == (PIECE, 10, 0)
    scene.pass_ms(1)
    assert scene.waits() == (count, 0, 0)


@TYPES
def test_a_deleted_queue_holds_on_to_nothing(kind: str) -> None:
    scene = Scene(kind, ALL)
    scene.publish(b"a", b"b")
    scene.reject(b"a")
    assert scene.peer.call(QueueDelete("q"), QueueDeleteOk).message_count == 1  # that is ready
    assert held_bytes(scene.broker) == 0
    assert scene.timers() == 0
    scene.pass_ms(1000)


def test_a_queue_in_which_something_waits_is_not_empty() -> None:
    scene = Scene("classic", ALL)
    scene.publish(b"a")
    scene.reject(b"a")
    assert scene.peer.call(QueueDelete("q", if_empty=True), ChannelClose).reply_code == 406


@TYPES
@pytest.mark.parametrize("limit", ["x-max-length", "x-max-length-bytes"])
def test_what_waits_counts_for_the_length(kind: str, limit: str) -> None:
    scene = Scene(kind, {**ALL, limit: signedint(2), "x-overflow": longstr("reject-publish")})
    scene.peer.call(ConfirmSelect(), ConfirmSelectOk)
    scene.publish(b"a")
    scene.peer.got()
    scene.reject(b"a")
    scene.publish(b"b", b"c")
    heard: list[tuple[bool, int]] = []
    for got in scene.peer.got():
        assert isinstance(got.method, BasicAck | BasicNack)
        heard.append((isinstance(got.method, BasicAck), got.method.delivery_tag))
    assert heard[-1] == (False, 3)
    assert scene.waits() == (1, 1, 0)


@TYPES
def test_only_what_is_ready_is_dropped_from_the_head(kind: str) -> None:
    scene = Scene(kind, {**ALL, "x-max-length": signedint(1)})
    scene.publish(b"a")
    scene.reject(b"a")
    scene.publish(b"b")
    assert scene.waits() == (0, 1, 0)
    scene.pass_ms(100)
    scene.take(b"a")


@TYPES
def test_what_waits_needs_memory_and_is_told(kind: str) -> None:
    scene = Scene(kind, ALL)
    scene.publish(b"a" * 1000, b"b" * 1000)
    used = held_bytes(scene.broker)
    assert 2 * (1000 + COST) < used < 2 * (1100 + COST)
    scene.reject(b"a" * 1000)
    headers = held_bytes(scene.broker) - used  # that say how often it was delivered, in quorum queues
    assert (headers > 0) == (kind == "quorum")
    assert headers < 100
    status = show_status(scene.broker)
    assert (status["waiting_bytes"], status["retries"]) == (scene.broker.budget.used, 1)
    page = kept(export_messages(scene.broker, "q"))
    assert (page["ready"], page["unacked"], page["waiting"]) == (1, 0, 1)
    scene.pass_ms(100)
    assert held_bytes(scene.broker) == used + headers
    assert show_status(scene.broker)["retries"] == 0


@TYPES
def test_a_policy_changes_what_comes_back_from_now_on(kind: str) -> None:
    scene = Scene(kind, {})
    vhost = scene.broker.vhosts["/"]
    scene.publish(b"a", b"b")
    vhost.set_policy(Policy("p", "", {"delayed-retry-type": "all", "delayed-retry-min": 100}, 0, "all"))
    scene.broker.finish()
    scene.reject(b"a")
    assert scene.waits() == (1, 1, 0)
    vhost.delete_policy("p")
    scene.broker.finish()
    scene.reject(b"b")
    assert scene.waits() == (1, 1, 0)
    scene.pass_ms(99)
    assert scene.waits() == (1, 1, 0)
    scene.pass_ms(1)
    assert scene.waits() == (2, 0, 0)


@TYPES
def test_a_queue_that_fails_goes_on_when_it_is_repaired(kind: str) -> None:
    scene = Scene(kind, ALL)
    scene.publish(b"a", b"b")
    scene.reject(b"a")
    scene.reject(b"b")
    scene.queue.retries.fail("do what is due", RuntimeError("a fault"))
    assert "a fault" in scene.queue.fault
    scene.pass_ms(99)
    scene.queue.repair()
    assert scene.waits() == (0, 2, 0)
    scene.pass_ms(1)
    assert scene.queue.fault == ""
    assert [scene.take(body) for body in (b"a", b"b")]


@pytest.mark.parametrize(
    ("arguments", "is_told"),
    [
        (ALL, False),
        ({"x-delayed-retry-type": longstr("disabled")}, False),
        ({"x-delayed-retry-type": longstr("all")}, True),
        ({"x-delayed-retry-type": longstr("sometimes"), "x-delayed-retry-min": signedint(100)}, True),
    ],
)
def test_the_operator_hears_of_a_queue_that_delays_nothing(
    arguments: Table, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    Scene("quorum", arguments)
    assert ("queue 'q' in vhost '/' delays nothing: x-delayed-retry-type takes 'all'" in caplog.text) == is_told
