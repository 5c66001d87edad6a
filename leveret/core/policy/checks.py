"""Valid values of x-arguments and policies, and RabbitMQ's reasons for invalid ones.

A check of an argument takes a Field and returns the reason as the Erlang term that RabbitMQ prints, or None for a
valid value. A test of a policy takes a JSON value.
Source: rabbit_amqqueue.erl (declare_args), rabbit_misc.erl (check_expiry), rabbit_policies.erl (validate_policy0).
"""

from __future__ import annotations

from typing import Final

from leveret.wire.fields import BOOLEAN, FLOAT32, FLOAT64, LONGSTR, Field
from leveret.wire.reader import binary

MAX_EXPIRY_MS: Final = 315_360_000_000  # ten years, as rabbit_misc.hrl
MAX_PRIORITY: Final = 255
QUEUE_TYPES: Final = ("classic", "quorum", "stream")
OVERFLOWS: Final = ("drop-head", "reject-publish", "reject-publish-dlx")
STRATEGIES: Final = ("at-most-once", "at-least-once")
LOCATORS: Final = ("client-local", "balanced", "random", "least-leaders")
AGE_UNITS: Final = "YMDhms"
ORDERS: Final = ("round-robin", "least-loaded")
MIN_RATE: Final = 0.001  # messages a second, the lowest limit
MAX_RATE: Final = 1_000_000
MAX_NAME: Final = 255  # bytes of a header name
MAX_SHOWN: Final = 1000  # characters and nested values of a value in an error text


# -- arguments


def integer(field: Field) -> str | None:
    """Any whole number."""
    return None if field.is_integer else f'"expected integer, got {field.type_name}"'


def not_negative(field: Field) -> str | None:
    """A whole number from 0."""
    if not field.is_integer:
        return integer(field)
    return f"{{value_negative,{field.integer}}}" if field.integer < 0 else None


def positive(field: Field) -> str | None:
    """A whole number from 1."""
    reason = not_negative(field)
    if reason is None and field.integer == 0:
        return "{value_zero,0}"
    return reason


def time_to_live(field: Field) -> str | None:
    """Milliseconds from 0 to ten years."""
    reason = not_negative(field)
    if reason is None and field.integer > MAX_EXPIRY_MS:
        return f"{{value_too_large,{field.integer}}}"
    return reason


def expires(field: Field) -> str | None:
    """Milliseconds from 1 to ten years."""
    return time_to_live(field) or positive(field)


def priority(field: Field) -> str | None:
    """A whole number from 0 to 255."""
    reason = not_negative(field)
    if reason is None and field.integer > MAX_PRIORITY:
        return f"{{max_value_exceeded,{field.integer}}}"
    return reason


def text(field: Field) -> str | None:
    """Any text."""
    return None if field.kind == LONGSTR else f"{{unacceptable_type,{field.type_name}}}"


def boolean(field: Field) -> str | None:
    """True or false."""
    return None if field.kind == BOOLEAN else f"{{unacceptable_type,{field.type_name}}}"


def overflow(field: Field) -> str | None:
    """An overflow behaviour."""
    return text(field) or (None if field.text in OVERFLOWS else "invalid_overflow")


def strategy(field: Field) -> str | None:
    """A dead letter strategy."""
    return text(field) or (None if field.text in STRATEGIES else "invalid_dlx_strategy")


def queue_type(field: Field) -> str | None:
    """A queue type; empty for the default."""
    reason = text(field)
    if reason is None and field.text and field.text not in QUEUE_TYPES:
        return f"\"unsupported queue type '{field.text}'\""
    return reason


def locator(field: Field) -> str | None:
    """A queue leader locator."""
    return text(field) or (None if field.text in LOCATORS else "invalid_queue_locator_arg")


def queue_version(field: Field) -> str | None:
    """1 or 2."""
    if not field.is_integer:
        return integer(field)
    return None if field.integer in (1, 2) else f"\"unsupported queue version '{field.integer}'\""


def rate(field: Field) -> str | None:
    """Messages a second."""
    if field.is_integer or field.kind in (FLOAT32, FLOAT64):
        return None if is_rate(field.value) else f'"not from {MIN_RATE} to {MAX_RATE}"'
    return f'"expected a number, got {field.type_name}"'


def header_name(field: Field) -> str | None:
    """The name of a header."""
    return text(field) or (None if is_header_name(field.text) else "invalid_header_name")


def order(field: Field) -> str | None:
    """A consumer order."""
    return text(field) or (None if field.text in ORDERS else "invalid_consumer_order")


def expiration_error(value: str) -> str | None:
    """The error in an expiration property, as RabbitMQ names it; None for a valid one.

    Source: rabbit_basic.erl parse_expiration, rabbit_misc.erl check_expiry.
    """
    digits = len(value) - len(value.lstrip("0123456789"))
    sign = value[:1] in ("-", "+")
    if sign:
        digits = len(value) - 1 - len(value[1:].lstrip("0123456789"))
    number = value[: digits + (1 if sign else 0)]
    if digits == 0:
        return "no_integer"
    if len(number) < len(value):
        return f'{{leftover_string,"{value[len(number) :]}"}}'
    if int(number) < 0:
        return f"{{value_negative,{int(number)}}}"
    return f"{{value_too_large,{int(number)}}}" if int(number) > MAX_EXPIRY_MS else None


# -- policies


def is_integer(value: object) -> bool:
    """Whether it is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_not_negative(value: object) -> bool:
    """Whether it is a whole number from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_positive(value: object) -> bool:
    """Whether it is a whole number from 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_boolean(value: object) -> bool:
    """Whether it is true or false."""
    return isinstance(value, bool)


def is_rate(value: object) -> bool:
    """Whether it is a number of messages a second."""
    return isinstance(value, int | float) and not isinstance(value, bool) and MIN_RATE <= value <= MAX_RATE


def is_header_name(value: object) -> bool:
    """Whether it is the name of a header: text of 1 to 255 bytes."""
    return isinstance(value, str) and 0 < len(value.encode("utf-8", "surrogateescape")) <= MAX_NAME


def is_order(value: object) -> bool:
    """Whether it is a consumer order."""
    return isinstance(value, str) and value in ORDERS


def is_filter_size(value: object) -> bool:
    """Whether it is a filter size of a stream: 16 to 255."""
    return isinstance(value, int) and not isinstance(value, bool) and 16 <= value <= 255


def is_queue_version(value: object) -> bool:
    """Whether it is 1 or 2."""
    return is_integer(value) and value in (1, 2)


def is_text(value: object) -> bool:
    """Whether it is text."""
    return isinstance(value, str)


def is_overflow(value: object) -> bool:
    """Whether it is an overflow behaviour."""
    return isinstance(value, str) and value in OVERFLOWS


def is_strategy(value: object) -> bool:
    """Whether it is a dead letter strategy."""
    return isinstance(value, str) and value in STRATEGIES


def is_mode(value: object) -> bool:
    """Whether it is a mode of a classic queue: default or lazy."""
    return isinstance(value, str) and value in ("default", "lazy")


def is_locator(value: object) -> bool:
    """Whether it is a queue leader locator."""
    return isinstance(value, str) and value in LOCATORS


def is_retry_type(value: object) -> bool:
    """Whether it is a type of delayed retry."""
    return isinstance(value, str) and value in ("all", "failed", "returned", "disabled")


def is_age(value: object) -> bool:
    """Whether it is digits followed by a unit of time."""
    return isinstance(value, str) and value[-1:] in AGE_UNITS and value[:-1].isdecimal() and value.isascii()


def brief(value: object) -> str:
    """A JSON value as Erlang prints it, or a placeholder if it is too large to read."""
    pending = [value]
    left = MAX_SHOWN
    while pending:
        each = pending.pop()
        left -= len(each) if isinstance(each, str | list | dict) else 1
        if left < 0:
            return "a value that is too large to be shown"
        if isinstance(each, list):
            pending += each
        elif isinstance(each, dict):
            pending += each.keys()
            pending += each.values()
    return written(value)


def written(value: object) -> str:
    """A JSON value as Erlang prints it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return binary(value.encode("utf-8", "backslashreplace")) if value else "<<>>"
    if isinstance(value, list):
        return f"[{','.join([written(item) for item in value])}]"
    if isinstance(value, dict):
        pairs = [f"{written(key)} => {written(value[key])}" for key in sorted(value)]
        return f"#{{{','.join(pairs)}}}"
    return str(value)
