"""Queues of type quorum: what they cannot be, which arguments they know, and which methods they refuse or ignore."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.methods import QueueDeclare, QueueDelete
from tests.clients.methods_basic import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicReject,
)
from tests.clients.peer import LOCKED, Channel, Peer
from tests.marks import differs_from_rabbitmq

from .conftest import Names

QUORUM = {"x-queue-type": "quorum"}


def declare(name: str, durable: bool = True, **properties: Any) -> QueueDeclare:
    """Return the declaration of a quorum queue; more arguments come as `arguments`."""
    arguments = {**QUORUM, **properties.pop("arguments", {})}
    return QueueDeclare(queue=name, durable=durable, arguments=arguments, **properties)


@pytest.mark.parametrize(
    ("properties", "word"),
    [
        ({"durable": False}, "non-durable"),
        ({"exclusive": True}, "exclusive-owner"),
        ({"auto_delete": True}, "auto-delete"),
        ({"durable": False, "exclusive": True}, "exclusive-owner"),
        ({"durable": False, "exclusive": True, "auto_delete": True}, "auto-delete"),
    ],
    ids=str,
)
def test_properties(channel: Channel, names: Names, properties: dict[str, Any], word: str) -> None:
    name = names.plain()
    text = f"invalid property '{word}' for queue '{name}' in vhost '/'"
    channel.expect_refused(declare(name, **properties), 406, text)


def test_arguments_are_looked_at_before_properties(channel: Channel, names: Names) -> None:
    name = names.plain()
    text = f"invalid arg 'x-message-ttl' for queue '{name}' in vhost '/': {{value_negative,-1}}"
    channel.expect_refused(declare(name, durable=False, arguments={"x-message-ttl": -1}), 406, text)


@pytest.mark.parametrize("kind", ["quorum", "stream"])
@pytest.mark.parametrize("arguments", [{}, {"x-message-ttl": -1}], ids=str)
def test_needs_a_name(channel: Channel, kind: str, arguments: dict[str, Any]) -> None:
    method = QueueDeclare(queue="", durable=True, arguments={"x-queue-type": kind, **arguments})
    text = f"Cannot declare a server-named queue for type rabbit_{kind}_queue"
    channel.expect_refused(method, 406, text)


@pytest.mark.parametrize(("kind", "shown"), [(b"quorum", ""), ("behaviour", "behaviour"), (b"x", "x")])
def test_type_is_looked_at_before_a_name_is_given(channel: Channel, kind: Any, shown: str) -> None:
    nameless = "Cannot declare a server-named queue for type rabbit_quorum_queue"
    text = f"unknown queue type '{shown}'" if shown else nameless
    channel.expect_refused(QueueDeclare(queue="", durable=True, arguments={"x-queue-type": kind}), 406, text)


@pytest.mark.parametrize(
    "arguments",
    [
        {"x-delivery-limit": 5},
        {"x-delivery-limit": -1},
        {"x-delivery-limit": "5"},
        {"x-consumer-timeout": 0},
        {"x-consumer-timeout": 2**60},
        {"x-consumer-disconnected-timeout": 5},
        {"x-dead-letter-exchange": "", "x-dead-letter-strategy": "at-least-once"},
        {"x-max-in-memory-length": 5, "x-max-in-memory-bytes": 5},
        {"x-quorum-initial-group-size": 1},
        {"x-delayed-retry-type": "all", "x-delayed-retry-min": 5, "x-delayed-retry-max": 5},
        {"x-single-active-consumer": True},
        {"x-message-ttl": 5, "x-expires": 50000, "x-max-length": 5, "x-max-length-bytes": 5},
    ],
    ids=str,
)
def test_taken(channel: Channel, names: Names, arguments: dict[str, Any]) -> None:
    name = names.plain()
    try:
        for _ in range(2):
            channel.call(declare(name, arguments=arguments))
    finally:
        channel.call(QueueDelete(queue=name))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"x-consumer-timeout": "5"}, '"expected integer, got longstr"'),
        ({"x-consumer-timeout": -1}, "{value_negative,-1}"),
        ({"x-consumer-disconnected-timeout": -1}, "{value_negative,-1}"),
        ({"x-dead-letter-strategy": "behaviour"}, "invalid_dlx_strategy"),
        ({"x-dead-letter-strategy": 5}, "{unacceptable_type,signedint}"),
        ({"x-max-in-memory-length": "5"}, '"expected integer, got longstr"'),
        ({"x-max-in-memory-bytes": -1}, "{value_negative,-1}"),
        ({"x-quorum-initial-group-size": 0}, "{value_zero,0}"),
        ({"x-quorum-initial-group-size": "5"}, '"expected integer, got longstr"'),
    ],
    ids=str,
)
def test_refused(channel: Channel, names: Names, arguments: dict[str, Any], reason: str) -> None:
    name = names.plain()
    text = f"invalid arg '{next(iter(arguments))}' for queue '{name}' in vhost '/': {reason}"
    channel.expect_refused(declare(name, arguments=arguments), 406, text)


@pytest.mark.parametrize(
    "argument",
    [
        "x-max-priority",
        "x-queue-mode",
        "x-queue-version",
        "x-queue-master-locator",
        "x-max-age",
        "x-initial-cluster-size",
    ],
)
def test_arguments_of_other_queue_types(channel: Channel, names: Names, argument: str) -> None:
    name = names.plain()
    text = f"invalid arg '{argument}' for queue '{name}' in vhost '/' of queue type rabbit_quorum_queue"
    channel.expect_refused(declare(name, arguments={argument: 5}), 406, text)


@pytest.mark.parametrize(
    ("second", "code", "text"),
    [
        ({"exclusive": True}, 405, LOCKED),
        ({"durable": False}, 406, "inequivalent arg 'durable' for {}: received 'false' but current is 'true'"),
        (
            {"arguments": {"x-queue-type": "classic"}},
            406,
            "inequivalent arg 'x-queue-type' for {}: received 'classic' but current is 'quorum'",
        ),
        (
            {"arguments": {"x-delivery-limit": 5}},
            406,
            "inequivalent arg 'x-delivery-limit' for {}: "
            "received the value '5' of type 'signedint' but current is none",
        ),
        ({"arguments": {"x-max-priority": 5}}, 0, ""),
        ({"arguments": {"x-queue-mode": "lazy"}}, 0, ""),
    ],
    ids=str,
)
def test_declare_again(channel: Channel, names: Names, second: dict[str, Any], code: int, text: str) -> None:
    name = names.queue()
    channel.call(declare(name))
    method = declare(name, **second)
    if code == 0:
        channel.call(method)
    else:
        channel.expect_refused(method, code, text.format(name if code == 405 else f"queue '{name}' in vhost '/'"))


@pytest.mark.parametrize("flag", ["if_unused", "if_empty"])
def test_is_not_deleted_on_a_condition(connect: Callable[..., Peer], channel: Channel, names: Names, flag: str) -> None:
    name = names.queue()
    channel.call(declare(name))
    peer = connect()
    peer.channel().send(QueueDelete(queue=name, **{flag: True}))
    text = (
        f"cannot delete queue '{name}' in vhost '/'. queue.delete operations with {flag.replace('_', '-')} flag set "
        "are not supported by quorum queues"
    )
    peer.expect_closed(540, text, QueueDelete)


@pytest.mark.parametrize("arguments", [{}, {"x-single-active-consumer": True}], ids=str)
def test_exclusive_consumers_are_ordinary_ones(channel: Channel, names: Names, arguments: dict[str, Any]) -> None:
    name = names.queue()
    channel.call(declare(name, arguments=arguments))
    for tag, exclusive in (("a", True), ("b", False), ("c", True)):
        channel.call(BasicConsume(queue=name, consumer_tag=tag, exclusive=exclusive))


@differs_from_rabbitmq("quorum queues of RabbitMQ give what came back before all others, in the order it came back")
def test_requeued_messages_go_back_to_their_place(channel: Channel, names: Names) -> None:
    name = names.queue()
    channel.call(declare(name))
    channel.publish(name, b"1", b"2", b"3", b"4")
    channel.expect_ready(name, 4)
    for _ in range(3):
        channel.get(name)
    channel.send(*[BasicReject(delivery_tag=tag, requeue=True) for tag in (3, 1)])
    channel.expect_ready(name, 3)
    assert channel.bodies(name) == [b"1", b"3", b"4"]


@differs_from_rabbitmq("quorum queues of RabbitMQ 4.3 have the priorities 0 to 31")
def test_no_priorities(channel: Channel, names: Names) -> None:
    name = names.queue()
    channel.call(declare(name))
    for priority in (0, 9, None, 31):
        channel.publish(name, str(priority).encode(), priority=priority)
    channel.expect_ready(name, 4)
    assert channel.bodies(name) == [b"0", b"9", b"None", b"31"]


@differs_from_rabbitmq("quorum queues of RabbitMQ 4.3 look at the first message of each priority")
def test_one_head_expires_whatever_the_priority(channel: Channel, names: Names) -> None:
    name = names.queue()
    channel.call(declare(name))
    channel.confirm()
    channel.confirmed(name, b"lives", priority=9)
    channel.confirmed(name, b"expires", priority=1, expiration="20")
    time.sleep(1.5)  # in which RabbitMQ looks
    assert channel.ready(name) == 2
    assert channel.bodies(name) == [b"lives"]


def test_get(channel: Channel, names: Names) -> None:
    name = names.queue()
    channel.call(declare(name))
    channel.send(BasicGet(queue=name))
    channel.expect(BasicGetEmpty)


def test_get_beside_a_single_active_consumer(channel: Channel, names: Names) -> None:
    name = names.queue()
    channel.call(declare(name, arguments={"x-single-active-consumer": True}))
    text = (
        f"cannot obtain access to locked queue '{name}' in vhost '/'. basic.get operations are not supported by "
        '<<"quorum">> queues with single active consumer'
    )
    channel.expect_refused(BasicGet(queue=name), 405, text)


def test_the_single_active_consumer_gives_way_to_higher_priorities(channel: Channel, names: Names) -> None:
    name = names.queue()
    channel.call(declare(name, arguments={"x-single-active-consumer": True}))
    channel.consume(name, "low")
    channel.publish(name, b"1", b"2")
    assert [delivery.consumer_tag for delivery in channel.deliveries(2)] == ["low", "low"]
    for tag, priority in (("high", 5), ("same", 5), ("lower", -1)):
        channel.consume(name, tag, no_ack=True, x_priority=priority)
    channel.publish(name, b"3")
    channel.send(BasicAck(delivery_tag=1))
    channel.expect_silence()
    channel.send(BasicAck(delivery_tag=2))
    assert channel.expect(BasicDeliver).consumer_tag == "high"
    for gone, next_ in (("high", "same"), ("same", "low"), ("low", "lower")):
        channel.call(BasicCancel(consumer_tag=gone))
        channel.publish(name, b"x")
        assert channel.expect(BasicDeliver).consumer_tag == next_


def test_giving_way_cannot_be_taken_back(channel: Channel, names: Names) -> None:
    name = names.queue()
    channel.call(declare(name, arguments={"x-single-active-consumer": True}))
    channel.consume(name, "low")
    channel.publish(name, b"1")
    channel.deliveries(1)
    for tag, priority in (("same", 0), ("high", 2)):
        channel.consume(name, tag, x_priority=priority)
    channel.call(BasicCancel(consumer_tag="high"))
    channel.publish(name, b"2")
    channel.expect_silence()
    channel.send(BasicAck(delivery_tag=1))
    assert channel.expect(BasicDeliver).consumer_tag == "low"


def test_an_idle_single_active_consumer_gives_way_at_once(channel: Channel, names: Names) -> None:
    name = names.queue()
    channel.call(declare(name, arguments={"x-single-active-consumer": True}))
    for tag, priority in (("low", 0), ("high", 1), ("higher", 2)):
        channel.consume(name, tag, no_ack=True, x_priority=priority)
    channel.publish(name, b"x")
    assert channel.expect(BasicDeliver).consumer_tag == "higher"


@differs_from_rabbitmq("RabbitMQ has streams")
def test_no_streams(peer: Peer, names: Names) -> None:
    name = names.queue()
    peer.channel().send(QueueDeclare(queue=name, durable=True, arguments={"x-queue-type": "stream"}))
    text = f"cannot declare queue '{name}' in vhost '/': stream queues are not supported"
    peer.expect_closed(540, text, QueueDeclare)
