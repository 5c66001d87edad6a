"""Headers exchanges: x-match, and how values are compared."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.clients.codec import Typed
from tests.clients.methods import QueueBind
from tests.clients.peer import Channel

from .conftest import Names

ANY, ALL = {"x-match": "any"}, {"x-match": "all"}
ANY_X, ALL_X = {"x-match": "any-with-x"}, {"x-match": "all-with-x"}
AB = {"a": 1, "b": "two"}

# Binding arguments, headers of the message (None: no headers at all), and whether they match.
HEADERS: list[tuple[dict[str, Any], dict[str, Any] | None, bool]] = [
    (AB, {"a": 1, "b": "two"}, True),
    (AB, {"b": "two", "a": 1, "c": None}, True),
    (AB, {"a": 1}, False),
    (AB, {"a": 1, "b": "three"}, False),
    (AB, {}, False),
    (AB, None, False),
    (ALL | AB, {"a": 1, "b": "two"}, True),
    (ALL | AB, {"a": 1}, False),
    (ANY | AB, {"a": 1}, True),
    (ANY | AB, {"b": "two", "a": 2}, True),
    (ANY | AB, {"a": 2, "b": 3}, False),
    (ANY | AB, None, False),
    ({}, None, True),
    ({}, {"a": 1}, True),
    (ALL, None, True),
    (ANY, None, False),
    (ANY, {"a": 1}, False),
    # Only the forms with-x look at keys that begin with x-, and none looks at x-match.
    (ALL | {"x-a": 1}, {}, True),
    (ALL | {"x-a": 1, "b": 2}, {"b": 2}, True),
    (ANY | {"x-a": 1}, {"x-a": 1}, False),
    (ANY | {"x-a": 1, "b": 2}, {"x-a": 1}, False),
    (ALL_X | {"x-a": 1}, {"x-a": 1}, True),
    (ALL_X | {"x-a": 1}, {}, False),
    (ANY_X | {"x-a": 1, "b": 2}, {"x-a": 1}, True),
    (ANY_X | {"x-a": 1, "b": 2}, {"b": 3}, False),
    (ALL_X, None, True),
    (ANY_X, {"x-match": "any-with-x"}, False),
    # No value asks for the key alone.
    ({"a": None}, {"a": "anything"}, True),
    ({"a": None}, {"a": None}, True),
    ({"a": None}, {"b": 1}, False),
    (ANY | {"a": None, "b": 1}, {"a": 5}, True),
    # Integers are equal whatever their width; other types are not mixed.
    ({"a": Typed("b", 5)}, {"a": Typed("l", 5)}, True),
    ({"a": Typed("l", 5)}, {"a": Typed("B", 5)}, True),
    ({"a": 5}, {"a": "5"}, False),
    ({"a": "5"}, {"a": 5}, False),
    ({"a": 1}, {"a": True}, False),
    ({"a": True}, {"a": True}, True),
    ({"a": True}, {"a": False}, False),
    ({"a": 1.5}, {"a": 1.5}, True),
    ({"a": 1.5}, {"a": 2.5}, False),
    ({"a": "Two"}, {"a": "two"}, False),
    ({"a": [1, "x"]}, {"a": [1, "x"]}, True),
    ({"a": {"k": 1}}, {"a": {"k": 1}}, True),
    ({"a": {"k": 1}}, {"a": {"k": 2}}, False),
]


@pytest.mark.parametrize(("arguments", "headers", "match"), HEADERS, ids=str)
def test_headers(
    channel: Channel, queue: str, names: Names, arguments: dict[str, Any], headers: Any, match: bool
) -> None:
    exchange = channel.exchange(names.exchange(), "headers")
    channel.call(QueueBind(queue=queue, exchange=exchange, arguments=arguments))
    channel.publish("any key", b"x", exchange=exchange, headers=headers)
    assert channel.bodies(queue) == ([b"x"] if match else [])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            "some",
            'Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x',
        ),
        ("", "Invalid x-match field value <<>>; expected all, any, all-with-x, or any-with-x"),
        ("\udcff", 'Invalid x-match field value <<"ÿ">>; expected all, any, all-with-x, or any-with-x'),
        ("\0\udcff", "Invalid x-match field value <<0,255>>; expected all, any, all-with-x, or any-with-x"),
        ("é☃", 'Invalid x-match field value <<"é☃"/utf8>>; expected all, any, all-with-x, or any-with-x'),
        (5, "Invalid x-match field type signedint (value 5); expected longstr"),
        (1.5, "Invalid x-match field type double (value 1.5); expected longstr"),
        (True, "Invalid x-match field type bool (value true); expected longstr"),
        (None, "Invalid x-match field type void (value undefined); expected longstr"),
        (b"all", 'Invalid x-match field type binary (value <<"all">>); expected longstr'),
        (Decimal("1.5"), "Invalid x-match field type decimal (value {1,15}); expected longstr"),
        ([1, "x"], 'Invalid x-match field type array (value [{signedint,1},{longstr,<<"x">>}]); expected longstr'),
        ({"a": {}}, 'Invalid x-match field type table (value [{<<"a">>,table,[]}]); expected longstr'),
    ],
)
def test_invalid_x_match(channel: Channel, queue: str, value: Any, text: str) -> None:
    bind = QueueBind(queue=queue, exchange="amq.headers", arguments={"x-match": value})
    channel.expect_refused(bind, 406, text)


def test_bindings_with_different_arguments_are_different(channel: Channel, queue: str, names: Names) -> None:
    exchange = channel.exchange(names.exchange(), "headers")
    for value in ("one", "two"):
        channel.call(QueueBind(queue=queue, exchange=exchange, arguments={"a": value}))
    for value in ("one", "two", "three"):
        channel.publish("", value.encode(), exchange=exchange, headers={"a": value})
    assert channel.bodies(queue) == [b"one", b"two"]


def test_headers_do_not_matter_elsewhere(channel: Channel, queue: str, names: Names) -> None:
    exchange = channel.exchange(names.exchange(), "direct")
    channel.call(QueueBind(queue=queue, exchange=exchange, routing_key="k", arguments={"a": 1}))
    channel.publish("k", b"x", exchange=exchange, headers={"a": 2})
    assert channel.bodies(queue) == [b"x"]
