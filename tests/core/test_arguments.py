"""The table of arguments and policy keys: who is heard when arguments, policy and operator policy speak of the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.policy.arguments import QUORUM as QUEUE
from leveret.core.policy.arguments import TABLE, Definition, QueueSettings, argument_names
from leveret.core.policy.policy import Policy, effective_definition
from leveret.wire.fields import Table, boolean, long, longstr, signedint, timestamp

DOCS = Path(__file__).resolve().parents[2] / "docs" / "policies.md"
QUORUM = {"x-queue-type": longstr("quorum")}


def policy(definition: Definition | None) -> Policy | None:
    """A policy with this definition, or none."""
    return None if definition is None else Policy("p", "", definition, 0, "all")


def settings(arguments: Table, said: Definition | None = None, operator: Definition | None = None) -> QueueSettings:
    """What comes out."""
    return QueueSettings(arguments, effective_definition(policy(said), policy(operator)))


# Setting, arguments, policy, operator policy, what comes out.
MERGED: list[tuple[str, Table, Definition | None, Definition | None, object]] = [
    ("message_ttl_ms", {}, None, None, -1),
    ("message_ttl_ms", {"x-message-ttl": signedint(5)}, None, None, 5),
    ("message_ttl_ms", {}, {"message-ttl": 5}, None, 5),
    ("message_ttl_ms", {}, None, {"message-ttl": 0}, 0),
    ("message_ttl_ms", {"x-message-ttl": long(5)}, {"message-ttl": 6}, None, 5),
    ("message_ttl_ms", {"x-message-ttl": long(5)}, {"message-ttl": 4}, None, 4),
    ("message_ttl_ms", {"x-message-ttl": long(5)}, {"message-ttl": 4}, {"message-ttl": 3}, 3),
    ("message_ttl_ms", {"x-message-ttl": long(5)}, {"message-ttl": 3}, {"message-ttl": 4}, 3),
    ("message_ttl_ms", {"x-message-ttl": long(2)}, {"message-ttl": 3}, {"message-ttl": 4}, 2),
    ("expires_ms", {"x-expires": long(5)}, {"expires": 4}, None, 4),
    ("max_length", {"x-max-length": long(5)}, {"max-length": 0}, None, 0),
    ("max_length", {"x-max-length": long(5)}, {"max-length": 6}, {"max-length": 7}, 5),
    ("max_length_bytes", {"x-max-length-bytes": long(5)}, {"max-length-bytes": 4}, None, 4),
    ("max_length_bytes", {}, {"max-length": 1}, {"max-length-bytes": 4}, 4),
    ("max_priority", {"x-max-priority": long(5)}, {"max-length": 1}, None, 5),
    ("max_priority", {}, None, None, -1),
    ("rejects", {}, None, None, False),
    ("rejects", {"x-overflow": longstr("reject-publish")}, None, None, True),
    ("rejects", {"x-overflow": longstr("drop-head")}, {"overflow": "reject-publish"}, None, False),
    ("rejects", {"x-overflow": longstr("drop-head"), **QUORUM}, {"overflow": "reject-publish"}, None, True),
    ("rejects", {}, {"overflow": "drop-head"}, {"overflow": "reject-publish"}, True),
    ("rejects", {"x-overflow": longstr("drop-head")}, {"overflow": "drop-head"}, {"overflow": "reject-publish"}, False),
    ("rejects_dead", {"x-overflow": longstr("reject-publish")}, None, None, False),
    ("rejects_dead", {"x-overflow": longstr("reject-publish-dlx")}, None, None, True),
    ("rejects", {"x-overflow": longstr("reject-publish-dlx")}, None, None, True),
    ("dead_letter_exchange", {}, None, None, None),
    ("dead_letter_exchange", {"x-dead-letter-exchange": longstr("")}, None, None, ""),
    ("dead_letter_exchange", {"x-dead-letter-exchange": longstr("a")}, {"dead-letter-exchange": "b"}, None, "a"),
    ("dead_letter_exchange", {}, {"dead-letter-exchange": "b"}, {"max-length": 1}, "b"),
    ("dead_letter_routing_key", {}, {"dead-letter-routing-key": "k"}, None, "k"),
    ("dead_letter_routing_key", {}, None, None, None),
    ("at_least_once", {"x-dead-letter-strategy": longstr("at-least-once")}, None, None, False),
    ("at_least_once", {"x-dead-letter-strategy": longstr("at-least-once")}, {"overflow": "reject-publish"}, None, True),
    ("at_least_once", {}, {"dead-letter-strategy": "at-least-once", "overflow": "reject-publish"}, None, True),
    ("delivery_limit", {}, None, None, -1),
    ("delivery_limit", QUORUM, None, None, 20),
    ("delivery_limit", {"x-delivery-limit": long(-1), **QUORUM}, None, None, -1),
    ("delivery_limit", {"x-delivery-limit": longstr("5"), **QUORUM}, None, None, 20),
    ("delivery_limit", {"x-delivery-limit": boolean(True), **QUORUM}, None, None, 20),
    ("delivery_limit", {"x-delivery-limit": longstr("5"), **QUORUM}, {"delivery-limit": 7}, None, 7),
    ("delivery_limit", {"x-delivery-limit": timestamp(3), **QUORUM}, None, None, 3),
    ("delivery_limit", QUORUM, {"delivery-limit": 50}, None, 50),
    ("delivery_limit", QUORUM, {"delivery-limit": -1}, None, -1),
    ("delivery_limit", {"x-delivery-limit": long(5)}, {"delivery-limit": 4}, None, 4),
    ("delivery_limit", {"x-delivery-limit": long(5)}, {"delivery-limit": -1}, None, 5),
    ("delivery_limit", {"x-delivery-limit": long(-5)}, {"delivery-limit": 7}, None, 7),
    ("delivery_limit", {}, {"delivery-limit": -1}, {"delivery-limit": 7}, 7),
    ("delivery_limit", {}, {"delivery-limit": 9}, {"delivery-limit": 7}, 7),
    ("retry_min_ms", {"x-delayed-retry-min": long(5)}, {"delayed-retry-min": 4}, None, 4),
    ("retry_min_ms", {"x-delayed-retry-min": long(5)}, {"delayed-retry-min": 6}, None, 5),
    ("retry_min_ms", {}, {"delayed-retry-min": 6}, {"delayed-retry-min": 5}, 6),
    ("retry_min_ms", {}, {"delayed-retry-min": 6}, {"delayed-retry-min": 7}, 7),
    ("retry_max_ms", {}, {"delayed-retry-max": 6}, {"delayed-retry-max": 5}, 5),
    ("retry_max_ms", {"x-delayed-retry-min": long(5)}, None, None, 5),
    ("retry_max_ms", {"x-delayed-retry-min": long(5), "x-delayed-retry-max": long(9)}, None, None, 9),
    ("delays_failed", {"x-delayed-retry-type": longstr("all"), "x-delayed-retry-min": long(5)}, None, None, True),
    ("delays_failed", {"x-delayed-retry-type": longstr("failed"), "x-delayed-retry-min": long(5)}, None, None, True),
    ("delays_failed", {"x-delayed-retry-type": longstr("returned"), "x-delayed-retry-min": long(5)}, None, None, False),
    ("delays_failed", {"x-delayed-retry-type": longstr("all")}, None, None, False),
    ("delays_returned", {"x-delayed-retry-min": long(5)}, {"delayed-retry-type": "returned"}, None, True),
    ("delays_returned", {"x-delayed-retry-min": long(5)}, {"delayed-retry-type": "failed"}, None, False),
    ("consumer_timeout_ms", {"x-consumer-timeout": long(5)}, {"consumer-timeout": 4}, None, 4),
    ("consumer_timeout_ms", {}, None, None, -1),
    ("single_active", {"x-single-active-consumer": boolean(True)}, None, None, True),
    ("single_active", {"x-single-active-consumer": boolean(False)}, None, None, False),
    ("queue_type", {}, None, None, "classic"),
    ("queue_type", QUORUM, None, None, "quorum"),
]


@pytest.mark.parametrize(("name", "arguments", "said", "operator", "expected"), MERGED)
def test_merged(
    name: str, arguments: Table, said: Definition | None, operator: Definition | None, expected: object
) -> None:
    assert getattr(settings(arguments, said, operator), name) == expected


limits = st.none() | st.integers(0, 9)


@given(limits, limits, limits)
def test_the_lowest_limit_counts(argument: int | None, said: int | None, operator: int | None) -> None:
    arguments = {} if argument is None else {"x-max-length": long(argument)}
    definitions: list[Definition | None] = [None if each is None else {"max-length": each} for each in (said, operator)]
    expected = min((each for each in (argument, said, operator) if each is not None), default=-1)
    assert settings(arguments, *definitions).max_length == expected


def test_every_row_is_documented() -> None:
    text = DOCS.read_text()
    for row in TABLE:
        for name in (row.name, row.key):
            assert f"`{name}`" in text or not name, name


def test_the_order_of_quorum_queues_is_complete() -> None:
    assert sorted(argument_names(QUEUE)) == sorted(row.name for row in TABLE if row.name and QUEUE in row.types)


def test_every_row_says_what_it_takes() -> None:
    for row in TABLE:
        assert row.name or row.key
        assert row.check is None or row.wants, row.name
        assert not row.key or row.called, row.key
        assert row.key or not row.against_policy, row.name
