"""Convert arguments between field tables and JSON, with the same types as RabbitMQ.

Source: rabbit_misc.erl to_amqp_table and amqp_table.
"""

from __future__ import annotations

from leveret.core.policy.documents import TOO_DEEP, has_more_values, is_too_deep
from leveret.management.errors import MAX_NAME
from leveret.management.texts import NO_TEXT, is_text
from leveret.wire.fields import (
    DECIMAL,
    FLOAT64,
    VOID,
    Field,
    Table,
    array,
    boolean,
    long,
    longstr,
    table,
    timestamp,
)

MAX_LONG = (1 << 63) - 1
MAX_VALUES = 100_000  # more than fit into the frame of a client's declaration
MAX_TIMESTAMP = (1 << 64) - 1


class BadArgument(Exception):
    """A JSON value that is not possible as an argument. path: relative to the arguments, such as `.x-thing[2]`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


def from_json(content: dict[str, object]) -> Table:
    """Arguments from JSON: whole numbers become long, others double, null becomes void. Raises: BadArgument."""
    if has_more_values(content, MAX_VALUES):
        raise BadArgument("", f"more than {MAX_VALUES} values, which no client could declare")
    for name, value in content.items():
        if is_too_deep(value):
            raise BadArgument(f".{name}", TOO_DEEP)
    return _table(content, "")


def _table(content: dict[str, object], path: str) -> Table:
    result: Table = {}
    for name, value in content.items():
        if not is_text(name, "surrogateescape"):
            raise BadArgument(f"{path}.{name}", NO_TEXT)
        if len(name.encode("utf-8", "surrogateescape")) > MAX_NAME:
            raise BadArgument(f"{path}.{name[:20]}...", "the name of an argument can have at most 255 bytes")
        result[name] = _field(value, f"{path}.{name}")
    return result


def _field(value: object, path: str) -> Field:
    if isinstance(value, bool):
        return boolean(value)
    if isinstance(value, int):
        if MAX_LONG < value <= MAX_TIMESTAMP:
            return timestamp(value)  # the only type with such numbers
        if not -MAX_LONG - 1 <= value <= MAX_LONG:
            raise BadArgument(path, f"{value} does not fit into 64 bits")
        return long(value)
    if isinstance(value, float):
        return Field(FLOAT64, value)
    if isinstance(value, str):
        if not is_text(value, "surrogateescape"):
            raise BadArgument(path, NO_TEXT)
        return longstr(value)
    if isinstance(value, list):
        return array([_field(item, f"{path}[{at}]") for at, item in enumerate(value)])
    if isinstance(value, dict):
        return table(_table(value, path))
    return Field(VOID, None)


Target = dict[str, object] | list[object]
Pending = list[tuple[Table | list[Field], Target]]  # values to convert, with their destinations


def to_json(content: Table) -> dict[str, object]:
    """A table as JSON. The width of numbers is lost, as in RabbitMQ.

    Supports any nesting depth, as earlier versions accepted deeper tables than this one.
    """
    result: dict[str, object] = {}
    pending: Pending = [(content, result)]
    while pending:
        source, target = pending.pop()
        if isinstance(source, dict) and isinstance(target, dict):
            for name, field in source.items():
                target[name] = _value(field, pending)
        elif isinstance(source, list) and isinstance(target, list):
            for item in source:
                target.append(_value(item, pending))
    return result


def _value(field: Field, pending: Pending) -> object:
    """A value. A nested one is returned empty and added to pending."""
    value = field.value
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, list | dict):
        target: Target = [] if isinstance(value, list) else {}
        pending.append((value, target))
        return target
    if field.kind == DECIMAL:
        assert isinstance(value, tuple)
        scale, digits = value
        return float(digits) / 10**scale
    return value if field.is_finite else None
