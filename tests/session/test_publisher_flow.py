"""Publishers wait for the consumers of their queue, a little."""

from __future__ import annotations

from leveret.core.turn.flow_control import CREDIT, LAG, LEAST_CREDIT, PATIENCE_MS
from leveret.wire.methods import (
    BasicConsume,
    BasicConsumeOk,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    QueueDeclare,
    QueueDeclareOk,
)
from tests.clients.socketless import Peer, encode


def test_a_publisher_waits_for_the_consumers_of_its_queue() -> None:
    publisher = Peer()
    consumer = Peer(publisher.broker)
    consumer.call(QueueDeclare("q"), QueueDeclareOk)
    flood = encode(1, BasicPublish("", "q"), b"x") * CREDIT
    publisher.connection.receive(flood)
    publisher.raw()
    assert not publisher.connection.is_paused  # nobody is at work
    consumer.call(BasicQos(prefetch_count=1), BasicQosOk)
    consumer.send(BasicConsume("q"))
    assert isinstance(consumer.got()[0].method, BasicConsumeOk)
    assert CREDIT > LAG
    publisher.connection.receive(flood)
    assert publisher.connection.is_paused
    assert publisher.raw() == b""
    publisher.broker.tick(PATIENCE_MS)
    assert not publisher.connection.is_paused  # a slow consumer holds up nobody


def test_nobody_waits_for_a_queue_that_has_delivered_all() -> None:
    publisher = Peer()
    consumer = Peer(publisher.broker)
    consumer.call(QueueDeclare("q"), QueueDeclareOk)
    consumer.send(BasicConsume("q", no_ack=True))
    consumer.got()
    consumer.connection.pause_writing()
    publisher.connection.receive(encode(1, BasicPublish("", "q"), b"x") * CREDIT)
    assert publisher.connection.is_paused
    consumer.connection.resume_writing()
    assert len(consumer.got()) == CREDIT
    assert not publisher.connection.is_paused


def test_many_publishers_share_the_credit() -> None:
    consumer = Peer()
    consumer.call(QueueDeclare("q"), QueueDeclareOk)
    consumer.call(BasicQos(prefetch_count=1), BasicQosOk)
    consumer.send(BasicConsume("q"))
    publishers = [Peer(consumer.broker) for _ in range(20)]
    for publisher in publishers:
        publisher.connection.receive(encode(1, BasicPublish("", "q"), b"x") * CREDIT)
        assert publisher.connection.is_paused
    consumer.broker.tick(PATIENCE_MS)
    count = 0
    for publisher in publishers:
        while not publisher.connection.is_paused:
            publisher.connection.receive(encode(1, BasicPublish("", "q"), b"x") * 50)
            count += 50
    assert count <= sum(max(CREDIT // each, LEAST_CREDIT) + 50 for each in range(1, 21)) < 5 * CREDIT
