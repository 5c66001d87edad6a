"""The table of all settings of queues and exchanges, by x-argument or by policy.

One row describes one setting: its names as argument and policy key, its valid values and range, the queue types that
support it, and which value takes precedence when the argument, the policy and the operator policy all set it.
QueueSettings is the result, computed when a queue is declared and when a policy changes; a queue reads its settings,
never a policy.
Unknown arguments are stored without effect, as in RabbitMQ.
Source: rabbit_amqqueue.erl (declare_args), the capabilities of the rabbit_*_queue.erl, rabbit_policies.erl,
rabbit_amqqueue_process.erl (process_args_policy), rabbit_quorum_queue.erl (gather_policy_config).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leveret.core.errors.bounds import COUNT, MILLISECONDS, PRIORITY, SIGNED_COUNT, Range
from leveret.core.errors.refusals import (
    UNFIT,
    UNSUPPORTED,
    Refusal,
    argument_of_other_type,
    invalid_argument,
    invalid_property,
    server_named,
)
from leveret.core.policy import checks
from leveret.wire.fields import BINARY, LONGSTR, Field, Table

Definition = dict[str, object]  # of a policy: JSON values, by key

CLASSIC: Final = "classic"
QUORUM: Final = "quorum"
STREAM: Final = "stream"

MESSAGE_ID: Final = "message-id"  # the property; any other value names a header
DEDUPLICATION: Final = "x-message-deduplication"  # exchange type, and argument of exchanges and queues
DEDUPLICATION_HEADER: Final = "x-deduplication-header"  # whose value identifies a message

QUORUM_DELIVERY_LIMIT: Final = 20  # the default, as in rabbit_quorum_queue.erl

# Precedence of two values. First: the argument (second: the policy), or the policy (second: the operator policy).
NEVER: Final = 0  # only one of them can set it
LOWER: Final = 1
LOWER_LIMIT: Final = 2  # the same, but a negative value means no limit, so it is the higher one
FIRST: Final = 3
SECOND: Final = 4
FIRST_IF_CLASSIC: Final = 5  # the second in other queue types
HIGHER: Final = 6


class Argument:
    """One row of the table.

    name: of the x-argument, empty for a policy-only setting. key: in a policy, empty for an argument-only setting.
    types: queue types that support the argument. passes_by: queue types to which no policy with this key applies.
    check: returns the error in an argument's value; None accepts all. test: whether a policy may have a value.
    called: the setting's name in RabbitMQ's "is not a valid". wants: the valid values, as text.
    counts: the range of numbers; others are clamped to it.
    against_policy: precedence of argument and policy. against_operator: precedence of policy and operator policy.
    """

    __slots__ = (
        "against_operator",
        "against_policy",
        "called",
        "check",
        "counts",
        "key",
        "name",
        "passes_by",
        "test",
        "types",
        "wants",
    )

    def __init__(
        self,
        name: str,
        key: str,
        types: tuple[str, ...],
        *,
        check: Callable[[Field], str | None] | None = None,
        wants: str = "",
        test: Callable[[object], bool] = checks.is_integer,
        called: str = "",
        counts: Range = COUNT,
        against_policy: int = NEVER,
        against_operator: int = NEVER,
        passes_by: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.key = key
        self.types = types
        self.check = check
        self.wants = wants
        self.test = test
        self.called = called
        self.counts = counts
        self.against_policy = against_policy
        self.against_operator = against_operator
        self.passes_by = passes_by


_ALL: Final = (CLASSIC, QUORUM, STREAM)
_QUEUES: Final = (CLASSIC, QUORUM)
_C: Final = (CLASSIC,)
_Q: Final = (QUORUM,)
_S: Final = (STREAM,)
_MILLISECONDS: Final = "milliseconds, a whole number"
_COUNT: Final = "a whole number from 0"
_RATE: Final = f"messages a second, a number from {checks.MIN_RATE} to {checks.MAX_RATE}"
_HEADER: Final = "the name of a header"
_EXCHANGE: Final = "the name of an exchange; the empty one is the default exchange"

# fmt: off
TABLE: Final = (  # in the order of RabbitMQ's checks
    Argument("x-expires", "expires", _QUEUES, check=checks.expires, wants=f"{_MILLISECONDS} from 1 to ten years",
             counts=MILLISECONDS,
             test=checks.is_positive, called="queue expiry", against_policy=LOWER, against_operator=LOWER),
    Argument("x-message-ttl", "message-ttl", _QUEUES, check=checks.time_to_live,
             wants=f"{_MILLISECONDS} from 0 to ten years", counts=MILLISECONDS,
             test=checks.is_not_negative, called="message TTL", against_policy=LOWER, against_operator=LOWER),
    Argument("x-dead-letter-exchange", "dead-letter-exchange", _QUEUES, check=checks.text, wants=_EXCHANGE,
             test=checks.is_text, called="dead letter exchange name", against_policy=FIRST),
    Argument("x-dead-letter-routing-key", "dead-letter-routing-key", _QUEUES, check=checks.text,
             wants="a text, beside x-dead-letter-exchange",
             test=checks.is_text, called="dead letter routing key", against_policy=FIRST),
    Argument("x-dead-letter-strategy", "dead-letter-strategy", _QUEUES, check=checks.strategy,
             wants=" or ".join(checks.STRATEGIES),
             test=checks.is_strategy, called="dead letter strategy", against_policy=FIRST),
    Argument("x-max-length", "max-length", _QUEUES, check=checks.not_negative, wants=_COUNT,
             test=checks.is_not_negative, called="maximum length", against_policy=LOWER, against_operator=LOWER),
    Argument("x-max-length-bytes", "max-length-bytes", _ALL, check=checks.not_negative, wants=_COUNT,
             test=checks.is_not_negative, called="maximum length in bytes",
             against_policy=LOWER, against_operator=LOWER),
    Argument("x-max-in-memory-length", "max-in-memory-length", _Q, check=checks.not_negative, wants=_COUNT,
             test=checks.is_not_negative, called="maximum memory in bytes",
             against_policy=LOWER, against_operator=LOWER, passes_by=_C),
    Argument("x-max-in-memory-bytes", "max-in-memory-bytes", _Q, check=checks.not_negative, wants=_COUNT,
             test=checks.is_not_negative, called="maximum memory in bytes",
             against_policy=LOWER, against_operator=LOWER, passes_by=_C),
    Argument("x-max-priority", "", _C, check=checks.priority,
             wants="a whole number from 0 to 255", counts=PRIORITY),
    Argument("x-overflow", "overflow", _QUEUES, check=checks.overflow, wants=", ".join(checks.OVERFLOWS),
             test=checks.is_overflow, called="overflow value",
             against_policy=FIRST_IF_CLASSIC, against_operator=SECOND),
    Argument("x-queue-mode", "queue-mode", _C, test=checks.is_mode, called="queue-mode value",
             against_policy=FIRST, passes_by=_Q),
    Argument("x-queue-version", "queue-version", _C, check=checks.queue_version, wants="1 or 2",
             test=checks.is_queue_version, called="queue-version value",
             against_policy=FIRST, against_operator=SECOND),
    Argument("x-single-active-consumer", "", _QUEUES, check=checks.boolean, wants="true or false"),
    Argument("x-queue-type", "", _ALL, check=checks.queue_type, wants="classic or quorum"),
    Argument("x-quorum-initial-group-size", "", _Q, check=checks.positive, wants="a whole number from 1"),
    Argument("x-max-age", "max-age", _S, test=checks.is_age, called="max age", passes_by=_QUEUES),
    Argument("x-stream-max-segment-size-bytes", "stream-max-segment-size-bytes", _S,
             test=checks.is_not_negative, called="segment size", passes_by=_QUEUES),
    Argument("x-stream-filter-size-bytes", "stream-filter-size-bytes", _S,
             test=checks.is_filter_size, called="filter size. Valid range is 16-255"),
    Argument("x-initial-cluster-size", "initial-cluster-size", _S,
             test=checks.is_not_negative, called="cluster size", passes_by=_QUEUES),
    Argument("x-queue-master-locator", "queue-master-locator", _C,
             test=checks.is_text, called="queue master locator value", against_policy=FIRST),
    Argument("x-queue-leader-locator", "queue-leader-locator", _ALL, check=checks.locator,
             wants=", ".join(checks.LOCATORS),
             test=checks.is_locator, called="queue leader locator value", against_policy=FIRST),
    Argument("x-delivery-limit", "delivery-limit", _QUEUES,  # unchecked, as in RabbitMQ; a non-number is ignored
             test=checks.is_integer, called="delivery limit", counts=SIGNED_COUNT,
             against_policy=LOWER_LIMIT, against_operator=LOWER_LIMIT),
    Argument("x-consumer-timeout", "consumer-timeout", _QUEUES, check=checks.not_negative,
             wants=f"{_MILLISECONDS} from 0", counts=MILLISECONDS,
             test=checks.is_not_negative, called="consumer timeout", against_policy=LOWER),
    Argument("x-consumer-disconnected-timeout", "consumer-disconnected-timeout", _Q, check=checks.not_negative,
             wants=f"{_MILLISECONDS} from 0", counts=MILLISECONDS,
             test=checks.is_not_negative, called="consumer disconnected timeout", against_policy=LOWER),
    Argument("x-delayed-retry-type", "delayed-retry-type", _QUEUES, test=checks.is_retry_type,
             called="delayed retry type. Must be one of: all, failed, returned, disabled",
             against_policy=SECOND, against_operator=SECOND),
    Argument("x-delayed-retry-min", "delayed-retry-min", _QUEUES, test=checks.is_positive,
             called="delayed retry minimum delay. Must be a positive integer", counts=MILLISECONDS,
             against_policy=LOWER, against_operator=HIGHER),
    Argument("x-delayed-retry-max", "delayed-retry-max", _QUEUES, test=checks.is_positive,
             called="delayed retry maximum delay. Must be a positive integer", counts=MILLISECONDS,
             against_policy=LOWER, against_operator=LOWER),
    Argument("x-paused", "paused", _QUEUES, check=checks.boolean, wants="true or false",
             test=checks.is_boolean, called="paused value", against_policy=SECOND, against_operator=SECOND),
    Argument("x-delivery-rate", "delivery-rate", _QUEUES, check=checks.rate, wants=_RATE,
             test=checks.is_rate, called=f"delivery rate. Must be {_RATE}",
             against_policy=LOWER, against_operator=LOWER),
    Argument("x-delivery-burst", "delivery-burst", _QUEUES, check=checks.positive, wants="a whole number from 1",
             test=checks.is_positive, called="delivery burst", against_policy=LOWER, against_operator=LOWER),
    Argument("x-max-prefetch", "max-prefetch", _QUEUES, check=checks.positive, wants="a whole number from 1",
             test=checks.is_positive, called="maximum prefetch", against_policy=LOWER, against_operator=LOWER),
    Argument("x-consumer-order", "consumer-order", _QUEUES, check=checks.order, wants=" or ".join(checks.ORDERS),
             test=checks.is_order, called="consumer order", against_policy=FIRST),
    Argument("x-hold-until-header", "hold-until-header", _QUEUES, check=checks.header_name, wants=_HEADER,
             test=checks.is_header_name, called="header name", against_policy=FIRST),
    Argument("x-deduplicate-by", "deduplicate-by", _QUEUES, check=checks.header_name,
             wants=f"{_HEADER}, or {MESSAGE_ID}",
             test=checks.is_header_name, called="header name", against_policy=FIRST),
    Argument("", "target-group-size", _Q, test=checks.is_positive, called="qq target count value",
             against_operator=SECOND, passes_by=_C),
    Argument("", "alternate-exchange", (), test=checks.is_text, called="alternate exchange name",
             against_policy=FIRST),
)
# fmt: on
CONSUMER_TABLE: Final[tuple[tuple[str, tuple[str, ...], Callable[[Field], str | None] | None], ...]] = (
    # arguments of basic.consume: supporting queue types, and the check of the value
    ("x-priority", _QUEUES, checks.integer),
    ("x-consumer-timeout", _QUEUES, checks.not_negative),
    ("x-stream-offset", _S, None),
    ("x-stream-filter", _S, None),
    ("x-stream-match-unfiltered", _S, None),
)
CONSUMER_TYPES: Final = {name: types for name, types, _ in CONSUMER_TABLE}
BY_NAME: Final = {row.name: row for row in TABLE if row.name}
OWN_NAMES: Final = (  # in Leveret only, not in RabbitMQ
    "x-paused",
    "x-delivery-rate",
    "x-delivery-burst",
    "x-max-prefetch",
    "x-consumer-order",
    "x-hold-until-header",
    "x-deduplicate-by",
)
LIVE_NAMES: Final = (  # those whose changes apply to an existing queue at once
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-max-length",
    "x-max-length-bytes",
    "x-overflow",
    "x-delivery-limit",
    "x-consumer-timeout",
    "x-delayed-retry-type",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
    *OWN_NAMES,
)
QUORUM_NAMES: Final = (  # in the order of RabbitMQ's comparison for a quorum queue
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-overflow",
    "x-single-active-consumer",
    "x-queue-type",
    "x-quorum-initial-group-size",
    "x-delivery-limit",
    "x-message-ttl",
    "x-queue-leader-locator",
    "x-consumer-disconnected-timeout",
    "x-consumer-timeout",
    "x-delayed-retry-type",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
    *OWN_NAMES,
)
BY_KEY: Final = {row.key: row for row in TABLE if row.key}


def winner(rule: int, first: object, second: object) -> object:
    """The value that takes precedence. rule: one of the constants above."""
    if rule == LOWER or rule == LOWER_LIMIT or rule == HIGHER:
        if not isinstance(first, int | float):
            return second
        if not isinstance(second, int | float):
            return first
        if rule == LOWER_LIMIT and (first < 0 or second < 0):
            return max(first, second)
        return max(first, second) if rule == HIGHER else min(first, second)
    return first if rule == FIRST else second


class QueueSettings:
    """The effective settings of a queue, from arguments, policies and overrides; -1 where there is no limit.

    definition: of the policies that apply, merged.
    rejects: a full queue refuses new messages instead of dropping its head. rejects_dead: and dead-letters them.
    dead_letter_exchange: None if dead messages are dropped; dead_letter_routing_key: None for the message's own.
    at_least_once: a dead letter stays until a queue has it. consumer_timeout_ms: -1 for the broker's default.
    delays_failed, delays_returned: whether a requeued message waits, if its return counts for the delivery limit or
    does not; for retry_min_ms times the counted deliveries, at most retry_max_ms.
    is_paused: no deliveries. delivery_rate: deliveries a second, 0 for no limit; delivery_burst: how many of them at
    once. max_prefetch: how many messages one consumer may have unacknowledged. has_least_loaded_first: the consumer
    with the fewest unacknowledged messages is next. hold_until: the header with the time until which a message is
    held, empty for none. deduplicate_by: the header that identifies a message, or MESSAGE_ID, empty for none.
    """

    __slots__ = (
        "at_least_once",
        "consumer_timeout_ms",
        "dead_letter_exchange",
        "dead_letter_routing_key",
        "deduplicate_by",
        "delays_failed",
        "delays_returned",
        "delivery_burst",
        "delivery_limit",
        "delivery_rate",
        "expires_ms",
        "has_least_loaded_first",
        "hold_until",
        "is_paused",
        "max_length",
        "max_length_bytes",
        "max_prefetch",
        "max_priority",
        "message_ttl_ms",
        "queue_type",
        "rejects",
        "rejects_dead",
        "retry_max_ms",
        "retry_min_ms",
        "single_active",
    )

    def __init__(self, arguments: Table, definition: Definition, overrides: Definition | None = None) -> None:
        said = Said(arguments, definition, overrides or {})
        self.queue_type = queue_type(arguments)
        self.message_ttl_ms = said.number("x-message-ttl")
        self.expires_ms = said.number("x-expires")
        self.max_priority = said.number("x-max-priority")
        self.max_length = said.number("x-max-length")
        self.max_length_bytes = said.number("x-max-length-bytes")
        overflow = said.word("x-overflow")
        self.rejects = overflow is not None and overflow.startswith("reject-publish")
        self.rejects_dead = overflow == "reject-publish-dlx"
        self.dead_letter_exchange = said.word("x-dead-letter-exchange")
        self.dead_letter_routing_key = said.word("x-dead-letter-routing-key")
        # A queue that drops its head cannot keep it, as rabbit_quorum_queue.erl dlh.
        strategy = said.word("x-dead-letter-strategy")
        self.at_least_once = self.rejects and strategy == "at-least-once"
        unasked = QUORUM_DELIVERY_LIMIT if self.queue_type == QUORUM else -1
        self.delivery_limit = said.number("x-delivery-limit", unasked)
        self.consumer_timeout_ms = said.number("x-consumer-timeout")
        retries = said.word("x-delayed-retry-type")
        self.retry_min_ms = said.number("x-delayed-retry-min")
        most_ms = said.number("x-delayed-retry-max")
        self.retry_max_ms = most_ms if most_ms > 0 else self.retry_min_ms
        self.delays_failed = self.retry_min_ms > 0 and retries in ("all", "failed")
        self.delays_returned = self.retry_min_ms > 0 and retries in ("all", "returned")
        self.single_active = said.value("x-single-active-consumer") is True
        self.is_paused = said.value("x-paused") is True
        self.delivery_rate = said.rate("x-delivery-rate")
        self.delivery_burst = said.number("x-delivery-burst", 1)
        self.max_prefetch = said.number("x-max-prefetch")
        self.has_least_loaded_first = said.word("x-consumer-order") == "least-loaded"
        self.hold_until = said.word("x-hold-until-header") or ""
        unnamed = DEDUPLICATION_HEADER if is_deduplicating(arguments) else ""
        self.deduplicate_by = said.word("x-deduplicate-by") or unnamed


class Said:
    """Looks up effective values in the arguments, policies and overrides of one queue."""

    __slots__ = ("_arguments", "_definition", "_overrides")

    def __init__(self, arguments: Table, definition: Definition, overrides: Definition) -> None:
        self._arguments = arguments
        self._definition = definition
        self._overrides = overrides

    def value(self, name: str) -> object:
        """The effective value; None when it is not set. name: of the argument."""
        row = BY_NAME[name]
        if self._overrides and row.key in self._overrides:
            return self._overrides[row.key]
        field = self._arguments.get(name)
        said = self._definition.get(row.key)
        if field is None:
            return said
        own: object = field.text if field.kind == LONGSTR else field.value
        if said is None:
            return own
        rule = row.against_policy
        if rule == FIRST_IF_CLASSIC:
            rule = FIRST if queue_type(self._arguments) == CLASSIC else SECOND
        return winner(rule, own, said)

    def number(self, name: str, unasked: int = -1) -> int:
        """An integer, clamped. unasked: the default."""
        value = self.value(name)
        if not isinstance(value, int) or isinstance(value, bool):
            return unasked
        return BY_NAME[name].counts.nearest(value)

    def rate(self, name: str) -> float:
        """Messages a second; 0 if not set or invalid."""
        value = self.value(name)
        return float(value) if isinstance(value, int | float) and checks.is_rate(value) else 0.0

    def word(self, name: str) -> str | None:
        """A text; None if not set or not a text."""
        value = self.value(name)
        return value if isinstance(value, str) else None


def is_deduplicating(arguments: Table) -> bool:
    """Whether deduplication is on by the community plugin's argument."""
    field = arguments.get(DEDUPLICATION)
    return field is not None and field.value is True


def queue_type(arguments: Table) -> str:
    """The queue type in the arguments, or classic."""
    field = arguments.get("x-queue-type")
    return CLASSIC if field is None or field.kind != LONGSTR else field.text or CLASSIC


def argument_names(kind: str) -> list[str]:
    """The arguments that must be equal in two declarations of a queue of this type, in RabbitMQ's order."""
    if kind == QUORUM:
        return list(QUORUM_NAMES)
    return [row.name for row in TABLE if row.name and kind in row.types]


def check_arguments(arguments: Table, what: str) -> None:
    """Check the values of arguments, and that the queue type supports them.

    what: the queue as error texts name it.
    Raises: Refusal UNFIT with RabbitMQ's reason; UNSUPPORTED for streams.
    """
    asked = arguments.get("x-queue-type")
    reason = None if asked is None else checks.queue_type(asked)
    if reason is not None:
        raise invalid_argument("x-queue-type", what, reason, BY_NAME["x-queue-type"].wants)
    kind = queue_type(arguments)
    if kind == STREAM:
        raise Refusal(UNSUPPORTED, f"cannot declare {what}: stream queues are not supported")
    for row in TABLE:
        field = arguments.get(row.name)
        if field is None or kind not in row.types or row.check is None:
            continue
        reason = row.check(field)
        if reason is None and row.name == "x-dead-letter-routing-key" and "x-dead-letter-exchange" not in arguments:
            reason = "routing_key_but_no_dlx_defined"
        if reason is not None:
            raise invalid_argument(row.name, what, reason, row.wants)
    for name in list(arguments) if "x-queue-type" in arguments else sorted(arguments):  # which adds it
        known = BY_NAME.get(name)
        if known is not None and kind not in known.types:
            raise argument_of_other_type(name, what, kind, known.types)


def check_consumer_arguments(arguments: Table, kind: str, what: str) -> None:
    """Check arguments of basic.consume. kind: of the queue; what: the queue as error texts name it.

    Raises: Refusal UNFIT with RabbitMQ's reason.
    """
    for name, types, check in CONSUMER_TABLE:
        field = arguments.get(name)
        if field is None or kind not in types or check is None:
            continue
        reason = check(field)
        if reason is not None:
            raise invalid_argument(name, what, reason)
    for name in arguments:  # in the client's order
        known = CONSUMER_TYPES.get(name)
        if known is not None and kind not in known:
            raise argument_of_other_type(name, what, kind, known)


def check_properties(kind: str, durable: bool, exclusive: bool, auto_delete: bool, what: str) -> None:
    """Refuse properties that a quorum queue cannot have. Raises: Refusal UNFIT. Source: rabbit_queue_type_util.erl."""
    if kind != QUORUM:
        return
    for refused, name in ((auto_delete, "auto-delete"), (exclusive, "exclusive-owner"), (not durable, "non-durable")):
        if refused:
            raise invalid_property(name, what)


def check_server_named(arguments: Table) -> None:
    """Refuse to generate a name for a quorum queue or a stream. Raises: Refusal UNFIT."""
    field = arguments.get("x-queue-type")
    if field is None or field.kind not in (LONGSTR, BINARY):
        return
    kind = field.text
    if kind in (QUORUM, STREAM):
        raise server_named(kind)
    if kind not in ("", CLASSIC):
        raise Refusal(UNFIT, f"unknown queue type '{kind}'")
