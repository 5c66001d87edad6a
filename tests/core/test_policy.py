"""Policies: which one applies, what may stand in one, and that a change reaches queues and exchanges at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.broker import Broker
from leveret.core.errors.diagnostics import Origin
from leveret.core.policy.matching import Matcher
from leveret.core.policy.policy import APPLY_TO, Policies, Policy, PolicyError
from leveret.core.turn.clock import Clock
from leveret.core.vhost import VirtualHost
from leveret.store.chunk_log import ChunkLog
from leveret.store.rescue.salvage import open_database
from leveret.wire.fields import Table, long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    ConfirmSelect,
    ConfirmSelectOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
)
from tests.clients.socketless import Peer


def policy(
    definition: dict[str, Any], pattern: str = "", priority: int = 0, to: str = "all", name: str = "p"
) -> Policy:
    """A policy for everything, unless said otherwise."""
    return Policy(name, pattern, definition, priority, to)


def declared(name: str = "q", arguments: Table | None = None) -> tuple[Peer, VirtualHost]:
    """A client with a queue, and its virtual host."""
    peer = Peer()
    peer.call(QueueDeclare(name, arguments=arguments), QueueDeclareOk)
    return peer, peer.broker.vhosts["/"]


def publish(peer: Peer, *bodies: bytes, queue: str = "q") -> None:
    """Publish to a queue."""
    for body in bodies:
        peer.send(BasicPublish("", queue), body)


def ready(peer: Peer, queue: str = "q") -> list[bytes]:
    """Everything that is ready, taken out."""
    bodies: list[bytes] = []
    while True:
        peer.send(BasicGet(queue, no_ack=True))
        (got,) = peer.got()
        if isinstance(got.method, BasicGetEmpty):
            return bodies
        assert got.body is not None
        bodies.append(got.body)


# -- which one applies


def match(kind: str, name: str, *policies: Policy) -> str | None:
    """The name of the policy that applies."""
    these = Policies(False, Matcher(print))
    for each in policies:
        these.put(each)
    found = these.match(kind, name)
    return None if found is None else found.name


def test_patterns_are_searched() -> None:
    one = policy({"max-length": 5}, "b.d")
    assert match("classic", "abcde", one) == "p"
    assert match("classic", "abde", one) is None
    assert match("classic", "ABCDE", one) is None


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream", "exchange"])
@pytest.mark.parametrize("to", list(APPLY_TO))
def test_apply_to(kind: str, to: str) -> None:
    expected = {
        "all": True,
        "queues": kind != "exchange",
        "classic_queues": kind == "classic",
        "quorum_queues": kind == "quorum",
        "streams": kind == "stream",
        "exchanges": kind == "exchange",
    }
    assert (match(kind, "x", policy({"max-length": 5}, to=to)) == "p") == expected[to]


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=6))
def test_the_highest_priority_wins_then_the_first_name(priorities: list[int]) -> None:
    policies = [policy({"max-length": 5}, "", number, name=f"p{at}") for at, number in enumerate(priorities)]
    assert match("classic", "q", *policies) == f"p{priorities.index(max(priorities))}"


@pytest.mark.parametrize(
    ("key", "value", "kinds"),
    [
        ("max-age", "1D", {"exchange", "stream"}),
        ("initial-cluster-size", 3, {"exchange", "stream"}),
        ("stream-max-segment-size-bytes", 3, {"exchange", "stream"}),
        ("queue-mode", "lazy", {"exchange", "stream", "classic"}),
        ("target-group-size", 3, {"exchange", "stream", "quorum"}),
        ("max-in-memory-length", 3, {"exchange", "stream", "quorum"}),
        ("alternate-exchange", "x", {"exchange", "stream", "quorum", "classic"}),
        ("delivery-limit", 3, {"exchange", "stream", "quorum", "classic"}),
    ],
)
def test_a_policy_passes_by_queues_that_cannot_have_it(key: str, value: object, kinds: set[str]) -> None:
    one = policy({"max-length": 5, key: value})
    other = policy({"max-length": 6}, priority=-1, name="other")
    for kind in ("classic", "quorum", "stream", "exchange"):
        assert match(kind, "x", one, other) == ("p" if kind in kinds else "other"), kind


# -- what may stand in one

ALLOWED: list[dict[str, Any]] = [
    {"message-ttl": 0},
    {"message-ttl": 315_360_000_001},
    {"expires": 1},
    {"max-length": 2**70},
    {"overflow": "reject-publish-dlx"},
    {"dead-letter-exchange": ""},
    {"dead-letter-routing-key": "k"},
    {"dead-letter-strategy": "at-least-once"},
    {"delivery-limit": -1},
    {"consumer-timeout": 0},
    {"alternate-exchange": "x"},
    {"queue-mode": "lazy"},
    {"queue-version": 1},
    {"queue-leader-locator": "random"},
    {"max-age": "10D"},
    {"stream-filter-size-bytes": 16},
    {"delayed-retry-type": "disabled"},
    {"delayed-retry-type": "all", "delayed-retry-min": 5, "delayed-retry-max": 5},
]

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "no policy provided"),
    ({"message-ttl": -1}, "-1 is not a valid message TTL"),
    ({"message-ttl": "5"}, '<<"5">> is not a valid message TTL'),
    ({"message-ttl": 1.5}, "1.5 is not a valid message TTL"),
    ({"message-ttl": True}, "true is not a valid message TTL"),
    ({"message-ttl": None}, "null is not a valid message TTL"),
    ({"message-ttl": [1]}, "[1] is not a valid message TTL"),
    ({"message-ttl": {"a": 1}}, '#{<<"a">> => 1} is not a valid message TTL'),
    ({"expires": 0}, "0 is not a valid queue expiry"),
    ({"max-length": -1}, "-1 is not a valid maximum length"),
    ({"max-length-bytes": "5"}, '<<"5">> is not a valid maximum length in bytes'),
    ({"overflow": "x"}, '<<"x">> is not a valid overflow value'),
    ({"dead-letter-exchange": 5}, "5 is not a valid dead letter exchange name"),
    ({"dead-letter-routing-key": 5}, "5 is not a valid dead letter routing key"),
    ({"dead-letter-strategy": "x"}, '<<"x">> is not a valid dead letter strategy'),
    ({"delivery-limit": "a"}, '<<"a">> is not a valid delivery limit'),
    ({"consumer-timeout": -1}, "-1 is not a valid consumer timeout"),
    ({"alternate-exchange": 5}, "5 is not a valid alternate exchange name"),
    ({"queue-mode": "x"}, '<<"x">> is not a valid queue-mode value'),
    ({"queue-version": 3}, "3 is not a valid queue-version value"),
    ({"queue-leader-locator": 5}, "5 is not a valid queue leader locator value"),
    ({"max-age": "x"}, '<<"x">> is not a valid max age'),
    ({"stream-max-segment-size-bytes": -1}, "-1 is not a valid segment size"),
    ({"stream-filter-size-bytes": 5}, "5 is not a valid filter size. Valid range is 16-255"),
    ({"initial-cluster-size": -1}, "-1 is not a valid cluster size"),
    ({"max-in-memory-length": -1}, "-1 is not a valid maximum memory in bytes"),
    ({"target-group-size": 0}, "0 is not a valid qq target count value"),
    ({"delayed-retry-min": 0}, "0 is not a valid delayed retry minimum delay. Must be a positive integer"),
    ({"delayed-retry-type": "all"}, "delayed-retry-min is required when delayed-retry-type is all"),
    (
        {"delayed-retry-type": "all", "delayed-retry-min": 5, "delayed-retry-max": 3},
        "delayed-retry-max (3) must not be smaller than delayed-retry-min (5)",
    ),
    ({"foo": 1}, '[{<<"foo">>,1}] are not recognised policy settings'),
    ({"foo": ""}, '[{<<"foo">>,<<>>}] are not recognised policy settings'),
    ({"foo": 1, "Bar": [True, None]}, '[{<<"Bar">>,[true,null]},{<<"foo">>,1}] are not recognised policy settings'),
    ({"foo": 1, "message-ttl": -1}, "-1 is not a valid message TTL"),
    ({"message-ttl": -1, "expires": 0}, "0 is not a valid queue expiry"),
    ({"max-priority": 5}, '[{<<"max-priority">>,5}] are not recognised policy settings'),
    ({"": 5}, "[{<<>>,5}] are not recognised policy settings"),
]

FOR_OPERATORS = {
    "message-ttl",
    "expires",
    "max-length",
    "max-length-bytes",
    "max-in-memory-length",
    "max-in-memory-bytes",
    "overflow",
    "delivery-limit",
    "queue-version",
    "target-group-size",
    "delayed-retry-type",
    "delayed-retry-min",
    "delayed-retry-max",
}


@pytest.mark.parametrize("definition", ALLOWED, ids=str)
def test_allowed(definition: dict[str, Any]) -> None:
    Policies(False, Matcher(print)).check(policy(definition))


@pytest.mark.parametrize(("definition", "reason"), REFUSED, ids=str)
def test_refused(definition: dict[str, Any], reason: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        Policies(False, Matcher(print)).check(policy(definition))
    assert str(refusal.value) == f"Validation failed\n\n{reason}\n"


@pytest.mark.parametrize("definition", ALLOWED, ids=str)
def test_operator_policies_say_less(definition: dict[str, Any]) -> None:
    if definition.keys() <= FOR_OPERATORS:
        Policies(True, Matcher(print)).check(policy(definition))
    else:
        with pytest.raises(PolicyError, match="are not recognised policy settings"):
            Policies(True, Matcher(print)).check(policy(definition))


@pytest.mark.parametrize("pattern", ["(", "*", "[a", "(?P<a>x)(?P<a>y)", "a{99999999999}"])
def test_patterns_must_be_regular_expressions(pattern: str) -> None:
    with pytest.raises(PolicyError, match="pattern should be regular expression but is invalid"):
        policy({"max-length": 5}, pattern)


def test_apply_to_must_be_known() -> None:
    with pytest.raises(PolicyError) as refusal:
        Policies(False, Matcher(print)).check(policy({"max-length": 5}, to="Queues"))
    assert str(refusal.value) == (
        "Validation failed\n\napply-to 'Queues' unrecognised; should be one of: 'queues', 'classic_queues',  "
        "'quorum_queues', 'streams', 'exchanges', or 'all'\n"
    )


def test_a_refused_policy_changes_nothing() -> None:
    _, vhost = declared()
    vhost.set_policy(policy({"max-length": 5}))
    with pytest.raises(PolicyError):
        vhost.set_policy(policy({"max-length": -1}))
    assert vhost.policies.all["p"].definition == {"max-length": 5}
    assert vhost.queues["q"].settings.max_length == 5


# -- it reaches queues at once


def test_a_lower_limit_drops_from_the_head_at_once() -> None:
    peer, vhost = declared()
    publish(peer, b"1", b"2", b"3", b"4")
    vhost.set_policy(policy({"max-length": 2}))
    assert ready(peer) == [b"3", b"4"]


def test_a_lower_limit_drops_nothing_from_a_queue_that_rejects() -> None:
    peer, vhost = declared()
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    publish(peer, b"1", b"2")
    assert isinstance(peer.got()[-1].method, BasicAck)
    vhost.set_policy(policy({"max-length": 1, "overflow": "reject-publish"}))
    publish(peer, b"3")
    assert isinstance(peer.got()[-1].method, BasicNack)
    assert ready(peer) == [b"1", b"2"]


def test_a_limit_in_bytes() -> None:
    peer, vhost = declared()
    publish(peer, b"1234", b"12", b"1")
    vhost.set_policy(policy({"max-length-bytes": 3}))
    assert ready(peer) == [b"12", b"1"]
    vhost.delete_policy("p")
    publish(peer, b"12345")
    assert ready(peer) == [b"12345"]


def test_the_argument_stays_the_limit_when_it_is_lower() -> None:
    peer, vhost = declared(arguments={"x-max-length": long(2)})
    vhost.set_policy(policy({"max-length": 3}))
    publish(peer, b"1", b"2", b"3", b"4")
    assert ready(peer) == [b"3", b"4"]


def test_messages_keep_the_time_to_live_that_they_came_with() -> None:
    peer, vhost = declared()
    publish(peer, b"before")
    vhost.set_policy(policy({"message-ttl": 100}))
    publish(peer, b"under it")
    vhost.delete_policy("p")
    publish(peer, b"after")
    peer.broker.tick(99)
    assert len(vhost.queues["q"].ready) == 3
    peer.broker.tick(100)
    assert ready(peer) == [b"before", b"after"]


def test_the_idle_time_starts_with_the_policy() -> None:
    peer, vhost = declared()
    peer.broker.tick(1000)
    vhost.set_policy(policy({"expires": 100}))
    assert peer.broker.tick(1099) is not None
    assert "q" in vhost.queues
    peer.broker.tick(1100)
    assert "q" not in vhost.queues


def test_the_idle_time_can_be_made_longer_shorter_and_be_taken_back() -> None:
    peer, vhost = declared()
    vhost.set_policy(policy({"expires": 100}))
    peer.broker.tick(50)
    vhost.set_policy(policy({"expires": 500}))
    peer.broker.tick(549)
    assert "q" in vhost.queues
    vhost.delete_policy("p")
    peer.broker.tick(10_000)
    assert "q" in vhost.queues
    vhost.set_policy(policy({"expires": 500}))
    vhost.set_policy(policy({"expires": 100}))
    peer.broker.tick(10_100)
    assert "q" not in vhost.queues


def test_changes_of_the_idle_time_leave_no_timers_behind() -> None:
    peer, vhost = declared()
    for _ in range(50):
        vhost.set_policy(policy({"expires": 1000}))
    peer.broker.tick(500)
    assert peer.broker.timers.next_ms() == 1000
    peer.broker.tick(1000)
    assert peer.broker.timers.next_ms() not in (1000, 1001)


def test_a_queue_declared_later_is_under_it() -> None:
    peer, vhost = declared()
    vhost.set_policy(policy({"max-length": 1}, "^later"))
    peer.call(QueueDeclare("later"), QueueDeclareOk)
    publish(peer, b"1", b"2", queue="later")
    publish(peer, b"1", b"2")
    assert ready(peer, "later") == [b"2"]
    assert ready(peer) == [b"1", b"2"]


def test_a_better_policy_takes_the_place_of_another() -> None:
    _, vhost = declared()
    queue = vhost.queues["q"]
    vhost.set_policy(policy({"max-length": 5, "expires": 100}))
    vhost.set_policy(policy({"max-length": 9}, priority=1, name="better"))
    assert queue.policy is not None
    assert (queue.policy.name, queue.settings.max_length, queue.settings.expires_ms) == ("better", 9, -1)
    assert vhost.delete_policy("better")
    assert not vhost.delete_policy("better")
    assert (queue.policy.name, queue.settings.max_length) == ("p", 5)


def test_an_operator_policy_stands_beside_it() -> None:
    _, vhost = declared()
    queue = vhost.queues["q"]
    vhost.set_policy(policy({"max-length": 5, "dead-letter-exchange": "x"}))
    vhost.set_operator_policy(policy({"max-length": 2, "expires": 100}))
    assert (queue.settings.max_length, queue.settings.expires_ms, queue.settings.dead_letter_exchange) == (2, 100, "x")
    vhost.delete_policy("p")
    assert queue.policy is None
    assert queue.operator_policy is not None
    assert queue.settings.dead_letter_exchange is None
    assert vhost.delete_operator_policy("p")
    assert queue.operator_policy is None
    assert (queue.settings.max_length, queue.settings.expires_ms) == (-1, -1)


def test_a_queue_whose_policies_stay_the_same_notices_nothing() -> None:
    peer, vhost = declared()
    vhost.set_policy(policy({"expires": 100}))
    settings = vhost.queues["q"].settings
    peer.broker.tick(60)
    vhost.set_policy(policy({"expires": 100}, "something else", name="other"))
    assert vhost.queues["q"].settings is settings
    peer.broker.tick(100)
    assert "q" not in vhost.queues


# -- and exchanges


def test_an_alternate_exchange_by_policy() -> None:
    peer, vhost = declared()
    for name in ("x", "other"):
        peer.call(ExchangeDeclare(name, "fanout"), ExchangeDeclareOk)
    peer.call(QueueBind("q", "other", ""), QueueBindOk)
    peer.send(BasicPublish("x", "k"), b"1")  # the route is known from here on
    vhost.set_policy(policy({"alternate-exchange": "other"}, "^x$"))
    peer.send(BasicPublish("x", "k"), b"2")
    vhost.set_policy(policy({"alternate-exchange": "other"}, "^x$", to="queues"))
    peer.send(BasicPublish("x", "k"), b"3")
    vhost.set_policy(policy({"alternate-exchange": "other"}, "^x$", to="exchanges"))
    peer.send(BasicPublish("x", "k"), b"4")
    vhost.delete_policy("p")
    peer.send(BasicPublish("x", "k"), b"5")
    assert ready(peer) == [b"2", b"4"]


def test_the_argument_is_heard_before_the_policy() -> None:
    peer, vhost = declared()
    peer.call(ExchangeDeclare("other", "fanout"), ExchangeDeclareOk)
    peer.call(QueueBind("q", "other", ""), QueueBindOk)
    vhost.set_policy(policy({"alternate-exchange": "other"}))
    arguments = {"alternate-exchange": longstr("nowhere")}
    peer.call(ExchangeDeclare("x", "fanout", arguments=arguments), ExchangeDeclareOk)
    peer.call(ExchangeDeclare("y", "fanout"), ExchangeDeclareOk)
    peer.send(BasicPublish("x", "k"), b"1")
    peer.send(BasicPublish("y", "k"), b"2")
    peer.send(BasicPublish("amq.fanout", "k"), b"3")
    peer.send(BasicPublish("", "no such queue"), b"4")
    assert ready(peer) == [b"2", b"3"]


# -- over a restart


def start(directory: Path) -> tuple[Broker, ChunkLog]:
    """A broker with what the directory keeps."""
    log = ChunkLog(open_database(directory), lambda: None)
    broker = Broker(log, log, Clock(), seed=1, node="test")
    log.listener = broker.news
    broker.recover()
    return broker, log


def test_policies_survive_a_restart(tmp_path: Path) -> None:
    broker, log = start(tmp_path)
    vhost = broker.vhosts["/"]
    vhost.declare_queue("q", True, False, False, {"x-max-length": long(7)}, 1, Origin("c", "u", 5000))
    vhost.declare_exchange("x", "fanout", True, False, False, {}, Origin("d", "v", 6000))
    definition = {"max-length": 5, "dead-letter-exchange": "ü", "alternate-exchange": "other", "expires": 10**9}
    vhost.set_policy(policy(definition, "^[qx]$", -3))
    vhost.set_policy(policy({"max-length": 1}, name="short-lived", priority=9))
    vhost.set_operator_policy(policy({"max-length": 4}, to="queues"))
    vhost.delete_policy("short-lived")
    log.close()

    broker, log = start(tmp_path)
    vhost = broker.vhosts["/"]
    assert list(vhost.policies.all) == ["p"]
    kept = vhost.policies.all["p"]
    assert (kept.pattern, kept.priority, kept.apply_to, kept.definition) == ("^[qx]$", -3, "all", definition)
    assert list(vhost.operator_policies.all) == ["p"]
    queue, exchange = vhost.queues["q"], vhost.exchanges["x"]
    assert queue.policy is kept
    assert exchange.policy is kept
    assert (queue.settings.max_length, queue.settings.dead_letter_exchange) == (4, "ü")
    assert exchange.alternate == "other"
    assert str(queue.origin) == "declared by user 'u' on connection c at 1970-01-01 00:00:05 UTC"
    assert str(exchange.origin) == "declared by user 'v' on connection d at 1970-01-01 00:00:06 UTC"
    log.close()


def test_get_sees_what_is_left() -> None:
    peer, vhost = declared()
    publish(peer, b"1", b"2", b"3")
    vhost.set_policy(policy({"max-length": 2}))
    peer.send(BasicGet("q"))
    (got,) = peer.got()
    assert isinstance(got.method, BasicGetOk)
    assert (got.body, got.method.message_count) == (b"2", 1)
