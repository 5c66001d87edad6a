"""Arguments of queue.declare: which values are taken, how others are refused, and when two are equal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.clients.codec import METHOD, Timestamp, Typed, frame, long_string
from tests.clients.methods import ChannelClose, ChannelCloseOk, QueueDeclare, QueueDeclareOk
from tests.clients.peer import Channel
from tests.marks import differs_from_rabbitmq

from .conftest import Names

TEN_YEARS_MS = 315_360_000_000

TAKEN: list[dict[str, Any]] = [
    {"x-message-ttl": 0},
    {"x-message-ttl": TEN_YEARS_MS},
    {"x-message-ttl": Typed("B", 255)},
    {"x-message-ttl": Typed("u", 60000)},
    {"x-expires": 1000},
    {"x-expires": TEN_YEARS_MS},
    {"x-max-length": 0},
    {"x-max-length": 2**63 - 1},
    {"x-max-length-bytes": 0},
    {"x-max-priority": 0},
    {"x-max-priority": 255},
    {"x-dead-letter-exchange": ""},
    {"x-dead-letter-exchange": "behaviour-missing"},
    {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "k"},
    {"x-overflow": "drop-head"},
    {"x-overflow": "reject-publish"},
    {"x-overflow": "reject-publish-dlx"},
    {"x-single-active-consumer": True},
    {"x-single-active-consumer": False},
    {"x-queue-type": "classic"},
    {"x-queue-type": ""},
    {"x-queue-version": 2},
    {"x-queue-mode": "lazy"},
    {"x-queue-mode": "behaviour"},
    {"x-queue-mode": 5},
    {"x-queue-leader-locator": "client-local"},
    {"x-queue-leader-locator": "balanced"},
    {"x-queue-leader-locator": "random"},
    {"x-queue-leader-locator": "least-leaders"},
    {"x-target-group-size": 3},
    {"x-ha-policy": "all"},
    {"x-behaviour": "anything", "behaviour": {"really": ["anything", None]}},
]

INTEGER = '"expected integer, got {}"'

REFUSED: list[tuple[dict[str, Any], str]] = [
    *[
        ({name: value}, reason)
        for name in ("x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-max-priority")
        for value, reason in [
            ("10", INTEGER.format("longstr")),
            (True, INTEGER.format("bool")),
            (1.5, INTEGER.format("double")),
            (None, INTEGER.format("void")),
            (Timestamp(5), INTEGER.format("timestamp")),
            (-1, "{value_negative,-1}"),
        ]
    ],
    ({"x-message-ttl": TEN_YEARS_MS + 1}, f"{{value_too_large,{TEN_YEARS_MS + 1}}}"),
    ({"x-expires": 0}, "{value_zero,0}"),
    ({"x-expires": TEN_YEARS_MS + 1}, f"{{value_too_large,{TEN_YEARS_MS + 1}}}"),
    ({"x-max-priority": 256}, "{max_value_exceeded,256}"),
    ({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": 5}, "{unacceptable_type,signedint}"),
    ({"x-dead-letter-routing-key": "k"}, "routing_key_but_no_dlx_defined"),
    ({"x-overflow": "behaviour"}, "invalid_overflow"),
    ({"x-overflow": 5}, "{unacceptable_type,signedint}"),
    ({"x-single-active-consumer": "true"}, "{unacceptable_type,longstr}"),
    ({"x-single-active-consumer": 1}, "{unacceptable_type,signedint}"),
    ({"x-queue-type": "behaviour"}, "\"unsupported queue type 'behaviour'\""),
    ({"x-queue-type": "Classic"}, "\"unsupported queue type 'Classic'\""),
    ({"x-queue-type": 5}, "{unacceptable_type,signedint}"),
    ({"x-queue-version": 3}, "\"unsupported queue version '3'\""),
    ({"x-queue-version": "2"}, INTEGER.format("longstr")),
    ({"x-queue-leader-locator": "behaviour"}, "invalid_queue_locator_arg"),
    ({"x-queue-leader-locator": 5}, "{unacceptable_type,signedint}"),
    ({"x-max-length": 5, "x-message-ttl": -1, "x-expires": 0}, "{value_zero,0}"),  # in RabbitMQ's order
    ({"x-dead-letter-routing-key": "k", "x-expires": 0}, "{value_zero,0}"),
    ({"x-max-age": "1D", "x-message-ttl": -1}, "{value_negative,-1}"),
]

OF_OTHER_QUEUE_TYPES = [
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
    "x-initial-cluster-size",
    "x-quorum-initial-group-size",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-consumer-disconnected-timeout",
]


def declare(name: str, arguments: dict[str, Any]) -> QueueDeclare:
    """Return the declaration of an exclusive queue with arguments."""
    return QueueDeclare(queue=name, exclusive=True, arguments=arguments)


@pytest.mark.parametrize("arguments", TAKEN, ids=str)
def test_taken(channel: Channel, names: Names, arguments: dict[str, Any]) -> None:
    name = names.plain()
    for _ in range(2):
        channel.call(declare(name, arguments))


@pytest.mark.parametrize(("arguments", "reason"), REFUSED, ids=str)
def test_refused(channel: Channel, names: Names, arguments: dict[str, Any], reason: str) -> None:
    name = names.plain()
    argument = list(arguments)[-1]
    text = f"invalid arg '{argument}' for queue '{name}' in vhost '/': {reason}"
    channel.expect_refused(declare(name, arguments), 406, text)


@pytest.mark.parametrize("argument", OF_OTHER_QUEUE_TYPES)
def test_arguments_of_other_queue_types(channel: Channel, names: Names, argument: str) -> None:
    name = names.plain()
    text = f"invalid arg '{argument}' for queue '{name}' in vhost '/' of queue type rabbit_classic_queue"
    channel.expect_refused(declare(name, {argument: 5}), 406, text)


@pytest.mark.parametrize(
    "arguments",
    [["x-quorum-initial-group-size", "x-max-age"], ["x-max-age", "x-initial-cluster-size"]],
    ids=str,
)
def test_of_two_of_other_queue_types_the_first_in_the_alphabet_is_told(
    channel: Channel, names: Names, arguments: list[str]
) -> None:
    name = names.plain()
    text = f"invalid arg '{min(arguments)}' for queue '{name}' in vhost '/' of queue type rabbit_classic_queue"
    channel.expect_refused(declare(name, dict.fromkeys(arguments, 5)), 406, text)


@pytest.mark.parametrize("first", ["x-max-age", "x-initial-cluster-size"])
def test_with_a_queue_type_the_first_of_the_client_is_told(channel: Channel, names: Names, first: str) -> None:
    name = names.plain()
    arguments = {first: 5, "x-queue-type": "classic", "x-max-age": 5, "x-initial-cluster-size": 5}
    text = f"invalid arg '{first}' for queue '{name}' in vhost '/' of queue type rabbit_classic_queue"
    channel.expect_refused(declare(name, arguments), 406, text)


@differs_from_rabbitmq("RabbitMQ 4.3 keeps them for quorum queues, or has given them up")
@pytest.mark.parametrize(
    "arguments",
    [
        {"x-delivery-limit": 5},
        {"x-delivery-limit": -1},
        {"x-consumer-timeout": 60000},
        {"x-delayed-retry-type": "all"},
        {"x-delayed-retry-min": 5},
        {"x-delayed-retry-max": 5},
        {"x-dead-letter-exchange": "", "x-dead-letter-strategy": "at-least-once"},
        {"x-queue-master-locator": "min-masters"},
        {"x-queue-version": 1},
    ],
    ids=str,
)
def test_taken_by_leveret(channel: Channel, names: Names, arguments: dict[str, Any]) -> None:
    name = names.plain()
    for _ in range(2):
        channel.call(declare(name, arguments))


TYPES: list[tuple[Any, str]] = [
    (True, "bool"),
    (Typed("b", 5), "byte"),
    (Typed("B", 5), "unsignedbyte"),
    (Typed("s", 5), "short"),
    (Typed("u", 5), "unsignedshort"),
    (5, "signedint"),
    (Typed("i", 5), "unsignedint"),
    (Typed("l", 5), "long"),
    (Typed("L", 5), "long"),
    (Typed("f", 1.5), "float"),
    (1.5, "double"),
    (Decimal("1.5"), "decimal"),
    (b"x", "binary"),
    (Timestamp(5), "timestamp"),
    ([1], "array"),
    ({}, "table"),
    (None, "void"),
]


@pytest.mark.parametrize(("value", "type_"), TYPES, ids=str)
def test_dead_letter_exchange_must_be_a_string(channel: Channel, names: Names, value: Any, type_: str) -> None:
    name = names.plain()
    text = f"invalid type '{type_}' for arg 'x-dead-letter-exchange' in queue '{name}' in vhost '/'"
    channel.expect_refused(declare(name, {"x-dead-letter-exchange": value}), 406, text)


# Arguments of the queue, those of the second declaration, and what differs; None: they are equal.
AGAIN: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    ({"x-message-ttl": 10}, {"x-message-ttl": Typed("b", 10)}, None),
    ({"x-message-ttl": Typed("B", 10)}, {"x-message-ttl": Typed("l", 10)}, None),
    *[({"x-max-length": 10}, {"x-max-length": Typed(tag, 10)}, None) for tag in "bBsuIilLT"],
    ({"x-dead-letter-exchange": "one"}, {"x-dead-letter-exchange": b"one"}, None),
    *[
        ({"x-max-length": 5}, {"x-max-length": value}, f"'x-max-length' for {{}}: received {text} but current is '5'")
        for value, text in [
            (5.0, "'5.0'"),
            ("5", "'5'"),
            (True, "'true'"),
            (None, "none"),
            ([5, "x"], "'[{{signedint,5}},{{longstr,<<\"x\">>}}]'"),
            ({"k": 5}, "'[{{<<\"k\">>,signedint,5}}]'"),
        ]
    ],
    (
        {"x-single-active-consumer": True},
        {"x-single-active-consumer": 1},
        "'x-single-active-consumer' for {}: received '1' but current is 'true'",
    ),
    ({"x-queue-type": "classic"}, {}, None),
    ({}, {"x-queue-type": "classic"}, None),
    ({}, {"x-behaviour": 1}, None),
    ({"x-behaviour": 1}, {"x-behaviour": "two"}, None),
    (
        {"x-message-ttl": 10, "x-max-length": 5},
        {"x-max-length": 5, "x-message-ttl": 10},
        None,
    ),
    (
        {"x-message-ttl": 10},
        {"x-message-ttl": 11},
        "'x-message-ttl' for {}: received '11' but current is '10'",
    ),
    (
        {"x-dead-letter-exchange": "one"},
        {"x-dead-letter-exchange": "two"},
        "'x-dead-letter-exchange' for {}: received 'two' but current is 'one'",
    ),
    (
        {},
        {"x-message-ttl": 10},
        "'x-message-ttl' for {}: received the value '10' of type 'signedint' but current is none",
    ),
    (
        {},
        {"x-max-length": Typed("l", 10)},
        "'x-max-length' for {}: received the value '10' of type 'long' but current is none",
    ),
    (
        {"x-dead-letter-exchange": "one"},
        {},
        "'x-dead-letter-exchange' for {}: received none but current is the value 'one' of type 'longstr'",
    ),
    (
        {},
        {"x-single-active-consumer": True},
        "'x-single-active-consumer' for {}: received the value 'true' of type 'bool' but current is none",
    ),
    ({}, {"x-max-age": "1D"}, None),
    (
        {"x-queue-mode": "lazy"},
        {"x-queue-mode": "default"},
        "'x-queue-mode' for {}: received 'default' but current is 'lazy'",
    ),
    (
        {},
        {"x-queue-master-locator": "min-masters"},
        "'x-queue-master-locator' for {}: received the value 'min-masters' of type 'longstr' but current is none",
    ),
    (
        {},
        {"x-queue-leader-locator": "balanced"},
        "'x-queue-leader-locator' for {}: received the value 'balanced' of type 'longstr' but current is none",
    ),
    (
        {"x-message-ttl": 5, "x-expires": 50000},
        {"x-message-ttl": 6, "x-expires": 60000},
        "'x-expires' for {}: received '60000' but current is '50000'",
    ),
    (
        {},
        {"x-queue-version": 2, "x-max-length": 5},
        "'x-max-length' for {}: received the value '5' of type 'signedint' but current is none",
    ),
    (
        {},
        {"x-message-ttl": "never checked"},
        "'x-message-ttl' for {}: received the value 'never checked' of type 'longstr' but current is none",
    ),
    (
        {"x-queue-type": ""},
        {},
        "'x-queue-type' for {}: received 'classic' but current is ''",
    ),
    (
        {},
        {"x-queue-type": "quorum"},
        "'x-queue-type' for {}: received 'quorum' but current is 'classic'",
    ),
    (
        {},
        {"x-queue-type": "behaviour"},
        "'x-queue-type' for {}: received 'behaviour' but current is 'classic'",
    ),
    (
        {"x-max-priority": 5},
        {"x-max-priority": 6},
        "'x-max-priority' for {}: received '6' but current is '5'",
    ),
]


@pytest.mark.parametrize(("first", "second", "text"), AGAIN, ids=str)
def test_declare_again(
    channel: Channel, names: Names, first: dict[str, Any], second: dict[str, Any], text: str | None
) -> None:
    name = names.plain()
    channel.call(declare(name, first))
    if text is None:
        channel.call(declare(name, second))
        return
    whole = "inequivalent arg " + text.format(f"queue '{name}' in vhost '/'")
    channel.expect_refused(declare(name, second), 406, whole)


@differs_from_rabbitmq("RabbitMQ ends the connection with 541")
def test_a_decimal_is_no_integer(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_max_length=5)
    channel.send(declare(queue, {"x-max-length": Decimal(5)}))
    assert channel.expect(ChannelClose).reply_code == 406


def test_of_two_equal_arguments_the_first_one_counts(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain(), x_max_length=5)
    twice = b"".join(b"\x0cx-max-lengthI" + number.to_bytes(4, "big") for number in (5, 6))
    payload = declare(queue, {}).payload()
    channel.link.send_bytes(frame(METHOD, 1, payload[:-4] + long_string(twice)))
    channel.expect(QueueDeclareOk)


ORDER = {
    "classic": """x-expires x-message-ttl x-dead-letter-exchange x-dead-letter-routing-key x-max-length
        x-max-length-bytes x-max-priority x-overflow x-queue-mode x-queue-version x-single-active-consumer
        x-queue-type x-queue-master-locator x-queue-leader-locator""",
    "quorum": """x-dead-letter-exchange x-dead-letter-routing-key x-dead-letter-strategy x-expires x-max-length
        x-max-length-bytes x-max-in-memory-length x-max-in-memory-bytes x-overflow x-single-active-consumer
        x-queue-type x-quorum-initial-group-size x-delivery-limit x-message-ttl x-queue-leader-locator
        x-consumer-disconnected-timeout x-consumer-timeout x-delayed-retry-type x-delayed-retry-min
        x-delayed-retry-max""",
}


@pytest.mark.parametrize("kind", ORDER)
def test_order_of_comparison(channel: Channel, names: Names, kind: str) -> None:
    queue = channel.queue(names.queue(), exclusive=False, durable=True, x_queue_type=kind)
    left = ORDER[kind].split()
    while left:
        arguments = {"x-queue-type": kind, **dict.fromkeys(reversed(left), 99)}
        channel.send(QueueDeclare(queue=queue, durable=True, arguments=arguments))
        assert f"inequivalent arg '{left[0]}' for" in channel.expect(ChannelClose).reply_text
        channel.send(ChannelCloseOk())
        channel.open()
        del left[0]


def test_refused_queue_does_not_exist(channel: Channel, names: Names) -> None:
    name = names.plain()
    text = f"invalid arg 'x-expires' for queue '{name}' in vhost '/': {{value_zero,0}}"
    channel.expect_refused(declare(name, {"x-expires": 0}), 406, text)
    passive = QueueDeclare(queue=name, passive=True)
    channel.expect_refused(passive, 404, f"no queue '{name}' in vhost '/'")
