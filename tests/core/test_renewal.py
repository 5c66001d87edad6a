"""Queues that leave a node and come back to it."""

from __future__ import annotations

import pytest

from leveret.core.exchange_types.delayed import Delay, DelayedMessages
from leveret.core.message.log import Recovered, Resting, Unreadable
from leveret.core.policy.policy import Policy
from leveret.core.queue.life import FAULTY, LOST, RUNNING
from leveret.core.queue.queue import Queue
from leveret.core.shared.renewal import Renewals
from leveret.wire.constants import NOT_FOUND
from leveret.wire.fields import Field, long, longstr
from leveret.wire.fields import Table as Fields
from leveret.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicReject,
    ChannelClose,
    ChannelCloseOk,
    ConfirmSelect,
    ConfirmSelectOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
)
from leveret.wire.properties import BasicProperties
from tests.brokers.cluster import ClusterNode, Table, settle
from tests.brokers.remote import RemoteLog
from tests.clients.socketless import Peer, held_bytes
from tests.marks import interpreted_only

pytestmark = interpreted_only

REASON = "node b has it"


class Scene:
    """A node with a client and a queue, and a log that has what it confirms. The other node only holds the queue."""

    def __init__(self, **arguments: Field) -> None:
        self.log = RemoteLog()
        self.node = ClusterNode(Table(), messages=self.log)
        self.broker = self.node.broker
        self.log.listener = self.broker.news
        self.renewals = Renewals(self.broker)
        self.peer = Peer(self.broker)
        self.declare("q", arguments)

    def declare(self, name: str, arguments: Fields) -> None:
        """A durable queue."""
        self.peer.send(QueueDeclare(name, durable=True, arguments=arguments))
        settle(self.node)
        self.peer.expect(QueueDeclareOk)

    @property
    def queue(self) -> Queue:
        """The queue that has its name now."""
        return self.broker.vhosts["/"].queues["q"]

    def publish(self, *which: int, key: str = "q", exchange: str = "", headers: Fields | None = None) -> None:
        """Publish persistent messages."""
        properties = BasicProperties()
        properties.delivery_mode = 2
        properties.headers = headers
        for number in which:
            self.peer.send(BasicPublish(exchange, key), b"%d" % number, properties)

    def lose(self) -> None:
        """Another node has all queues now."""
        self.renewals.lose(list(self.broker.logged), REASON)
        self.log.on_its_way.clear()

    def stored(self, queue_id: int) -> list[Recovered | Resting]:
        """The messages of a queue that are in the log."""
        return [found for found in self.log.recover() if found.queue_id == queue_id]

    def renew(self) -> list[int]:
        """The queue comes back, with all messages. Returns: what take() returns."""
        queue_ids = list(self.broker.logged)
        self.renewals.renew(queue_ids)
        strangers: list[int] = []
        for queue_id in queue_ids:
            strangers += self.renewals.take(self.stored(queue_id))
        self.renewals.serve(queue_ids)
        self.broker.settle()
        return strangers

    def bodies(self, queue: str = "q") -> list[tuple[int, bool]]:
        """The messages of the queue, and whether they come again."""
        found: list[tuple[int, bool]] = []
        while True:
            self.peer.send(BasicGet(queue, True))
            got = self.peer.got()
            if not got and self.log.bring():
                got = self.peer.got()
            if isinstance(got[-1].method, BasicGetEmpty):
                return found
            assert isinstance(got[-1].method, BasicGetOk)
            found.append((int(got[-1].body or b""), got[-1].method.redelivered))

    def closed(self) -> str:
        """Why the channel is closed."""
        close = self.peer.expect(ChannelClose)
        self.peer.send(ChannelCloseOk())
        self.peer.open(1)
        assert close.reply_code == NOT_FOUND
        return close.reply_text


@pytest.fixture
def scene() -> Scene:
    """A queue without arguments."""
    return Scene()


def resting(queue_id: int, *positions: int) -> Resting:
    """Messages that stay in the log."""
    found = Resting(queue_id, 0, 0)
    for position in positions:
        found.add(position, 1)
    return found


def test_messages_come_back_in_order(scene: Scene) -> None:
    scene.peer.send(QueueBind("q", "amq.fanout"))
    settle(scene.node)
    scene.peer.expect(QueueBindOk)
    scene.publish(1, 2, 3)
    scene.publish(4, exchange="amq.fanout")
    scene.log.commit()
    scene.peer.call(BasicGet("q"), BasicGetOk)
    before, written = scene.queue, scene.node.log.written
    scene.broker.vhosts["/"].override(before, {"max-length": 9})
    scene.broker.vhosts["/"].set_policy(Policy("p", "q", {"message-ttl": 99_999}, 0, "queues"))
    scene.lose()
    scene.peer.send(BasicAck(1))  # nobody hears it
    scene.broker.finish()
    assert held_bytes(scene.broker) == 0
    assert scene.renew() == []
    after = scene.queue
    assert after is not before
    assert (after.queue_id, after.state, before.state) == (before.queue_id, RUNNING, LOST)
    assert (after.settings.max_length, after.settings.message_ttl_ms) == (9, 99_999)
    assert scene.bodies() == [(1, True), (2, False), (3, False), (4, False)]
    scene.publish(5)  # over a cached route
    scene.publish(6, exchange="amq.fanout")
    assert scene.bodies() == [(5, False), (6, False)]
    settle(scene.node)
    assert scene.node.log.written == written + 2  # overrides and policy


def test_it_is_lost_until_all_messages_are_here(scene: Scene) -> None:
    scene.publish(1)
    scene.log.commit()
    scene.lose()
    queue_id = scene.queue.queue_id
    scene.renewals.renew([queue_id])
    scene.renewals.take(scene.stored(queue_id))
    scene.peer.send(BasicGet("q"))
    assert "home node" in scene.closed()
    scene.peer.call(ConfirmSelect(), ConfirmSelectOk)
    scene.publish(2)
    scene.peer.expect(BasicNack)
    scene.renewals.renew([queue_id])  # that changes nothing
    scene.renewals.serve([queue_id])
    scene.renewals.serve([queue_id])
    scene.renewals.renew([queue_id])
    assert scene.bodies() == [(1, False)]


def test_consumers_and_unsafe_publishes(scene: Scene) -> None:
    scene.peer.call(ConfirmSelect(), ConfirmSelectOk)
    scene.peer.call(BasicConsume("q", "tag"), BasicConsumeOk)
    scene.peer.broker.vhosts["/"].queues["q"].pause()
    scene.publish(1)
    scene.lose()
    assert {type(got.method) for got in scene.peer.got()} == {BasicCancel, BasicNack}
    scene.renew()
    assert len(scene.queue.consumers) == 0


def test_resting_messages_are_fetched_when_they_are_wanted(scene: Scene) -> None:
    scene.publish(*range(1, 5))
    scene.log.commit()
    scene.lose()
    queue_id = scene.queue.queue_id
    scene.renewals.renew([queue_id])
    scene.renewals.take([resting(queue_id, 1, 2), resting(queue_id, 3, 4)])
    scene.renewals.serve([queue_id])
    assert not scene.log.asked
    assert scene.bodies() == [(number, False) for number in range(1, 5)]


def test_a_queue_that_has_to_look_at_all_messages_waits_for_them() -> None:
    scene = Scene(**{"x-hold-until-header": longstr("x-due")})
    assert scene.queue.detours.looks_at_all()
    scene.publish(*range(1, 5))
    scene.log.commit()
    scene.lose()
    queue_id = scene.queue.queue_id
    scene.renewals.renew([queue_id])
    scene.renewals.take([resting(queue_id, 1, 2), resting(queue_id, 3, 4)])
    scene.renewals.serve([queue_id])
    assert scene.queue.state == LOST
    while scene.log.bring():
        scene.broker.finish()
    assert scene.bodies() == [(number, False) for number in range(1, 5)]


def test_a_queue_that_leaves_again_before_it_has_come(scene: Scene) -> None:
    scene.publish(1)
    scene.log.commit()
    scene.lose()
    queue_id = scene.queue.queue_id
    scene.renewals.renew([queue_id])
    found = scene.stored(queue_id)
    scene.renewals.take(found)
    scene.renewals.lose([queue_id], "node c has it")
    assert scene.renewals.take(found) == [queue_id]
    scene.renewals.serve([queue_id])
    scene.broker.finish()
    assert scene.queue.state == LOST
    assert held_bytes(scene.broker) == 0
    scene.renew()
    assert scene.bodies() == [(1, False)]


def test_a_queue_that_is_deleted_before_it_has_come(scene: Scene) -> None:
    scene.publish(1)
    scene.log.commit()
    scene.lose()
    queue_id = scene.queue.queue_id
    scene.renewals.renew([queue_id])
    scene.renewals.take(scene.stored(queue_id))
    scene.peer.send(QueueDelete("q"))
    settle(scene.node)
    scene.peer.expect(QueueDeleteOk)
    assert scene.log.dropped == {-queue_id}
    scene.renewals.serve([queue_id])
    scene.broker.finish()
    assert scene.log.dropped == {-queue_id, queue_id}
    assert held_bytes(scene.broker) == 0


@pytest.mark.parametrize(
    ("error", "state"), [(ValueError("no"), FAULTY), (Unreadable("not now"), LOST)], ids=["faulty", "unreadable"]
)
def test_the_failure_of_one_queue_is_not_that_of_another(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, error: Exception, state: int
) -> None:
    scene.declare("r", {})
    scene.publish(1)
    scene.publish(2, key="r")
    scene.log.commit()
    scene.lose()
    restore = Queue.restore

    def fails_for_q(self: Queue, found: Recovered) -> None:
        if self.name == "q":
            raise error
        restore(self, found)

    monkeypatch.setattr(Queue, "restore", fails_for_q)
    scene.renew()
    scene.broker.finish()
    assert scene.queue.state == state
    assert scene.bodies("r") == [(2, False)]
    assert scene.stored(scene.queue.queue_id) != []
    monkeypatch.undo()
    if state == LOST:
        assert any("stays unavailable" in text for text in scene.broker.explanations)
        scene.renew()
        assert scene.bodies() == [(1, False)]


def test_messages_of_strangers(scene: Scene) -> None:
    assert scene.renewals.take([resting(77, 1), resting(scene.queue.queue_id, 1)]) == [77, scene.queue.queue_id]
    scene.renewals.renew([77])
    scene.renewals.serve([77])
    scene.renewals.lose([77], REASON)
    assert scene.queue.state == RUNNING


def test_transient_queues_stay(scene: Scene) -> None:
    scene.peer.call(QueueDeclare("t"), QueueDeclareOk)
    scene.lose()
    assert scene.broker.vhosts["/"].queues["t"].state == RUNNING


def test_a_queue_that_comes_while_nothing_may_be_delivered(scene: Scene) -> None:
    scene.publish(1)
    scene.log.commit()
    scene.lose()
    scene.broker.suspend()
    scene.renew()
    scene.peer.call(BasicConsume("q", "tag", no_ack=True), BasicConsumeOk)
    assert scene.peer.got() == []
    scene.broker.unsuspend()
    scene.broker.settle()
    assert [got.body for got in scene.peer.got()] == [b"1"]


def test_an_idle_queue_does_not_expire_while_it_comes() -> None:
    scene = Scene(**{"x-expires": long(1000)})
    scene.lose()
    queue_id = scene.queue.queue_id
    scene.renewals.renew([queue_id])
    scene.broker.tick(5000)
    assert scene.queue.state == LOST
    scene.renewals.serve([queue_id])
    scene.broker.tick(5500)
    assert scene.queue.state == RUNNING
    scene.broker.tick(6500)
    assert "q" not in scene.broker.vhosts["/"].queues


# -- dead letters


@pytest.mark.parametrize("mode", [1, 2], ids=["transient", "persistent"])
def test_a_dead_letter_waits_for_a_queue_that_is_elsewhere(scene: Scene, mode: int) -> None:
    scene.declare("source", {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("q")})
    properties = BasicProperties()
    properties.delivery_mode = mode
    scene.renewals.lose([scene.queue.queue_id], REASON)
    scene.peer.send(BasicPublish("", "source"), b"7", properties)
    scene.log.commit()
    scene.peer.call(BasicGet("source"), BasicGetOk)
    scene.peer.send(BasicReject(1, False))
    scene.peer.got()
    scene.broker.tick(2000)
    scene.broker.tick(4000)
    scene.renewals.renew([scene.queue.queue_id])
    scene.renewals.serve([scene.queue.queue_id])
    scene.broker.tick(6000)
    assert scene.bodies() == [(7, False)]


# -- delayed messages


def delayed(scene: Scene) -> DelayedMessages:
    """Those of the exchange x."""
    interceptor = scene.broker.vhosts["/"].exchanges["x"].interceptors[-1]
    assert isinstance(interceptor, Delay)
    return interceptor.delayed


def later(scene: Scene, *which: int) -> None:
    """Publish messages that are due in a second."""
    scene.publish(*which, key="q", exchange="x", headers={"x-delay": long(1000)})


@pytest.fixture
def late(scene: Scene) -> Scene:
    """With an exchange x that delays messages for the queue."""
    vhost = scene.broker.vhosts["/"]
    vhost.declare_exchange("x", "x-delayed-message", True, False, False, {"x-delayed-type": longstr("direct")})
    scene.peer.send(QueueBind("q", "x", "q"))
    settle(scene.node)
    scene.peer.expect(QueueBindOk)
    scene.peer.call(ConfirmSelect(), ConfirmSelectOk)
    return scene


def test_delayed_messages_that_leave_and_come_back(late: Scene) -> None:
    later(late, 1)
    late.log.commit()
    later(late, 2)
    log_id = delayed(late).log_id
    late.peer.got()
    late.renewals.lose([log_id], REASON)
    late.log.on_its_way.clear()
    late.peer.expect(BasicNack)
    assert held_bytes(late.broker) == 0
    later(late, 3)
    late.peer.expect(BasicNack)
    assert any("are on another node" in refused.reason for refused in late.broker.refused.all())
    late.broker.tick(1500)
    assert len(late.queue.ready) == 0
    before = delayed(late)
    late.renewals.renew([log_id])
    late.renewals.take(late.stored(log_id))
    late.broker.tick(1600)
    assert len(late.queue.ready) == 0
    late.renewals.serve([log_id])
    assert delayed(late) is not before
    late.broker.tick(1700)
    late.broker.finish()
    late.log.commit()
    late.peer.got()
    assert late.bodies() == [(1, False)]
    later(late, 4)
    late.log.commit()
    late.peer.expect(BasicAck)
    late.broker.tick(3000)
    late.broker.finish()
    assert [got for got, _ in late.bodies()] == [4]


def test_delayed_messages_that_rest_are_fetched_first(late: Scene) -> None:
    later(late, 1, 2)
    late.log.commit()
    log_id = delayed(late).log_id
    late.lose()
    late.renewals.renew(list(late.broker.logged))
    late.renewals.take([resting(log_id, 1, 2)])
    late.renewals.serve(list(late.broker.logged))
    assert delayed(late).fault == REASON
    assert late.log.bring()
    late.broker.finish()
    assert (delayed(late).fault, delayed(late).waiting()) == ("", 2)


def test_the_exchange_is_deleted_while_they_are_elsewhere(late: Scene) -> None:
    later(late, 1)
    late.log.commit()
    log_id = delayed(late).log_id
    late.renewals.lose([log_id], REASON)
    late.renewals.renew([log_id])
    late.renewals.take(late.stored(log_id))
    late.broker.vhosts["/"].delete_exchange("x", False)
    assert late.log.dropped == {-log_id}
    late.renewals.serve([log_id])
    late.broker.finish()
    assert late.log.dropped == {-log_id, log_id}


def test_a_start_where_another_node_has_them(late: Scene) -> None:
    started = ClusterNode(late.node.table, 1, 1 << 62)
    (interceptor,) = started.broker.vhosts["/"].exchanges["x"].interceptors
    assert isinstance(interceptor, Delay)
    assert interceptor.delayed.fault.endswith("has it")
