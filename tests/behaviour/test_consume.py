"""basic.consume, basic.deliver, basic.cancel and basic.get."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.methods import AccessRequest, AccessRequestOk, QueueDeclare, QueueDelete, QueueDeleteOk
from tests.clients.methods_basic import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
)
from tests.clients.peer import CAPABILITIES, LOCKED, Channel, Peer, start_ok
from tests.marks import differs_from_rabbitmq

from .conftest import Names


def test_tags(channel: Channel, queue: str) -> None:
    assert channel.call(BasicConsume(queue=queue, consumer_tag="tag ☃")) == BasicConsumeOk(consumer_tag="tag ☃")
    given = [channel.consume(queue) for _ in range(3)]
    assert len(set(given)) == 3
    assert all(re.fullmatch(r"amq\.ctag-[A-Za-z0-9_-]{22}", tag) for tag in given)


def test_tag_cannot_be_used_twice(peer: Peer, channel: Channel, queue: str) -> None:
    channel.consume(queue, "tag")
    channel.send(BasicConsume(queue=queue, consumer_tag="tag"))
    peer.expect_closed(530, "attempt to reuse consumer tag 'tag'", by=BasicConsume)


def test_tag_can_be_used_on_another_channel_or_again(peer: Peer, channel: Channel, queue: str) -> None:
    channel.consume(queue, "tag")
    peer.channel(2).consume(queue, "tag")
    channel.call(BasicCancel(consumer_tag="tag"))
    channel.consume(queue, "tag")


def test_delivery(channel: Channel, queue: str) -> None:
    channel.consume(queue, "tag")
    channel.publish(queue, b"one", b"two")
    for number, body in enumerate([b"one", b"two"], 1):
        assert channel.expect(BasicDeliver) == BasicDeliver(
            consumer_tag="tag", delivery_tag=number, redelivered=False, routing_key=queue, body=body
        )


def test_consume_ok_comes_before_the_backlog(channel: Channel, queue: str) -> None:
    channel.publish(queue, *[b"%d" % i for i in range(50)])
    channel.consume(queue, no_ack=True)
    assert [found.body for found in channel.deliveries(50)] == [b"%d" % i for i in range(50)]


def test_nowait(channel: Channel, queue: str) -> None:
    channel.send(BasicConsume(queue=queue, consumer_tag="tag", nowait=True))
    channel.publish(queue, b"x")
    assert channel.expect(BasicDeliver).consumer_tag == "tag"


def test_no_local_is_ignored(channel: Channel, queue: str) -> None:
    channel.call(BasicConsume(queue=queue, no_local=True))
    channel.publish(queue, b"x")
    channel.expect(BasicDeliver)


def test_unknown_arguments_are_ignored(channel: Channel, queue: str) -> None:
    channel.consume(queue, x_behaviour=1, x_cancel_on_ha_failover=True)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
@pytest.mark.parametrize("argument", ["x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"])
def test_arguments_for_other_queue_types(channel: Channel, names: Names, kind: str, argument: str) -> None:
    queue = channel.queue(names.queue(), exclusive=False, durable=True, x_queue_type=kind)
    consume = BasicConsume(queue=queue, arguments={argument: 5})
    text = f"invalid arg '{argument}' for queue '{queue}' in vhost '/' of queue type rabbit_{kind}_queue"
    channel.expect_refused(consume, 406, text)


def test_a_timeout_for_a_consumer_of_a_quorum_queue(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.queue(), exclusive=False, durable=True, x_queue_type="quorum")
    channel.call(BasicConsume(queue=queue, arguments={"x-consumer-timeout": 60_000}))


@differs_from_rabbitmq("RabbitMQ has timeouts for consumers of quorum queues only")
def test_a_timeout_for_a_consumer_of_a_classic_queue(channel: Channel, queue: str) -> None:
    channel.call(BasicConsume(queue=queue, arguments={"x-consumer-timeout": 60_000}))


@pytest.mark.parametrize(("value", "reason"), [("5", '"expected integer, got longstr"'), (-1, "{value_negative,-1}")])
def test_timeout_must_be_a_number(channel: Channel, names: Names, value: Any, reason: str) -> None:
    queue = channel.queue(names.queue(), exclusive=False, durable=True, x_queue_type="quorum")
    consume = BasicConsume(queue=queue, arguments={"x-consumer-timeout": value})
    text = f"invalid arg 'x-consumer-timeout' for queue '{queue}' in vhost '/': {reason}"
    channel.expect_refused(consume, 406, text)


def test_order_of_checks(connect: Callable[..., Peer], channel: Channel, names: Names, queue: str) -> None:
    wrong: dict[str, Any] = {"x-stream-offset": "first", "x-priority": "high"}
    missing = names.plain()
    consume = BasicConsume(queue=missing, arguments=wrong)
    channel.expect_refused(consume, 404, f"no queue '{missing}' in vhost '/'")
    consume = BasicConsume(queue=queue, arguments=wrong)
    stranger = connect()
    stranger.channel().expect_refused(consume, 405, LOCKED.format(queue))
    streams = {"x-stream-offset": "first", "x-stream-filter": "x"}
    for arguments in (streams, dict(reversed(streams.items()))):
        consume = BasicConsume(queue=queue, arguments=arguments)
        text = f"invalid arg '{next(iter(arguments))}' for queue '{queue}' in vhost '/' of queue type"
        channel.expect_refused(consume, 406, f"{text} rabbit_classic_queue")
    consume = BasicConsume(queue=queue, arguments=wrong)
    channel.call(BasicConsume(queue=queue, exclusive=True))
    text = f"invalid arg 'x-priority' for queue '{queue}' in vhost '/': \"expected integer, got longstr\""
    channel.expect_refused(consume, 406, text)


def test_used_tag_is_told_before_a_missing_queue(peer: Peer, channel: Channel, names: Names, queue: str) -> None:
    channel.consume(queue, "tag")
    channel.send(BasicConsume(queue=names.plain(), consumer_tag="tag"))
    peer.expect_closed(530, "attempt to reuse consumer tag 'tag'", by=BasicConsume)


def test_no_queue_at_all_is_told_before_a_used_tag(channel: Channel, queue: str, peer: Peer) -> None:
    other = peer.channel(2)
    other.consume(queue, "tag")
    other.expect_refused(BasicConsume(consumer_tag="tag"), 404, "no previously declared queue")


def test_many_consumers_on_one_channel(peer: Peer, channel: Channel, queue: str) -> None:
    channel.send(*[BasicConsume(queue=queue, consumer_tag=f"{i}", nowait=True) for i in range(3000)])
    channel.call(AccessRequest())
    assert peer.channel(2).consumers(queue) == 3000


@pytest.mark.parametrize("first_exclusive", [False, True])
def test_exclusive_consumers_stay_alone(peer: Peer, channel: Channel, queue: str, first_exclusive: bool) -> None:
    channel.call(BasicConsume(queue=queue, consumer_tag="tag", exclusive=first_exclusive))
    second = BasicConsume(queue=queue, exclusive=not first_exclusive)
    other = peer.channel(2)
    other.expect_refused(second, 403, f"queue '{queue}' in vhost '/' in exclusive use")
    channel.call(BasicCancel(consumer_tag="tag"))
    other.call(second)


def test_cancel(channel: Channel, queue: str) -> None:
    channel.consume(queue, "tag")
    assert channel.call(BasicCancel(consumer_tag="tag")) == BasicCancelOk(consumer_tag="tag")
    channel.publish(queue, b"x")
    channel.expect_silence()
    assert channel.bodies(queue) == [b"x"]


def test_cancel_of_unknown_tags(channel: Channel) -> None:
    for tag in ("behaviour", ""):
        assert channel.call(BasicCancel(consumer_tag=tag)) == BasicCancelOk(consumer_tag=tag)


def test_cancel_nowait(channel: Channel, queue: str) -> None:
    channel.consume(queue, "tag")
    channel.send(BasicCancel(consumer_tag="tag", nowait=True), AccessRequest())
    channel.expect(AccessRequestOk)
    assert channel.consumers(queue) == 0


def test_cancel_leaves_deliveries_unacknowledged(channel: Channel, queue: str) -> None:
    channel.consume(queue, "tag")
    channel.publish(queue, b"one", b"two")
    channel.deliveries(2)
    channel.call(BasicCancel(consumer_tag="tag"))
    assert channel.bodies(queue) == []
    channel.send(BasicAck(delivery_tag=1))
    channel.close()
    channel.open()
    assert channel.bodies(queue) == [b"two"]


@pytest.mark.parametrize(
    "cancel_ok",
    [False, pytest.param(True, marks=differs_from_rabbitmq("RabbitMQ up to 4.3.6 ends the connection with 541"))],
)
def test_consumers_are_told_when_their_queue_is_deleted(
    peer: Peer, channel: Channel, queue: str, cancel_ok: bool
) -> None:
    channel.consume(queue, "tag")
    peer.channel(2).call(QueueDelete(queue=queue))
    assert channel.expect(BasicCancel) == BasicCancel(consumer_tag="tag", nowait=True)
    if cancel_ok:
        channel.send(BasicCancelOk(consumer_tag="tag"))
    channel.consume(channel.queue(queue), "tag")


def test_cancels_may_cross(peer: Peer, channel: Channel, queue: str) -> None:
    channel.consume(queue, "tag")
    peer.channel(2).call(QueueDelete(queue=queue))
    channel.send(BasicCancel(consumer_tag="tag"))
    channel.expect(BasicCancel)
    assert channel.expect(BasicCancelOk) == BasicCancelOk(consumer_tag="tag")


@differs_from_rabbitmq("RabbitMQ up to 4.3.6 ends the connection with 541")
def test_a_cancel_ok_that_answers_nothing_ends_no_consumer(channel: Channel, queue: str) -> None:
    channel.consume(queue, "tag")
    channel.send(BasicCancelOk(consumer_tag="tag"), BasicCancelOk(consumer_tag="none"))
    channel.publish(queue, b"comes")
    assert channel.expect(BasicDeliver).consumer_tag == "tag"


@pytest.mark.parametrize("exclusive", [False, True])
def test_consumer_may_delete_its_own_queue(channel: Channel, names: Names, exclusive: bool) -> None:
    queue = names.queue()
    channel.call(QueueDeclare(queue=queue, exclusive=exclusive))
    for tag in ("one", "two"):
        channel.consume(queue, tag)
    channel.send(QueueDelete(queue=queue), AccessRequest())
    channel.expect(QueueDeleteOk)
    rest = [channel.next() for _ in range(3)]
    assert sum(isinstance(method, AccessRequestOk) for method in rest) == 1
    assert {method.consumer_tag for method in rest if isinstance(method, BasicCancel)} == {"one", "two"}


def test_consumers_of_both_channels_are_told(peer: Peer, channel: Channel, queue: str) -> None:
    other = peer.channel(2)
    channel.consume(queue, "here")
    other.consume(queue, "there")
    channel.call(QueueDelete(queue=queue))
    assert channel.expect(BasicCancel) == BasicCancel(consumer_tag="here", nowait=True)
    assert other.expect(BasicCancel) == BasicCancel(consumer_tag="there", nowait=True)


@pytest.mark.parametrize("claimed", [{}, {"consumer_cancel_notify": False}], ids=str)
def test_consumers_that_do_not_understand_are_not_told(connect: Callable[..., Peer], claimed: dict[str, bool]) -> None:
    rest = {key: value for key, value in CAPABILITIES.items() if key != "consumer_cancel_notify"}
    channel = connect(start_ok(capabilities={**rest, **claimed})).channel()
    queue = channel.queue()
    channel.consume(queue)
    channel.call(QueueDelete(queue=queue))
    channel.expect_silence()


def test_messages_go_round(peer: Peer, channel: Channel, queue: str) -> None:
    consumers = [peer.channel(number) for number in (2, 3, 4)]
    for consumer in consumers:
        consumer.consume(queue, no_ack=True)
    channel.publish(queue, *[b"%d" % i for i in range(9)])
    found = [[delivery.body for delivery in consumer.deliveries(3)] for consumer in consumers]
    assert sorted(found) == [[b"0", b"3", b"6"], [b"1", b"4", b"7"], [b"2", b"5", b"8"]]


def test_messages_go_round_on_one_channel(channel: Channel, queue: str) -> None:
    for tag in ("a", "b"):
        channel.consume(queue, tag)
    channel.publish(queue, *[b"x"] * 6)
    deliveries = channel.deliveries(6)
    assert [found.delivery_tag for found in deliveries] == [1, 2, 3, 4, 5, 6]
    assert sorted("".join(found.consumer_tag for found in deliveries)) == list("aaabbb")


def test_get(channel: Channel, queue: str) -> None:
    channel.publish(queue, b"one", b"two", b"three")
    for number, body in enumerate([b"one", b"two", b"three"], 1):
        assert channel.get(queue) == BasicGetOk(
            delivery_tag=number, routing_key=queue, message_count=3 - number, body=body
        )
    channel.send(BasicGet(queue=queue))
    assert channel.expect(BasicGetEmpty) == BasicGetEmpty(cluster_id="")


def test_delivery_tags_count_everything_on_the_channel(peer: Peer, channel: Channel, queue: str) -> None:
    other = channel.queue()
    channel.publish(queue, b"1", b"2")
    assert channel.get(queue).delivery_tag == 1
    assert channel.get(queue, no_ack=True).delivery_tag == 2
    channel.consume(queue, no_ack=True)
    channel.publish(queue, b"3")
    assert channel.expect(BasicDeliver).delivery_tag == 3
    channel.consume(other)
    channel.publish(other, b"4")
    assert channel.expect(BasicDeliver).delivery_tag == 4
    second = peer.channel(2)
    second.publish(queue, b"x")
    assert channel.expect(BasicDeliver).delivery_tag == 5
    channel.publish(other, b"y")
    assert channel.expect(BasicDeliver).delivery_tag == 6


def test_get_leaves_consumers_their_messages(peer: Peer, channel: Channel, queue: str) -> None:
    channel.prefetch(1)
    channel.consume(queue)
    channel.publish(queue, b"one", b"two")
    assert channel.deliveries(1)[0].body == b"one"
    channel.expect_ready(queue, 1)
    assert peer.channel(2).bodies(queue) == [b"two"]


def test_prefetched_messages_are_requeued_by_the_death_of_a_consumer(
    connect: Callable[..., Peer], channel: Channel, names: Names
) -> None:
    queue = channel.queue(names.queue(), exclusive=False)
    first, second = connect(), connect()
    holder = first.channel()
    holder.consume(queue)
    channel.publish(queue, b"x")
    assert not holder.expect(BasicDeliver).redelivered
    waiting = second.channel()
    waiting.consume(queue)
    first.link.close()
    assert waiting.expect(BasicDeliver).redelivered
