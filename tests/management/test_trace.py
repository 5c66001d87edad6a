"""A trace sees what happens to the messages that are meant, and to no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leveret.core.access.user import Credential, Permission, User
from leveret.core.policy.matching import Matcher
from leveret.management import trace as tracing
from leveret.management.trace import Filter, Trace, TraceEvent, pattern_error
from leveret.wire.fields import array, long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicPublish,
    BasicReject,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
)
from leveret.wire.properties import BasicProperties
from tests.brokers.run import START_MS, Run
from tests.clients.socketless import Peer, make_broker


def user(name: str) -> User:
    """Somebody who may do everything in /."""
    found = User(name, Credential("", ""), ())
    found.permissions["/"] = Permission(".*", ".*", ".*", Matcher(print))
    return found


class Scene:
    """Two clients of a broker: a shop and a worker. Queue q gets order.* of amq.topic, and its dead go to dead."""

    def __init__(self) -> None:
        self.broker = make_broker()
        self.vhost = self.broker.vhosts["/"]
        self.shop = Peer(self.broker, user=user("shop"))
        self.worker = Peer(self.broker, user=user("worker"))
        letters = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")}
        self.shop.call(QueueDeclare("q", arguments=letters), QueueDeclareOk)
        self.shop.call(QueueDeclare("dead"), QueueDeclareOk)
        self.shop.call(QueueBind("q", "amq.topic", "order.*"), QueueBindOk)
        self.wakes = 0

    def wake(self) -> None:
        """There is something to be told."""
        self.wakes += 1

    def trace(self, most: int = 1_000, **wanted: Any) -> Trace:
        """Follow messages."""
        found = Trace(Filter(**wanted), self.broker.clock, most, self.wake)
        self.vhost.join(found)
        return found

    def publish(self, key: str = "order.new", exchange: str = "amq.topic", body: bytes = b"m", **more: Any) -> None:
        """The shop publishes."""
        properties = BasicProperties()
        for name, value in more.items():
            setattr(properties, name, value)
        self.shop.send(BasicPublish(exchange, key), body, properties)

    def everything(self) -> None:
        """A message is published, comes back, is delivered again and rejected, and another one is acknowledged."""
        self.publish(message_id="m1")
        self.worker.send(BasicConsume("q", "tag"))
        self.worker.send(BasicNack(1, False, True))
        self.worker.send(BasicReject(2, False))
        self.publish("order.old", message_id="m2")
        self.worker.send(BasicAck(3))
        self.worker.got()
        self.publish("other", message_id="m3")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def told(trace: Trace) -> list[TraceEvent]:
    """All events."""
    found = []
    while (event := trace.take()) is not None:
        found.append(event)
    return found


def brief(trace: Trace) -> list[tuple[str, int, str]]:
    """What happened, to which message, and who did it."""
    return [(event.event, event.message, event.user) for event in told(trace)]


def test_all_that_happens(scene: Scene) -> None:
    trace = scene.trace()
    scene.everything()
    events = told(trace)
    assert [(each.event, each.message, each.message_id, each.user, each.queue) for each in events] == [
        ("publish", 1, "m1", "shop", ""),
        ("deliver", 1, "m1", "worker", "q"),
        ("requeue", 1, "m1", "worker", "q"),
        ("deliver", 1, "m1", "worker", "q"),
        ("reject", 1, "m1", "worker", "q"),
        ("dead_letter", 1, "m1", "", "q"),
        ("publish", 2, "m2", "shop", ""),
        ("deliver", 2, "m2", "worker", "q"),
        ("ack", 2, "m2", "worker", "q"),
        ("publish", 3, "m3", "shop", ""),
    ]
    first, delivered, _, again, _, letter = events[:6]
    assert (first.outcome, first.queues, first.queue_count, first.size) == ("routed", ["q"], 1, 1)
    assert (delivered.redelivered, again.redelivered) == (False, True)
    assert (delivered.consumer_tag, delivered.published_by) == ("tag", "shop")
    assert (letter.reason, letter.dead_letter_exchange, letter.dead_letter_routing_key) == ("rejected", "", "dead")
    assert events[-1].outcome == "unroutable"
    assert {event.connection for event in events if event.event != "dead_letter"} == {"test"}


def test_one_queue(scene: Scene) -> None:
    trace = scene.trace(queue="dead")
    scene.everything()
    scene.publish("dead", "")
    scene.worker.send(BasicGet("dead", True))
    assert [(event.event, event.queue, event.queues, event.no_ack) for event in told(trace)] == [
        ("publish", "", ["dead"], False),
        ("deliver", "dead", [], True),
    ]


def test_one_exchange(scene: Scene) -> None:
    trace = scene.trace(exchange="")
    scene.everything()
    assert brief(trace) == []
    scene.publish("q", "")
    assert brief(trace) == [("publish", 1, "shop"), ("deliver", 1, "worker")]


def test_a_pattern_of_routing_keys(scene: Scene) -> None:
    trace = scene.trace(routing_key="*.old")
    scene.everything()
    assert brief(trace) == [("publish", 1, "shop"), ("deliver", 1, "worker"), ("ack", 1, "worker")]
    scene.publish("other", headers={"CC": array([longstr("very.old")])})
    (event,) = told(trace)
    assert (event.routing_key, event.more_keys) == ("other", ["very.old"])


def test_one_message(scene: Scene) -> None:
    trace = scene.trace(message_id="m1")
    scene.everything()
    assert [each[0] for each in brief(trace)] == ["publish", "deliver", "requeue", "deliver", "reject", "dead_letter"]


def test_one_user(scene: Scene) -> None:
    publisher, getter, nobody = scene.trace(user="shop"), scene.trace(user="worker"), scene.trace(user="other")
    scene.everything()
    assert len(brief(publisher)) == 10
    assert [each[0] for each in brief(getter)] == ["deliver", "requeue", "deliver", "reject", "deliver", "ack"]
    assert brief(nobody) == []


def test_all_of_it_has_to_be_so(scene: Scene) -> None:
    trace = scene.trace(queue="q", routing_key="order.new", user="shop", message_id="m1", exchange="amq.topic")
    other = scene.trace(queue="q", routing_key="order.new", user="shop", message_id="m2", exchange="amq.topic")
    scene.everything()
    assert (len(told(trace)), told(other)) == (6, [])


def test_what_expires_or_is_too_much(scene: Scene) -> None:
    scene.shop.call(
        QueueDeclare("short", arguments={"x-max-length": long(1), "x-message-ttl": long(1_000)}), QueueDeclareOk
    )
    trace = scene.trace(queue="short")
    for number in range(2):
        scene.publish("short", "", message_id=f"m{number}")
    scene.broker.tick(1_001)
    assert [(event.event, event.message, event.reason) for event in told(trace)] == [
        ("publish", 1, ""),
        ("publish", 2, ""),
        ("drop", 1, "maxlen"),
        ("drop", 2, "expired"),
    ]


def test_what_was_delivered_before_is_settled(scene: Scene) -> None:
    scene.publish(message_id="m1")
    scene.worker.send(BasicConsume("q", "tag"))
    scene.worker.got()
    trace = scene.trace(message_id="m1")
    scene.worker.send(BasicAck(1))
    (event,) = told(trace)
    assert (event.event, event.user, event.published_by) == ("ack", "worker", "shop")


def test_what_a_client_leaves_behind(scene: Scene) -> None:
    trace = scene.trace()
    scene.publish()
    scene.worker.send(BasicConsume("q", "tag"))
    scene.worker.send(BasicCancel("tag"))
    scene.worker.connection.lost()
    assert brief(trace) == [("publish", 1, "shop"), ("deliver", 1, "worker"), ("requeue", 1, "worker")]


@pytest.mark.parametrize("is_followed", [True, False])
def test_contents_may_rest_while_it_looks(tmp_path: Path, is_followed: bool) -> None:
    run = Run(tmp_path, 5_000, START_MS)
    run.queue("q")
    vhost = run.broker.vhosts["/"]
    trace = Trace(Filter(queue="q", message_id="m1" if is_followed else None), run.broker.clock, 10, lambda: None)
    vhost.join(trace)
    properties = BasicProperties()
    properties.delivery_mode, properties.message_id = 2, "m1"
    run.peer.send(BasicPublish("", "q"), b"x" * 1_000, properties)
    run.commit()
    run.get("q", no_ack=False)
    (held,) = vhost.queues["q"].unacknowledged()
    assert vhost.queues["q"].leave_content(held.entry)
    assert held.entry.message.is_at_rest
    run.peer.send(BasicReject(1, False))
    assert [(event.event, event.message_id, event.message, event.reason) for event in told(trace)] == [
        ("publish", "m1", 1, ""),
        ("deliver", "m1", 1, ""),
        ("reject", "m1", 1, ""),
    ]
    run.end()


def test_it_ends_when_there_were_enough(scene: Scene) -> None:
    trace = scene.trace(most=2)
    scene.everything()
    assert trace.is_over
    assert brief(trace) == [("publish", 1, "shop"), ("deliver", 1, "worker")]
    assert (trace.told, trace.dropped) == (2, 0)


def test_what_comes_faster_than_it_is_read_is_counted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "BUFFER", 3)
    trace = scene.trace()
    for _ in range(5):
        scene.publish()
    assert (trace.told, trace.dropped, scene.wakes) == (3, 2, 1)
    assert len(told(trace)) == 3
    scene.publish()
    assert (trace.told, trace.dropped, scene.wakes) == (4, 2, 2)


def test_what_is_known_of_messages_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "KNOWN", 2)
    monkeypatch.setattr(tracing, "KNOWN_SIZE", 250_000)
    trace = scene.trace()
    for _ in range(5):
        scene.publish(body=b"x" * 100_000)
    assert (len(trace._numbers._known), trace._numbers._size) == (2, sum(len(c) for _, c in known(trace)))
    scene.worker.send(BasicConsume("q", "tag"))
    assert len(trace._held) == 2


def known(trace: Trace) -> list[tuple[int, bytes]]:
    """Messages whose numbers are known."""
    return list(trace._numbers._known.values())


def test_many_queues_of_one_publish_are_counted(scene: Scene) -> None:
    trace = scene.trace(exchange="amq.fanout")
    for number in range(30):
        scene.shop.call(QueueDeclare(f"many{number}"), QueueDeclareOk)
        scene.shop.call(QueueBind(f"many{number}", "amq.fanout"), QueueBindOk)
    scene.publish("k", "amq.fanout")
    (event,) = told(trace)
    assert (len(event.queues), event.queue_count) == (20, 30)


def test_filters_in_words() -> None:
    assert str(Filter()) == "everything"
    assert str(Filter(queue="q", message_id="m")) == "queue 'q' and message id 'm'"


def test_patterns_that_are_none() -> None:
    assert [pattern_error(pattern) for pattern in ("#.a.#", "*.*.*.*", "")] == ["", "", ""]
    assert "at most 2" in pattern_error("#.#.#")
