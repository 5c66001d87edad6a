"""What fails stays where it is: a queue whose own work fails is faulty until it is repaired, and others go on."""

from __future__ import annotations

import pytest

from leveret.core.errors.administration import AdministrationError
from leveret.core.message.confirm import Confirm
from leveret.core.message.message import Message
from leveret.core.queue.client import FOLLOW, Client, Follower, Observer
from leveret.core.turn.background import BackgroundJob
from leveret.core.turn.clock import Timed
from leveret.management.administration import Administration
from leveret.wire.constants import INTERNAL_ERROR
from leveret.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    ChannelClose,
    ChannelCloseOk,
    ConfirmSelect,
    ConfirmSelectOk,
    Method,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
)
from leveret.wire.properties import BasicProperties
from tests.brokers.keeping import KeepingLog
from tests.clients.socketless import Peer

PERSISTENT = BasicProperties()
PERSISTENT.delivery_mode = 2
FAULT = "queue 'q' in vhost '/' is faulty: cannot {}: OSError: the log is ill"


class IllLog(KeepingLog):
    """A log that fails in what it is told to, for the queue that was declared first."""

    def __init__(self) -> None:
        super().__init__()
        self.fails: set[str] = set()
        self.first = 0

    def _maybe(self, what: str, queue_id: int) -> None:
        self.first = self.first or queue_id
        if what in self.fails and queue_id == self.first:
            raise OSError("the log is ill")

    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int, level: int = 0) -> None:
        """Keep it, or fail."""
        self._maybe("append", queue_id)
        super().append(queue_id, position, message, deadline_ms, level)

    def remove(self, queue_id: int, position: int) -> None:
        """Forget it, or fail."""
        self._maybe("remove", queue_id)
        super().remove(queue_id, position)

    def delivered(self, queue_id: int, position: int) -> None:
        """Note it, or fail."""
        self._maybe("delivered", queue_id)

    def drop(self, queue_id: int) -> None:
        """Forget the queue, or fail."""
        self._maybe("drop", queue_id)
        super().drop(queue_id)


class World:
    """Two queues, q and other, each with a message in it; a log that can fail for q; a client and a bystander."""

    def __init__(self) -> None:
        self.log = IllLog()
        self.broker = self.log.broker()
        self.peer = Peer(self.broker)
        self.bystander = Peer(self.broker)
        for name in ("q", "other"):
            self.peer.call(QueueDeclare(name, durable=True), QueueDeclareOk)
            self.peer.send(BasicPublish("", name), b"first", PERSISTENT)
        self.peer.call(ConfirmSelect(), ConfirmSelectOk)

    def publish(self, queue: str, body: bytes = b"x") -> type[Method]:
        """Publish, and see what becomes of it."""
        self.peer.send(BasicPublish("", queue), body, PERSISTENT)
        (got,) = self.peer.got()
        assert got.method is not None
        return type(got.method)

    def make_faulty(self) -> None:
        """Let a publish fail."""
        self.log.fails = {"append"}
        assert self.publish("q", b"refused") is BasicNack
        self.log.fails = set()

    def expect_refused(self, method: Method, fault: str) -> None:
        """Send a method that closes its channel for the fault, and open the channel again."""
        self.peer.send(method)
        close = self.peer.expect(ChannelClose)
        assert close.reply_code == INTERNAL_ERROR
        assert FAULT.format(fault) in close.reply_text
        self.peer.send(ChannelCloseOk())
        self.peer.open(1)

    def expect_others_go_on(self) -> None:
        """The other queue takes and gives messages, and nobody was disconnected."""
        self.bystander.send(BasicPublish("", "other"), b"more", PERSISTENT)
        self.bystander.call(BasicGet("other", True), BasicGetOk)
        assert not self.peer.connection.finished


def faulty(administration: Administration) -> object:
    """What leveret status says of faulty queues."""
    status = administration.perform("show_status", {})
    assert isinstance(status, dict)
    return status["faulty_queues"]


@pytest.fixture
def world() -> World:
    return World()


def test_a_queue_that_cannot_take_a_message_is_faulty(world: World) -> None:
    world.make_faulty()
    world.expect_others_go_on()
    assert world.publish("q") is BasicNack
    assert world.publish("other") is BasicAck
    (fault,) = world.broker.faults.told
    assert str(fault) == "queue 'q' in vhost '/': cannot take a message: OSError: the log is ill"


@pytest.mark.parametrize(
    "method",
    [
        BasicGet("q"),
        BasicConsume("q", "tag"),
        QueuePurge("q"),
        QueueDeclare("q", passive=True),
        QueueDeclare("q", durable=True),
        QueueDelete("q", if_empty=True),
        QueueDelete("q", if_unused=True),
    ],
    ids=lambda method: type(method).__name__,
)
def test_other_methods_on_a_faulty_queue_close_their_channel(world: World, method: Method) -> None:
    world.make_faulty()
    world.expect_refused(method, "take a message")
    world.expect_others_go_on()


def test_a_publish_that_reaches_other_queues_too_is_nacked_and_they_have_it(world: World) -> None:
    for name in ("q", "other"):
        world.peer.call(QueueBind(name, "amq.fanout", ""), QueueBindOk)
    world.make_faulty()
    world.peer.send(BasicPublish("amq.fanout", ""), b"both", PERSISTENT)
    assert world.peer.expect(BasicNack).delivery_tag == 2
    world.peer.call(BasicGet("other", True), BasicGetOk)
    assert world.peer.got() == []
    world.peer.send(BasicGet("other", True))
    assert world.peer.got()[0].body == b"both"


def test_a_faulty_queue_delivers_nothing_until_it_is_repaired(world: World) -> None:
    world.make_faulty()
    world.bystander.send(BasicPublish("", "q"), b"lost", PERSISTENT)
    administration = Administration(world.broker)
    assert faulty(administration) == ["queue 'q' in vhost '/': cannot take a message: OSError: the log is ill"]
    assert administration.perform("repair_queue", {"name": "q"}) is None
    assert faulty(administration) == []
    assert world.publish("q", b"second") is BasicAck
    world.peer.send(BasicConsume("q", "tag"))
    assert [got.body for got in world.peer.got() if isinstance(got.method, BasicDeliver)] == [b"first", b"second"]


def test_what_cannot_be_repaired_stays_faulty(world: World) -> None:
    world.peer.call(BasicGet("q"), BasicGetOk)
    world.log.fails = {"remove"}
    world.peer.send(BasicAck(1))
    world.expect_refused(BasicGet("q"), "remove a message")
    administration = Administration(world.broker)
    with pytest.raises(AdministrationError, match="is still faulty: cannot remove a message"):
        administration.perform("repair_queue", {"name": "q"})
    world.log.fails = set()
    administration.perform("repair_queue", {"name": "q"})
    world.peer.call(BasicGet("q"), BasicGetEmpty)
    assert world.log.of(world.log.first) == []


def test_a_queue_that_is_not_faulty_may_be_repaired(world: World) -> None:
    administration = Administration(world.broker)
    administration.perform("repair_queue", {"name": "q"})
    with pytest.raises(AdministrationError, match="queue 'nope'"):
        administration.perform("repair_queue", {"name": "nope"})


def test_a_message_that_was_fetched_while_the_log_failed_is_not_lost(world: World) -> None:
    world.log.fails = {"delivered"}
    world.expect_refused(BasicGet("q"), "fetch a message")
    world.log.fails = set()
    Administration(world.broker).perform("repair_queue", {"name": "q"})
    world.peer.send(BasicGet("q"))
    assert [got.body for got in world.peer.got()] == [b"first"]


def test_a_faulty_queue_can_be_deleted_and_made_anew(world: World) -> None:
    world.make_faulty()
    world.log.fails = {"drop"}
    world.peer.call(QueueDelete("q"), QueueDeleteOk)
    world.log.fails = set()
    world.peer.call(QueueDeclare("q", durable=True), QueueDeclareOk)
    assert world.publish("q") is BasicAck


# -- timers, jobs, observers


class Late(Timed):
    """A timer that fails."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_timer(self, token: int) -> None:
        """Fail."""
        raise ValueError(f"token {token}")

    def fail(self, doing: str, error: Exception) -> None:
        """Remember."""
        self.heard.append(f"{doing}: {error}")


def test_a_timer_that_fails_leaves_the_others_alone(world: World) -> None:
    late = Late()
    for token in (1, 2):
        world.broker.timers.call_at(10, late, token)
    assert world.broker.tick(10) is None
    assert late.heard == ["run a timer: token 1", "run a timer: token 2"]


class Lazy(BackgroundJob):
    """A job that fails so many times."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.heard = 0
        self.has_given_up = False

    def work(self) -> bool:
        """Fail, or be done."""
        self.left -= 1
        if self.left >= 0:
            raise ValueError("not today")
        return True

    def fail(self, doing: str, error: Exception) -> None:
        """Count."""
        self.heard += 1

    def give_up(self) -> None:
        """Remember."""
        self.has_given_up = True


@pytest.mark.parametrize(("failures", "heard", "gives_up"), [(0, 0, False), (2, 2, False), (3, 3, True), (9, 3, True)])
def test_a_job_that_fails_is_tried_again_for_a_while(failures: int, heard: int, gives_up: bool, world: World) -> None:
    lazy, next_one = Lazy(failures), Lazy(0)
    world.broker.background.begin(lazy)
    world.broker.background.add(next_one)
    world.broker.finish()
    assert (lazy.heard, lazy.has_given_up) == (heard, gives_up)
    assert next_one.left == -1


class Blind(Observer):
    """An observer that fails in everything."""

    def on_publish(self, client: Client, message: Message, queues: list, mandatory: bool) -> int:  # type: ignore[type-arg]
        """Fail."""
        raise ValueError("blind")

    def on_held(self, confirm: Confirm) -> None:
        """Fail."""
        raise ValueError("blind")

    def on_delivery(self, client: Client, stored: object, tag: int, no_ack: bool, is_get: bool) -> None:
        """Fail."""
        raise ValueError("blind")

    def on_settle(self, stored: object, how: int) -> None:
        """Fail."""
        raise ValueError("blind")


class Lame(Observer):
    """An observer that follows every message, or says so, and fails to hear of it."""

    def __init__(self) -> None:
        self.has_follower = False

    def on_publish(self, client: Client, message: Message, queues: list, mandatory: bool) -> int:  # type: ignore[type-arg]
        """Follow it."""
        return FOLLOW

    def follower(self) -> Follower:
        """One that fails, or none."""
        if self.has_follower:
            return Losing()
        raise ValueError("lame")

    def on_held(self, confirm: Confirm) -> None:
        """Nothing."""

    def on_delivery(self, client: Client, stored: object, tag: int, no_ack: bool, is_get: bool) -> None:
        """Nothing."""

    def on_settle(self, stored: object, how: int) -> None:
        """Nothing."""


class Losing(Follower):
    """Fails to hear of its message."""

    def on_published(self, is_confirmed: bool, how: int) -> None:
        """Fail."""
        raise ValueError("lost")


def test_a_follower_that_fails_is_not_felt(world: World) -> None:
    observer = Lame()
    world.broker.let_watch(observer)
    for has_follower in (False, True):
        observer.has_follower = has_follower
        assert world.publish("q", b"second") is BasicAck
    world.expect_others_go_on()


def test_an_observer_that_fails_is_not_felt(world: World) -> None:
    world.broker.let_watch(Blind())
    assert world.publish("q", b"second") is BasicAck
    world.peer.send(BasicGet("q"))
    assert [got.body for got in world.peer.got()] == [b"first"]
    world.peer.send(BasicAck(1))
    world.expect_others_go_on()
    assert {fault.doing.split(" (")[0] for fault in world.broker.faults.told} == {"show an observer what passes"}
