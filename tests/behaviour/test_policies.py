"""Policies and operator policies: which one applies, what counts beside arguments, and that it counts at once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.administration import Administration, RefusedError
from tests.clients.methods import QueueDeclare
from tests.clients.methods_basic import BasicAck, BasicGet, BasicGetOk, BasicNack, BasicReject, BasicReturn
from tests.clients.peer import Channel, Peer
from tests.clients.waiting import eventually
from tests.marks import differs_from_rabbitmq

from .conftest import Names

VHOST = f"behaviour-policies-{os.getpid():x}"
FIVE = [b"1", b"2", b"3", b"4", b"5"]
FIRST, LAST = FIVE[:2], FIVE[3:]  # of a queue with room for two


class Policies:
    """Sets policies of the virtual host until the end of the test."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration
        self._set: set[tuple[str, bool]] = set()

    def set(self, definition: dict[str, Any], name: str = "p", operator: bool = False, **more: Any) -> None:
        """Set a policy. more: pattern, priority, apply_to."""
        named = {key.replace("_", "-"): value for key, value in more.items()}
        self._administration.set_policy(VHOST, name, {"pattern": "", "definition": definition, **named}, operator)
        self._set.add((name, operator))

    def clear(self, name: str = "p", operator: bool = False) -> None:
        """Delete a policy."""
        self._administration.clear_policy(VHOST, name, operator)
        self._set.remove((name, operator))

    def clear_all(self) -> None:
        """Delete what is left."""
        for name, operator in list(self._set):
            self.clear(name, operator)


@pytest.fixture(scope="module", autouse=True)
def vhost(administration: Administration) -> None:
    """A virtual host of its own: policies for everything reach nothing else."""
    administration.add_vhost(VHOST)


@pytest.fixture
def policies(administration: Administration) -> Iterator[Policies]:
    """No policy is left over from one test to the next."""
    policies = Policies(administration)
    yield policies
    policies.clear_all()


@pytest.fixture
def channel(amqp_address: tuple[str, int]) -> Iterator[Channel]:
    """A channel in the virtual host, with confirms."""
    peer = Peer(amqp_address).login(vhost=VHOST)
    channel = peer.channel()
    channel.confirm()
    yield channel
    peer.link.close()


def declare(channel: Channel, names: Names, type_: str = "classic", /, **arguments: Any) -> str:
    """Declare a queue that lives as long as the virtual host."""
    named: dict[str, Any] = {"x_queue_type": type_, **arguments}
    return channel.queue(names.plain(), exclusive=False, durable=True, **named)


def kept(channel: Channel, queue: str) -> list[bytes]:
    """Return which of five messages a queue keeps; it is empty then."""
    for body in FIVE:
        channel.publish(queue, body)
        assert isinstance(channel.next(), BasicAck | BasicNack)
    return channel.bodies(queue)


def expect_kept(channel: Channel, queue: str, expected: list[bytes]) -> None:
    """Wait until a queue keeps these: a change may need a moment to reach it."""
    eventually(lambda: kept(channel, queue) == expected)


# -- which one applies


@pytest.mark.parametrize(("pattern", "applies"), [("l.te", True), ("^pre", True), ("^late", False), ("LATE", False)])
def test_patterns_are_searched(channel: Channel, policies: Policies, pattern: str, applies: bool) -> None:
    policies.set({"max-length": 2}, pattern=pattern)
    assert kept(channel, channel.queue("prelates")) == (LAST if applies else FIVE)


@pytest.mark.parametrize(
    ("pattern", "applies"),
    [
        (r"^(?!amq\.)", True),
        ("^(?!prel)", False),
        ("(?<!pre)lates$", False),
        ("^[[:alpha:]]+$", True),
        (r"^\Qprelates\E$", True),
        (r"\x{70}\x72e", True),
        ("p(?i)RELATES", True),
        ("^.{8}$", True),
        (r"S\z", False),
    ],
)
def test_patterns_are_of_pcre(channel: Channel, policies: Policies, pattern: str, applies: bool) -> None:
    policies.set({"max-length": 2}, pattern=pattern)
    assert kept(channel, channel.queue("prelates")) == (LAST if applies else FIVE)


def test_patterns_are_searched_in_bytes(channel: Channel, policies: Policies) -> None:
    policies.set({"max-length": 2}, pattern="^.{9}$")
    assert kept(channel, channel.queue("prélates")) == LAST


@pytest.mark.parametrize("pattern", ["^(a|aa)+$", "^(a+)+$", "(a|aa)+$"])
def test_a_pattern_that_takes_too_many_steps_matches_nothing(
    channel: Channel, policies: Policies, pattern: str
) -> None:
    policies.set({"max-length": 2}, pattern=pattern)
    assert kept(channel, channel.queue("a" * 100 + "!")) == FIVE
    assert kept(channel, channel.queue("a" * 100)) == LAST


@pytest.mark.parametrize("apply_to", ["all", "queues", "classic_queues", "quorum_queues", "streams", "exchanges"])
@pytest.mark.parametrize("type_", ["classic", "quorum"])
def test_apply_to(channel: Channel, names: Names, policies: Policies, type_: str, apply_to: str) -> None:
    policies.set({"max-length": 2}, apply_to=apply_to)
    applies = apply_to in ("all", "queues", f"{type_}_queues")
    assert kept(channel, declare(channel, names, type_)) == (LAST if applies else FIVE)


def test_the_highest_priority_wins(channel: Channel, names: Names, policies: Policies) -> None:
    policies.set({"max-length": 2, "message-ttl": 0}, "low", priority=-1)
    policies.set({"max-length": 3}, "high", priority=1)
    policies.set({"max-length": 4}, "middle")
    queue = declare(channel, names)
    assert kept(channel, queue) == FIVE[2:]
    policies.set({"expires": 600_000}, "high", priority=1)
    expect_kept(channel, queue, FIVE)
    policies.clear("high")
    expect_kept(channel, queue, FIVE[1:])


# -- beside each other, and beside arguments

SOON, LATE = 20, 600_000

# Key, value of the argument, of the policy, of the operator policy; None: not set. The lowest is 2 or SOON.
LIMITS: list[tuple[str, int | None, int | None, int | None]] = [
    (key, *values)
    for key, low, high in (("max-length", 2, 4), ("max-length-bytes", 2, 4), ("message-ttl", SOON, LATE))
    for values in (
        (None, low, None),
        (None, None, low),
        (None, low, high),
        (None, high, low),
        (low, high, None),
        (high, low, None),
        (high, None, low),
        (high, high, low),
    )
]


def set_limits(policies: Policies, key: str, said: int | None, operator: int | None) -> None:
    """Set the policies that say something."""
    if said is not None:
        policies.set({key: said})
    if operator is not None:
        policies.set({key: operator}, operator=True)


@pytest.mark.parametrize(("key", "argument", "said", "operator"), LIMITS)
def test_the_lowest_limit_counts(
    channel: Channel,
    names: Names,
    policies: Policies,
    key: str,
    argument: int | None,
    said: int | None,
    operator: int | None,
) -> None:
    set_limits(policies, key, said, operator)
    arguments: dict[str, Any] = {} if argument is None else {f"x-{key}": argument}
    queue = declare(channel, names, **arguments)
    if key == "message-ttl":
        channel.confirmed(queue, b"x")
        time.sleep(0.06)
        assert channel.bodies(queue) == []
    else:
        assert kept(channel, queue) == LAST


@pytest.mark.parametrize(
    ("argument", "said", "operator"),
    [(None, 150, None), (None, LATE, 150), (None, 150, LATE), (150, LATE, None), (LATE, 150, None)],
)
def test_the_lowest_idle_time_counts(
    channel: Channel, names: Names, policies: Policies, argument: int | None, said: int, operator: int | None
) -> None:
    set_limits(policies, "expires", said, operator)
    queue = declare(channel, names, **({} if argument is None else {"x_expires": argument}))
    channel.pause(0.6)
    text = f"no queue '{queue}' in vhost '{VHOST}'"
    channel.expect_refused(QueueDeclare(queue=queue, passive=True), 404, text)


def refuses(channel: Channel, queue: str) -> bool:
    """Whether the queue refuses messages when it is full; quorum queues of RabbitMQ need a moment for that."""
    for _ in range(30):
        channel.publish(queue, b"x")
        if isinstance(channel.next(), BasicNack):
            return True
    return False


@pytest.mark.parametrize(
    ("type_", "argument", "said", "operator", "refused"),
    [
        ("classic", None, "reject-publish", None, True),
        ("classic", None, "drop-head", "reject-publish", True),
        ("classic", None, "reject-publish", "drop-head", False),
        ("classic", "drop-head", "reject-publish", None, False),
        ("classic", "reject-publish", "drop-head", None, True),
        ("quorum", None, "reject-publish", None, True),
        ("quorum", None, "drop-head", "reject-publish", True),
        ("quorum", "drop-head", "reject-publish", None, True),
        ("quorum", "reject-publish", "drop-head", None, False),
    ],
)
def test_overflow(
    channel: Channel,
    names: Names,
    policies: Policies,
    type_: str,
    argument: str | None,
    said: str,
    operator: str | None,
    refused: bool,
) -> None:
    policies.set({"max-length": 2, "overflow": said})
    if operator is not None:
        policies.set({"overflow": operator}, operator=True)
    queue = declare(channel, names, type_, **({} if argument is None else {"x_overflow": argument}))
    assert refuses(channel, queue) == refused


def deliveries(channel: Channel, queue: str, most: int) -> int:
    """How often a message is delivered until it is gone, if that is not too often."""
    channel.confirmed(queue, b"x")
    count = misses = 0
    patience = time.monotonic() + 0.3
    while count < most and (misses < 5 or time.monotonic() < patience):
        misses += 1
        channel.send(BasicGet(queue=queue))
        got = channel.next()
        if isinstance(got, BasicGetOk):
            count, misses = count + 1, 0
            channel.send(BasicReject(delivery_tag=got.delivery_tag, requeue=True))
            patience = time.monotonic() + 0.3
    return count


@pytest.mark.parametrize(
    ("argument", "said", "operator", "limit"),
    [
        (None, 2, None, 2),
        (None, 2, 1, 1),
        (None, 1, 2, 1),
        (1, 2, None, 1),
        (2, 1, None, 1),
        (-1, 2, None, 2),
        (2, -1, None, 2),
        (None, -1, 2, 2),
    ],
)
def test_delivery_limit(
    channel: Channel,
    names: Names,
    policies: Policies,
    argument: int | None,
    said: int,
    operator: int | None,
    limit: int,
) -> None:
    set_limits(policies, "delivery-limit", said, operator)
    queue = declare(channel, names, "quorum", **({} if argument is None else {"x_delivery_limit": argument}))
    assert deliveries(channel, queue, limit + 2) == limit + 1


LONG_MS = 600_000
Delays = dict[str, int | str]


@pytest.mark.parametrize(
    ("argument", "said", "operator", "waits"),
    [
        ({}, {"type": "all", "min": LONG_MS}, None, True),
        ({"type": "all"}, {"min": LONG_MS}, None, True),
        ({"type": "all", "min": LONG_MS}, {"type": "disabled"}, None, False),
        ({"type": "disabled", "min": LONG_MS}, {"type": "all", "min": LONG_MS}, None, True),
        ({"type": "all", "min": LONG_MS}, {"min": 1}, None, False),
        ({"type": "all", "min": 1}, {"min": LONG_MS}, None, False),
        ({"type": "all", "min": LONG_MS, "max": LONG_MS}, {"max": 1}, None, False),
        ({"type": "all", "min": LONG_MS, "max": 1}, {"max": LONG_MS}, None, False),
        ({}, {"type": "all", "min": LONG_MS}, {"type": "disabled"}, False),
        ({}, {"type": "all", "min": 1}, {"min": LONG_MS}, True),
        ({}, {"type": "all", "min": LONG_MS}, {"min": 1}, True),
        ({}, {"type": "all", "min": LONG_MS, "max": LONG_MS}, {"max": 1}, False),
        ({}, {"type": "all", "min": 1, "max": 1}, {"min": LONG_MS, "max": LONG_MS}, False),
    ],
    ids=str,
)
def test_delayed_retries(
    channel: Channel, names: Names, policies: Policies, argument: Delays, said: Delays, operator: Delays, waits: bool
) -> None:
    policies.set({f"delayed-retry-{name}": value for name, value in said.items()})
    if operator is not None:
        policies.set({f"delayed-retry-{name}": value for name, value in operator.items()}, operator=True)
    queue = declare(channel, names, "quorum", **{f"x_delayed_retry_{name}": each for name, each in argument.items()})
    channel.confirmed(queue, b"x")
    channel.send(BasicReject(delivery_tag=channel.get(queue).delivery_tag, requeue=True))
    if waits:
        channel.pause(0.2)
    channel.expect_ready(queue, 0 if waits else 1)


@pytest.mark.parametrize("by_argument", [(), ("exchange",), ("exchange", "routing_key")], ids=str)
def test_dead_letters(channel: Channel, names: Names, policies: Policies, by_argument: tuple[str, ...]) -> None:
    ways = {way: channel.exchange(names.plain(), "direct") for way in ("argument", "policy")}
    for exchange in ways.values():
        for key in ways:
            channel.bind(channel.queue(f"{exchange}-{key}"), exchange, key)
    policies.set({"dead-letter-exchange": ways["policy"], "dead-letter-routing-key": "policy"})
    values = {"exchange": ways["argument"], "routing_key": "argument"}
    queue = declare(channel, names, **{f"x_dead_letter_{name}": values[name] for name in by_argument})
    channel.confirmed(queue, b"x")
    channel.send(BasicReject(delivery_tag=channel.get(queue).delivery_tag))
    exchange = ways["argument" if "exchange" in by_argument else "policy"]
    key = "argument" if "routing_key" in by_argument else "policy"
    channel.expect_ready(f"{exchange}-{key}", 1)


def returned(channel: Channel, exchange: str) -> bool:
    """Whether a message to the exchange comes back."""
    channel.publish("k", b"x", exchange=exchange, mandatory=True)
    found = channel.next()
    if isinstance(found, BasicReturn):
        channel.expect(BasicAck)
        return True
    assert isinstance(found, BasicAck)
    return False


@pytest.mark.parametrize("apply_to", ["all", "exchanges"])
def test_alternate_exchange(channel: Channel, names: Names, policies: Policies, apply_to: str) -> None:
    queue = channel.queue()
    channel.bind(queue, "amq.fanout")
    before = channel.exchange(names.plain(), "direct")
    assert returned(channel, before)
    policies.set({"alternate-exchange": "amq.fanout"}, apply_to=apply_to)
    after = channel.exchange(names.plain(), "direct")
    other = channel.exchange(names.plain(), "direct", alternate_exchange="nowhere")
    assert not returned(channel, after)
    eventually(lambda: not returned(channel, before))
    assert returned(channel, other)
    channel.delete_exchanges(before, after, other)


def test_alternate_exchange_is_nothing_for_queues(channel: Channel, names: Names, policies: Policies) -> None:
    channel.bind(channel.queue(), "amq.fanout")
    policies.set({"alternate-exchange": "amq.fanout"}, apply_to="queues")
    exchange = channel.exchange(names.plain(), "direct")
    assert returned(channel, exchange)
    channel.delete_exchanges(exchange)


# -- changes


def test_changes_reach_queues_that_exist(channel: Channel, names: Names, policies: Policies) -> None:
    queue = declare(channel, names)
    assert kept(channel, queue) == FIVE
    policies.set({"max-length": 2})
    expect_kept(channel, queue, LAST)
    policies.set({"max-length": 3})
    expect_kept(channel, queue, FIVE[2:])
    policies.set({"max-length": 1}, operator=True)
    expect_kept(channel, queue, FIVE[4:])
    policies.clear(operator=True)
    policies.clear()
    expect_kept(channel, queue, FIVE)


def test_a_lower_limit_drops_what_is_there(channel: Channel, names: Names, policies: Policies) -> None:
    queue = declare(channel, names)
    channel.confirmed(queue, *FIVE)
    policies.set({"max-length": 2})
    channel.expect_ready(queue, 2)
    assert channel.bodies(queue) == LAST


# -- what may be said

KEYS: list[dict[str, Any]] = [
    {"message-ttl": 0},
    {"expires": 1},
    {"max-length": 0},
    {"max-length-bytes": 0},
    {"overflow": "reject-publish-dlx"},
    {"dead-letter-exchange": ""},
    {"dead-letter-routing-key": "k"},
    {"queue-version": 2},
    {"alternate-exchange": "x"},
]


@pytest.mark.parametrize("definition", KEYS, ids=str)
def test_keys(policies: Policies, definition: dict[str, Any]) -> None:
    policies.set(definition, pattern="^behaviour-none$")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"max-priority": 5}, '[{<<"max-priority">>,5}] are not recognised policy settings'),
    (
        {"single-active-consumer": True},
        '[{<<"single-active-consumer">>,true}] are not recognised policy settings',
    ),
    ({"durable": True}, '[{<<"durable">>,true}] are not recognised policy settings'),
    ({"message-ttl": -1}, "-1 is not a valid message TTL"),
    ({"expires": 0}, "0 is not a valid queue expiry"),
    ({"max-length": "5"}, '<<"5">> is not a valid maximum length'),
    ({"overflow": "drop-tail"}, '<<"drop-tail">> is not a valid overflow value'),
    ({}, "no policy provided"),
]


@pytest.mark.parametrize(("definition", "reason"), REFUSED, ids=str)
def test_refused(policies: Policies, definition: dict[str, Any], reason: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        policies.set(definition, pattern="^behaviour-none$")
    assert str(refusal.value).removeprefix("Validation failed").strip() == reason


@pytest.mark.parametrize("operator", [False, True])
@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "missing closing parenthesis"),
        ("^[:alpha:]+$", "POSIX named classes are supported only within a class"),
        ("[[:nonsense:]]", "unknown POSIX class name"),
        ("[a", "missing terminating ] for character class"),
        ("*", "quantifier does not follow a repeatable item"),
        ("a{3,1}", "numbers out of order in {} quantifier"),
        ("a{70000}", "number too big in {} quantifier"),
        ("(((a{1,100}){1,100}){1,100}){1,100}", "regular expression is too large"),
        ("(?<=a+)b", "length of lookbehind assertion is not limited"),
        ("(*NONSENSE)a", "(*VERB) not recognized or malformed"),
        (r"\u0041", "PCRE2 does not support"),
        (r"\xg", "digits missing after"),
        (r"\x{zz}", "non-hex character in"),
        (r"\x{141}", "is too large"),
    ],
)
def test_patterns_that_are_refused(policies: Policies, pattern: str, reason: str, operator: bool) -> None:
    with pytest.raises(RefusedError) as refusal:
        policies.set({"expires": 600_000}, operator=operator, pattern=pattern)
    text = str(refusal.value).removeprefix("Validation failed").strip()
    assert text.startswith("pattern should be regular expression but is invalid: ")
    assert reason in text


def test_the_length_of_a_pattern(policies: Policies) -> None:
    policies.set({"expires": 600_000}, pattern="é" * 512)
    with pytest.raises(RefusedError) as refusal:
        policies.set({"expires": 600_000}, "q", pattern="é" * 512 + "a")
    assert str(refusal.value).removeprefix("Validation failed").strip() == "pattern must not exceed 1024 bytes"


@pytest.mark.parametrize("key", ["dead-letter-exchange", "dead-letter-routing-key", "alternate-exchange"])
def test_refused_to_operators(policies: Policies, key: str) -> None:
    with pytest.raises(RefusedError, match="are not recognised policy settings"):
        policies.set({key: "x"}, operator=True, pattern="^behaviour-none$")


# -- numbers of any size, and what is no value at all

NUMBERS = [315_360_000_001, (1 << 63) - 1, 1 << 63, 10**20, 10**400]  # the first: more than an argument may say


def bits(number: object) -> str:
    """A name for a case: how large the number is."""
    return f"{number.bit_length()} bits" if isinstance(number, int) else str(number)


def stays(channel: Channel, queue: str) -> None:
    """A message goes in, out, back and out again."""
    channel.confirmed(queue, b"x")
    time.sleep(0.05)
    message = channel.get(queue)
    assert message.body == b"x"
    channel.send(BasicNack(delivery_tag=message.delivery_tag, requeue=True))
    channel.expect_ready(queue, 1)
    assert channel.bodies(queue) == [b"x"]


@pytest.mark.parametrize("number", NUMBERS, ids=bits)
@pytest.mark.parametrize("key", ["max-length", "max-length-bytes", "delivery-limit"])
@pytest.mark.parametrize("type_", ["classic", "quorum"])
def test_counts_of_any_size(
    channel: Channel, names: Names, policies: Policies, type_: str, key: str, number: int
) -> None:
    before = declare(channel, names, type_)
    policies.set({key: number})
    stays(channel, before)
    stays(channel, declare(channel, names, type_))


@pytest.mark.parametrize("key", ["expires", "message-ttl", "consumer-timeout"])
@pytest.mark.parametrize("type_", ["classic", "quorum"])
def test_times_of_more_than_ten_years(channel: Channel, names: Names, policies: Policies, type_: str, key: str) -> None:
    before = declare(channel, names, type_)
    policies.set({key: NUMBERS[0]})
    stays(channel, before)
    stays(channel, declare(channel, names, type_))


@differs_from_rabbitmq("the process of the queue fails with a time that no timer of Erlang can have")
@pytest.mark.parametrize("number", NUMBERS[1:], ids=bits)
@pytest.mark.parametrize(
    ("type_", "key"),
    [("classic", "expires"), ("classic", "message-ttl"), ("quorum", "consumer-timeout")],
)
def test_times_that_never_come(
    channel: Channel, names: Names, policies: Policies, type_: str, key: str, number: int
) -> None:
    before = declare(channel, names, type_)
    policies.set({key: number})
    stays(channel, before)
    stays(channel, declare(channel, names, type_))


def test_priorities_of_any_size(channel: Channel, names: Names, policies: Policies) -> None:
    policies.set({"max-length": 2}, "high", priority=10**20 + 1)
    policies.set({"max-length": 3}, "low", priority=10**20)
    policies.set({"max-length": 4}, "lowest", priority=-(10**20))
    assert kept(channel, declare(channel, names)) == LAST


@pytest.mark.parametrize("value", [True, 1.0, 1e3, "5", None, [1], {"a": 1}, float("inf"), float("nan"), "\ud800"])
def test_what_is_no_number(policies: Policies, value: object) -> None:
    with pytest.raises(RefusedError):
        policies.set({"max-length": value})


@pytest.mark.parametrize("definition", [{"dead-letter-exchange": "\ud800"}, {"\ud800": 1}])
def test_what_is_no_text(policies: Policies, definition: dict[str, object]) -> None:
    with pytest.raises(RefusedError):
        policies.set(definition)
    with pytest.raises(RefusedError):
        policies.set({"max-length": 1}, pattern="\udcff")
