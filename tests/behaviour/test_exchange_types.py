"""Exchange types that RabbitMQ has as plugins: what they accept, and where messages go.

Where a broker does not have a type, its tests are skipped. For RabbitMQ:
`rabbitmq-plugins enable rabbitmq_consistent_hash_exchange rabbitmq_random_exchange rabbitmq_recent_history_exchange
rabbitmq_exchange_federation`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.codec import Properties, Typed
from tests.clients.methods import (
    ChannelClose,
    ChannelCloseOk,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDeclareOk,
    QueueBind,
)
from tests.clients.methods_basic import BasicAck, BasicPublish, BasicReturn
from tests.clients.peer import Channel

from .conftest import Names

Make = Callable[..., str]

HASH = "x-consistent-hash"
FEDERATION = "x-federation-upstream"
MESSAGES = 600
BODIES = [str(number).encode() for number in range(MESSAGES)]


@pytest.fixture
def make(channel: Channel, names: Names) -> Make:
    """Declare an exchange of a type that the broker may not have."""

    def make(type_: str, **arguments: Any) -> str:
        name = names.exchange()
        named = {key.replace("_", "-"): value for key, value in arguments.items()}
        channel.send(ExchangeDeclare(exchange=name, type=type_, arguments=named))
        reply = channel.next()
        if isinstance(reply, ChannelClose) and "exchange type" in reply.reply_text:
            channel.send(ChannelCloseOk())
            pytest.skip(f"the broker does not have exchanges of type {type_}")
        assert isinstance(reply, ExchangeDeclareOk), reply
        return name

    return make


def expect_confirms(channel: Channel, first: int, count: int) -> None:
    """Read acks, in whatever form, for so many publishes."""
    owed = set(range(first, first + count))
    while owed:
        ack = channel.expect(BasicAck)
        owed -= {tag for tag in owed if tag == ack.delivery_tag or (ack.multiple and tag < ack.delivery_tag)}


def spread(channel: Channel, exchange: str, queues: list[str]) -> list[list[bytes]]:
    """Publish a message under each of many keys. Returns: what each queue got."""
    channel.confirm()
    for body in BODIES:
        channel.publish(f"key.{body.decode()}", body, exchange=exchange)
    expect_confirms(channel, 1, MESSAGES)
    found = [channel.bodies(queue) for queue in queues]
    assert sorted(body for bodies in found for body in bodies) == sorted(BODIES)
    return found


def assert_share(got: list[bytes], share: float) -> None:
    """A queue got its share, within five standard deviations."""
    deviation = (MESSAGES * share * (1 - share)) ** 0.5
    assert abs(len(got) - MESSAGES * share) < 5 * deviation, len(got)


# -- x-consistent-hash


def test_consistent_hash_by_weight(channel: Channel, names: Names, make: Make) -> None:
    exchange = make(HASH)
    queues = [channel.queue(names.plain()) for _ in range(3)]
    for queue, weight in zip(queues, ("1", "2", "3"), strict=True):
        channel.bind(queue, exchange, weight)
    for got, share in zip(spread(channel, exchange, queues), (1 / 6, 2 / 6, 3 / 6), strict=True):
        assert_share(got, share)


def test_the_same_key_goes_the_same_way(channel: Channel, names: Names, make: Make) -> None:
    exchange = make(HASH)
    queues = [channel.queue(names.plain()) for _ in range(4)]
    for queue in queues:
        channel.bind(queue, exchange, "1")
    first = spread(channel, exchange, queues)
    for body in BODIES:
        channel.publish(f"key.{body.decode()}", body, exchange=exchange, headers={"any": "thing"})
    expect_confirms(channel, MESSAGES + 1, MESSAGES)
    assert [channel.bodies(queue) for queue in queues] == first


def test_a_new_binding_only_takes(channel: Channel, names: Names, make: Make) -> None:
    """What moves goes to the one that came last; that is what consistent means."""
    exchange = make(HASH)
    queues = [channel.queue(names.plain()) for _ in range(4)]
    for queue in queues[:3]:
        channel.bind(queue, exchange, "1")
    before = spread(channel, exchange, queues[:3])
    channel.bind(queues[3], exchange, "1")
    for body in BODIES:
        channel.publish(f"key.{body.decode()}", body, exchange=exchange)
    expect_confirms(channel, MESSAGES + 1, MESSAGES)
    after = [channel.bodies(queue) for queue in queues]
    for earlier, now in zip(before, after, strict=False):
        assert set(now) <= set(earlier)
    assert_share(after[3], 1 / 4)


@pytest.mark.parametrize("hashed", ["message_id", "correlation_id", "timestamp", "header"])
def test_what_is_hashed(channel: Channel, names: Names, make: Make, hashed: str) -> None:
    exchange = make(HASH, **({"hash_header": "h"} if hashed == "header" else {"hash_property": hashed}))
    queues = [channel.queue(names.plain()) for _ in range(2)]
    for queue in queues:
        channel.bind(queue, exchange, "1")
    channel.confirm()
    for number in range(200):
        value: Any = 1_700_000_000 + number if hashed == "timestamp" else f"value {number}"
        properties = {"headers": {"h": value}} if hashed == "header" else {hashed: value}
        for _ in range(2):
            channel.publish("one key", str(number).encode(), exchange=exchange, **properties)
    expect_confirms(channel, 1, 400)
    found = [channel.bodies(queue) for queue in queues]
    for got in found:
        assert sorted(got[::2]) == sorted(got[1::2])  # both of each
        assert len(set(got)) > 50
    assert sum(map(len, found)) == 400


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("abc", 'The binding key must be an integer: <<"abc">>'),
        ("", "The binding key must be an integer: <<>>"),
        ("1.5", 'The binding key must be an integer: <<"1.5">>'),
        ("0", "The binding key must be greater than 0"),
        ("-1", "The binding key must be greater than 0"),
        ("10001", "The binding key must not exceed 10000"),
    ],
)
def test_wrong_weights(channel: Channel, queue: str, make: Make, key: str, text: str) -> None:
    exchange = make(HASH)
    channel.expect_refused(QueueBind(queue=queue, exchange=exchange, routing_key=key), 406, text)


@pytest.mark.parametrize(
    ("type_", "arguments", "text"),
    [
        (
            HASH,
            {"hash-header": "h", "hash-property": "message_id"},
            "hash-header and hash-property are mutually exclusive",
        ),
        (HASH, {"hash-property": "app_id"}, "Unsupported property: app_id"),
        (
            "x-recent-history",
            {"x-recent-history-length": 0},
            "Invalid argument 0, 'x-recent-history-length' must be a positive integer",
        ),
        (
            "x-recent-history",
            {"x-recent-history-length": "a"},
            "Invalid argument <<\"a\">>, 'x-recent-history-length' must be a positive integer",
        ),
    ],
)
def test_wrong_arguments(
    channel: Channel, names: Names, make: Make, type_: str, arguments: dict[str, Any], text: str
) -> None:
    make(type_)
    channel.expect_refused(ExchangeDeclare(exchange=names.plain(), type=type_, arguments=arguments), 406, text)


def test_of_two_bindings_the_first_one_counts(channel: Channel, names: Names, make: Make) -> None:
    exchange = make(HASH)
    queues = [channel.queue(names.plain()) for _ in range(2)]
    for queue, weight in ((queues[0], "1"), (queues[0], "9"), (queues[1], "1")):
        channel.bind(queue, exchange, weight)
    for got in spread(channel, exchange, queues):
        assert_share(got, 1 / 2)


def test_declared_again_with_other_arguments(channel: Channel, make: Make) -> None:
    """Only alternate-exchange is compared."""
    exchange = make(HASH, hash_header="h")
    channel.call(ExchangeDeclare(exchange=exchange, type=HASH, arguments={"hash-property": "message_id"}))


# -- x-modulus-hash, x-random, x-local-random


@pytest.mark.parametrize("type_", ["x-modulus-hash", "x-random", "x-local-random"])
def test_one_of_three(channel: Channel, names: Names, make: Make, type_: str) -> None:
    exchange = make(type_)
    queues = [channel.queue(names.plain()) for _ in range(3)]
    for queue in queues:
        channel.bind(queue, exchange)
    for got in spread(channel, exchange, queues):
        assert_share(got, 1 / 3)


@pytest.mark.parametrize("type_", ["x-modulus-hash", "x-random"])
def test_each_binding_counts(channel: Channel, names: Names, make: Make, type_: str) -> None:
    exchange = make(type_)
    queues = [channel.queue(names.plain()) for _ in range(2)]
    for queue, key in ((queues[0], "1"), (queues[0], "2"), (queues[1], "1")):
        channel.bind(queue, exchange, key)
    for got, share in zip(spread(channel, exchange, queues), (2 / 3, 1 / 3), strict=True):
        assert_share(got, share)


@pytest.mark.parametrize("type_", [HASH, "x-modulus-hash", "x-random", "x-local-random"])
def test_nothing_bound(channel: Channel, make: Make, type_: str) -> None:
    exchange = make(type_)
    channel.publish("k", b"m", exchange=exchange, mandatory=True)
    assert channel.expect(BasicReturn).reply_text == "NO_ROUTE"


@pytest.mark.parametrize("type_", [HASH, "x-modulus-hash", "x-random"])
def test_copies_do_not_multiply(channel: Channel, names: Names, make: Make, type_: str) -> None:
    """CC adds keys, but the message still goes one way."""
    exchange = make(type_)
    queues = [channel.queue(names.plain()) for _ in range(3)]
    for queue in queues:
        channel.bind(queue, exchange, "1")
    channel.confirm()
    for number in range(20):
        headers = {"CC": [f"other {number} {more}" for more in range(5)]}
        channel.confirmed(f"key {number}", b"m", exchange=exchange, headers=headers)
    assert sum(len(channel.bodies(queue)) for queue in queues) == 20


def test_x_local_random_takes_queues_under_the_empty_key(channel: Channel, queue: str, make: Make) -> None:
    exchange = make("x-local-random")
    channel.expect_refused(
        QueueBind(queue=queue, exchange=exchange, routing_key="k"), 406, "Non empty binding 'k' key not permitted"
    )
    channel.expect_refused(ExchangeBind(destination="amq.fanout", source=exchange), 406, "Destination not found")


def test_x_local_random_takes_no_quorum_queues(channel: Channel, names: Names, make: Make) -> None:
    exchange = make("x-local-random")
    queue = channel.queue(names.queue(), exclusive=False, durable=True, x_queue_type="quorum")
    text = "Queue type rabbit_quorum_queue not valid for this exchange type"
    channel.expect_refused(QueueBind(queue=queue, exchange=exchange), 406, text)


# -- x-recent-history


def test_recent_history(channel: Channel, queue: str, make: Make) -> None:
    exchange = make("x-recent-history", x_recent_history_length=3)
    channel.confirm()
    channel.confirmed("k", b"a", b"b", b"c", b"d", exchange=exchange)
    channel.confirmed("k", b"hidden", exchange=exchange, headers={"x-recent-history-no-store": True})
    channel.bind(queue, exchange)
    channel.expect_ready(queue, 3)
    channel.confirmed("k", b"e", exchange=exchange)
    channel.bind(queue, exchange)
    channel.expect_ready(queue, 4)
    assert channel.bodies(queue) == [b"b", b"c", b"d", b"e"]


def test_twenty_messages_by_default(channel: Channel, queue: str, make: Make) -> None:
    exchange = make("x-recent-history")
    channel.confirm()
    channel.confirmed("k", *BODIES[:25], exchange=exchange)
    channel.bind(queue, exchange, "whatever")
    channel.expect_ready(queue, 20)
    assert channel.bodies(queue) == BODIES[5:25]


def test_history_keeps_exchange_and_key(channel: Channel, queue: str, make: Make) -> None:
    exchange = make("x-recent-history")
    channel.confirm()
    channel.confirmed("the key", b"m", exchange=exchange)
    channel.bind(queue, exchange)
    channel.expect_ready(queue, 1)
    got = channel.get(queue, no_ack=True)
    assert (got.exchange, got.routing_key, got.redelivered) == (exchange, "the key", False)


# -- x-delayed-message, x-message-deduplication


def test_delayed(channel: Channel, queue: str, make: Make) -> None:
    exchange = make("x-delayed-message", x_delayed_type="direct")
    channel.bind(queue, exchange, "k")
    channel.consume(queue, no_ack=True)
    delays: dict[bytes, dict[str, Any] | None] = {
        b"second": {"x-delay": 400},
        b"first": {"x-delay": Typed("I", 200)},
        b"now": None,
    }
    began = time.monotonic()
    channel.send(  # all at once, so that their delays begin together
        *[
            BasicPublish(exchange=exchange, routing_key="k", body=body, properties=Properties(headers=headers))
            for body, headers in delays.items()
        ]
    )
    deliveries = channel.deliveries(3)
    assert time.monotonic() - began > 0.39  # the broker counts whole milliseconds
    assert [delivery.body for delivery in deliveries] == [b"now", b"first", b"second"]
    assert [(each.properties.headers or {}).get("x-delay") for each in deliveries] == [None, -200, -400]


def test_what_a_delayed_exchange_needs(channel: Channel, names: Names, make: Make) -> None:
    make("x-delayed-message", x_delayed_type="fanout")
    channel.expect_refused(
        ExchangeDeclare(exchange=names.plain(), type="x-delayed-message"),
        406,
        "Invalid argument, 'x-delayed-type' must be an existing exchange type",
    )


def test_deduplication(channel: Channel, queue: str, make: Make) -> None:
    exchange = make("x-message-deduplication", x_cache_size=10)
    channel.bind(queue, exchange)
    channel.confirm()
    for body, value in ((b"1", "a"), (b"2", "a"), (b"3", "b")):
        channel.confirmed("k", body, exchange=exchange, headers={"x-deduplication-header": value})
    assert channel.bodies(queue) == [b"1", b"3"]


def test_a_deduplicating_queue(channel: Channel, names: Names, make: Make) -> None:
    make("x-message-deduplication", x_cache_size=10)
    queue = channel.queue(names.plain(), x_message_deduplication=True)
    channel.confirm()
    for body, value in ((b"1", "a"), (b"2", "a"), (b"3", "b")):
        channel.confirmed(queue, body, headers={"x-deduplication-header": value})
    assert channel.bodies(queue) == [b"1", b"3"]
    channel.confirmed(queue, b"4", headers={"x-deduplication-header": "a"})
    assert channel.bodies(queue) == [b"4"]


# -- x-federation-upstream

HERE = {"cluster-name": "down", "vhost": "v"}


def test_an_upstream_of_federation_routes_what_may_go_on(channel: Channel, queue: str, make: Make) -> None:
    exchange = make(FEDERATION, x_max_hops=Typed("l", 2), x_downstream_name="down", x_downstream_vhost="v")
    channel.bind(queue, exchange, "any key")
    passes: list[dict[str, Any]] = [
        {},
        {"x-received-from": []},
        {"x-received-from": [{"cluster-name": "other", "vhost": "v"}]},
        {"x-received-from": [{"cluster-name": "down", "vhost": "w"}]},
        {"x-received-from": [1]},
        {"x-received-from": "text"},
    ]
    stays: list[dict[str, Any]] = [
        {"x-received-from": [HERE]},
        {"x-received-from": [{"vhost": "w"}, {"vhost": "u"}]},
        {"x-received-from": [1, 2, 3]},
    ]
    for number, headers in enumerate(passes):
        channel.publish("", f"passes {number}".encode(), exchange=exchange, headers=headers)
    for headers in stays:
        channel.publish("", b"stays", exchange=exchange, headers=headers, mandatory=True)
        channel.expect(BasicReturn)
    channel.expect_ready(queue, len(passes))
    assert channel.bodies(queue) == [f"passes {number}".encode() for number in range(len(passes))]


def test_an_upstream_of_federation_that_does_not_know_who_is_downstream(
    channel: Channel, queue: str, make: Make
) -> None:
    exchange = make(FEDERATION, x_max_hops=Typed("l", 2))
    channel.bind(queue, exchange, "")
    channel.publish("", b"passes", exchange=exchange, headers={"x-received-from": [HERE]})
    channel.expect_ready(queue, 1)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "Argument x-max-hops missing"),
        ({"x-max-hops": Typed("I", 1)}, "Argument x-max-hops must be of type long"),
        ({"x-max-hops": "1"}, "Argument x-max-hops must be of type long"),
    ],
    ids=str,
)
def test_an_upstream_of_federation_has_a_number_of_hops(
    channel: Channel, make: Make, names: Names, arguments: dict[str, Any], text: str
) -> None:
    make(FEDERATION, x_max_hops=Typed("l", 2))  # the broker has the type
    channel.expect_refused(ExchangeDeclare(exchange=names.plain(), type=FEDERATION, arguments=arguments), 406, text)


def test_only_the_hops_of_an_upstream_of_federation_are_compared(channel: Channel, make: Make) -> None:
    exchange = make(FEDERATION, x_max_hops=Typed("l", 2), x_downstream_name="down")
    other = {"x-max-hops": 2, "x-downstream-name": "other"}
    channel.call(ExchangeDeclare(exchange=exchange, type=FEDERATION, arguments=other))
    text = f"inequivalent arg 'x-max-hops' for exchange '{exchange}' in vhost '/': received '3' but current is '2'"
    declare = ExchangeDeclare(exchange=exchange, type=FEDERATION, arguments={"x-max-hops": 3})
    channel.expect_refused(declare, 406, text)
