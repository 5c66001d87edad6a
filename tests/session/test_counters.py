"""What the model of counters leaves out: replies, restarts, routes that are forgotten, and who holds a message."""

from __future__ import annotations

from pathlib import Path

from leveret.core import sums
from leveret.core.broker import Broker
from leveret.core.counting.counters import VirtualHostCounters
from leveret.core.vhost import VirtualHost
from leveret.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicDeliver,
    BasicGet,
    BasicPublish,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)
from leveret.wire.properties import BasicProperties
from tests.brokers.run import START_MS, Run
from tests.clients.socketless import Peer

REPLY_TO = "amq.rabbitmq.reply-to"


def vhost_of(broker: Broker) -> VirtualHost:
    """The virtual host of all tests here."""
    return broker.vhosts["/"]


def counted(broker: Broker) -> VirtualHostCounters:
    """All that it has done."""
    return sums.of_vhost(vhost_of(broker))


def test_replies_count_with_the_virtual_host() -> None:
    peer = Peer()
    peer.send(BasicConsume(REPLY_TO, "replies", no_ack=True, nowait=True))
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    request = BasicProperties()
    request.reply_to = REPLY_TO
    peer.send(BasicPublish("", "q"), b"ask", request)
    peer.send(BasicGet("q", True))
    (got,) = peer.got()
    assert got.properties is not None
    assert got.properties.reply_to is not None
    peer.send(BasicPublish("", got.properties.reply_to), b"answer")
    assert isinstance(peer.got()[0].method, BasicDeliver)
    channel = peer.connection.channels[1].counters
    assert (channel.total().published, channel.total().delivered_no_ack, channel.total().got_no_ack) == (2, 1, 1)
    found = counted(peer.broker)
    assert (found.exchanges.published, found.exchanges.routed, found.exchanges.unroutable) == (2, 2, 0)
    assert (found.queues.published, found.queues.delivered_no_ack, found.queues.got_no_ack) == (2, 1, 1)
    assert (found.queues.bytes_in, found.queues.bytes_out) == (9, 9)


def test_what_a_start_finds_is_recovered_and_not_published(tmp_path: Path) -> None:
    run = Run(tmp_path, 0, START_MS)
    run.queue("q")
    for body in (b"1", b"2", b"3"):
        run.publish("q", body)
    run.commit()
    assert vhost_of(run.broker).queues["q"].total().published == 3
    run.end()
    run = Run(tmp_path, 0, START_MS)
    assert run.get("q").body == b"1"
    total = vhost_of(run.broker).queues["q"].total()
    assert (total.published, total.recovered, total.got_no_ack, total.bytes_out) == (0, 3, 1, 1)
    run.end()


def test_routes_that_are_forgotten_have_been_counted() -> None:
    peer = Peer()
    peer.call(ExchangeDeclare("x", "fanout"), ExchangeDeclareOk)
    for name in ("a", "b"):
        peer.call(QueueDeclare(name), QueueDeclareOk)
        peer.call(QueueBind(name, "x"), QueueBindOk)
    exchange = vhost_of(peer.broker).exchanges["x"]
    for _ in range(3):
        peer.send(BasicPublish("x", "same"), b"")
    assert exchange.counters.outflows == {}  # so far only the route knows
    peer.connection.forget_routes()
    flows = exchange.counters.outflows
    assert {queue.name: int(flow.routed) for queue, flow in flows.items()} == {"a": 3, "b": 3}
    peer.send(BasicPublish("x", "same"), b"")  # the channel still knows the route, its connection does not
    assert sums.of_exchange(exchange).routed == 8
    assert {int(flow.routed) for flow in flows.values()} == {4}
    peer.send(BasicPublish("x", "same"), b"")
    peer.call(ExchangeDelete("x"), ExchangeDeleteOk)
    assert counted(peer.broker).exchanges.routed == 10


def test_who_holds_a_message_and_since_when() -> None:
    broker = Peer().broker
    first, second = Peer(broker), Peer(broker)
    first.call(QueueDeclare("q"), QueueDeclareOk)
    queue = vhost_of(broker).queues["q"]
    for body in (b"1", b"2", b"3"):
        first.send(BasicPublish("", "q"), body)
    broker.tick(1000)
    first.send(BasicGet("q"))
    broker.tick(2000)
    second.open(7)
    second.send(BasicConsume("q", "c", nowait=True), channel=7)
    assert len(second.got()) == 2
    held = queue.unacknowledged()
    assert [(each.channel, each.consumer_tag, each.delivery_tag, int(each.since_ms)) for each in held] == [
        (1, "", 1, 1000),
        (7, "c", 1, 2000),
        (7, "c", 2, 2000),
    ]
    assert {each.connection for each in held} == {"test"}
    assert [each.entry.message.body() for each in held] == [b"1", b"2", b"3"]
    second.send(BasicAck(2, True), channel=7)
    assert [each.channel for each in queue.unacknowledged()] == [1]
    assert queue.total().acked == 2


def test_what_waits_for_a_commit_is_still_held() -> None:
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    queue = vhost_of(peer.broker).queues["q"]
    peer.send(BasicPublish("", "q"), b"1")
    peer.call(TxSelect(), TxSelectOk)
    peer.send(BasicGet("q"))
    assert len(peer.got()) == 1
    peer.send(BasicAck(1))
    assert [each.delivery_tag for each in queue.unacknowledged()] == [1]
    assert queue.total().acked == 0
    peer.call(TxRollback(), TxRollbackOk)
    peer.send(BasicAck(1))
    peer.call(TxCommit(), TxCommitOk)
    assert queue.unacknowledged() == []
    assert (queue.total().acked, peer.connection.total().acked) == (1, 1)


def test_what_is_taken_by_position_counts_as_got() -> None:
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    queue = vhost_of(peer.broker).queues["q"]
    brief = BasicProperties()
    brief.expiration = "5"
    for body, properties in ((b"1", None), (b"two", None), (b"3", brief)):
        peer.send(BasicPublish("", "q"), body, properties)
    peer.broker.tick(1000)
    taken = queue.take_at(2)
    assert taken is not None
    assert taken.message.body() == b"two"
    assert queue.take_at(2) is None
    assert queue.take_at(3) is None
    total = queue.total()
    assert (total.got, total.get_empty, total.expired, total.bytes_out, total.acked) == (1, 0, 1, 3, 0)
    queue.settle(taken)
    assert queue.total().acked == 1
