"""What a queue was asked to be: its x-arguments, checked and read.

One table knows each argument: its check, and how RabbitMQ names what is wrong with a value. Unknown arguments are
kept and have no effect, as in RabbitMQ. Source: rabbit_amqqueue.erl (check_arguments), rabbit_classic_queue.erl.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leveret.core.errors import AmqpError, inequivalent, invalid_argument
from leveret.wire.constants import NOT_IMPLEMENTED
from leveret.wire.fields import BOOLEAN, LONGSTR, Field, Table

MAX_EXPIRY_MS: Final = 315_360_000_000  # ten years, as rabbit_misc.hrl
MAX_PRIORITY: Final = 255


def _integer(field: Field) -> str | None:
    if not field.is_integer:
        return f'"expected integer, got {field.type_name}"'
    return None


def _not_negative(field: Field) -> str | None:
    if not field.is_integer:
        return _integer(field)
    return f"{{value_negative,{field.integer}}}" if field.integer < 0 else None


def _ttl(field: Field) -> str | None:
    reason = _not_negative(field)
    if reason is None and field.integer > MAX_EXPIRY_MS:
        return f"{{value_too_large,{field.integer}}}"
    return reason


def _expires(field: Field) -> str | None:
    reason = _ttl(field)
    if reason is None and field.integer == 0:
        return "{value_zero,0}"
    return reason


def _positive(field: Field) -> str | None:
    reason = _not_negative(field)
    if reason is None and field.integer == 0:
        return "{value_zero,0}"
    return reason


def _priority(field: Field) -> str | None:
    reason = _not_negative(field)
    if reason is None and field.integer > MAX_PRIORITY:
        return f"{{max_value_exceeded,{field.integer}}}"
    return reason


def _text(field: Field) -> str | None:
    return None if field.kind == LONGSTR else f"{{unacceptable_type,{field.type_name}}}"


def _boolean(field: Field) -> str | None:
    return None if field.kind == BOOLEAN else f"{{unacceptable_type,{field.type_name}}}"


def _overflow(field: Field) -> str | None:
    if field.kind != LONGSTR:
        return _text(field)
    return None if field.text in ("drop-head", "reject-publish", "reject-publish-dlx") else "invalid_overflow"


def _queue_type(field: Field) -> str | None:
    if field.kind != LONGSTR:
        return _text(field)
    return None if field.text in ("classic", "quorum", "stream") else f"\"unsupported queue type '{field.text}'\""


def _leader_locator(field: Field) -> str | None:
    if field.kind != LONGSTR:
        return _text(field)
    return None if field.text in ("client-local", "balanced") else "invalid_queue_locator_arg"


def _queue_version(field: Field) -> str | None:
    if not field.is_integer:
        return _integer(field)
    return None if field.integer in (1, 2) else f"\"unsupported queue version '{field.integer}'\""


_CHECKS: Final[dict[str, Callable[[Field], str | None]]] = {
    "x-message-ttl": _ttl,
    "x-expires": _expires,
    "x-max-length": _not_negative,
    "x-max-length-bytes": _not_negative,
    "x-max-priority": _priority,
    "x-dead-letter-exchange": _text,
    "x-dead-letter-routing-key": _text,
    "x-overflow": _overflow,
    "x-single-active-consumer": _boolean,
    "x-queue-type": _queue_type,
    "x-queue-version": _queue_version,
    "x-queue-leader-locator": _leader_locator,
    "x-delivery-limit": _integer,
    "x-consumer-timeout": _positive,
}


class QueueSettings:
    """What the arguments say, ready to be used; -1 where there is no limit.

    rejects: a full queue refuses what comes in instead of dropping its head.
    """

    __slots__ = (
        "expires_ms",
        "max_length",
        "max_length_bytes",
        "max_priority",
        "message_ttl_ms",
        "rejects",
        "single_active",
    )

    def __init__(self, arguments: Table) -> None:
        self.message_ttl_ms = _number(arguments, "x-message-ttl")
        self.expires_ms = _number(arguments, "x-expires")
        self.max_priority = _number(arguments, "x-max-priority")
        self.max_length = _number(arguments, "x-max-length")
        self.max_length_bytes = _number(arguments, "x-max-length-bytes")
        overflow = arguments.get("x-overflow")
        self.rejects = overflow is not None and overflow.text.startswith("reject-publish")
        self.single_active = (
            "x-single-active-consumer" in arguments and arguments["x-single-active-consumer"].value is True
        )


def _number(arguments: Table, name: str) -> int:
    field = arguments.get(name)
    return -1 if field is None else field.integer


def check_arguments(arguments: Table, what: str) -> None:
    """Refuse values that an argument cannot have.

    what: the queue as error texts name it.
    Raises: AmqpError 406 with RabbitMQ's reason; 540 for streams, which do not exist here.
    """
    for name, field in arguments.items():
        check = _CHECKS.get(name)
        if check is None:
            continue
        reason = check(field)
        if reason is not None:
            raise invalid_argument(name, what, reason)
    if "x-dead-letter-routing-key" in arguments and "x-dead-letter-exchange" not in arguments:
        raise invalid_argument("x-dead-letter-routing-key", what, "routing_key_but_no_dlx_defined")
    kind = arguments.get("x-queue-type")
    if kind is not None and kind.text == "stream":
        raise AmqpError(NOT_IMPLEMENTED, f"cannot declare {what}: stream queues are not supported")


def check_equivalence(received: Table, current: Table, what: str, names: list[str]) -> None:
    """Refuse a declaration whose arguments differ from those of what exists.

    names: the arguments that are looked at. Raises: AmqpError 406.
    Source: rabbit_misc.erl assert_args_equivalence.
    """
    for name in names:
        new, old = received.get(name), current.get(name)
        if (new.comparable() if new else None) == (old.comparable() if old else None):
            continue
        if new is not None and old is not None and new.kind == old.kind:
            raise inequivalent(name, what, f"'{_value(new)}'", f"'{_value(old)}'")
        raise inequivalent(name, what, _value_and_type(new), _value_and_type(old))


def _value(field: Field) -> str:
    return field.text if field.kind == LONGSTR else str(field.value).lower()


def _value_and_type(field: Field | None) -> str:
    return "none" if field is None else f"the value '{_value(field)}' of type '{field.type_name}'"


def queue_argument_names() -> list[str]:
    """The arguments that two declarations of a queue must agree on."""
    return list(_CHECKS)


def expiration_error(text: str) -> str | None:
    """What is wrong with an expiration property, as RabbitMQ names it; None when nothing is.

    Source: rabbit_basic.erl parse_expiration, rabbit_misc.erl check_expiry.
    """
    digits = len(text) - len(text.lstrip("0123456789"))
    sign = text[:1] in ("-", "+")
    if sign:
        digits = len(text) - 1 - len(text[1:].lstrip("0123456789"))
    number = text[: digits + (1 if sign else 0)]
    if digits == 0:
        return "no_integer"
    if len(number) < len(text):
        return f'{{leftover_string,"{text[len(number) :]}"}}'
    if int(number) < 0:
        return f"{{value_negative,{int(number)}}}"
    return f"{{value_too_large,{int(number)}}}" if int(number) > MAX_EXPIRY_MS else None
