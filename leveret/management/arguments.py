"""x-arguments between field tables and JSON, with the types that RabbitMQ gives them.

Source: rabbit_misc.erl to_amqp_table and amqp_table.
"""

from __future__ import annotations

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
)

MAX_LONG = (1 << 63) - 1


class BadArgument(Exception):
    """A JSON value that no argument can have. path: below the arguments, as `.x-thing[2]`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


def from_json(content: dict[str, object], path: str = "") -> Table:
    """A table of JSON values: whole numbers become long, others double, null void. Raises: BadArgument."""
    result: Table = {}
    for name, value in content.items():
        if len(name.encode("utf-8", "surrogateescape")) > 255:
            raise BadArgument(f"{path}.{name[:20]}...", "the name of an argument has at most 255 bytes")
        result[name] = _field(value, f"{path}.{name}")
    return result


def _field(value: object, path: str) -> Field:
    if isinstance(value, bool):
        return boolean(value)
    if isinstance(value, int):
        if not -MAX_LONG - 1 <= value <= MAX_LONG:
            raise BadArgument(path, f"{value} does not fit into 64 bits")
        return long(value)
    if isinstance(value, float):
        return Field(FLOAT64, value)
    if isinstance(value, str):
        return longstr(value)
    if isinstance(value, list):
        return array([_field(item, f"{path}[{at}]") for at, item in enumerate(value)])
    if isinstance(value, dict):
        return table(from_json(value, path))
    return Field(VOID, None)


def to_json(content: Table) -> dict[str, object]:
    """The values of a table as JSON can say them; the width of numbers is lost, as in RabbitMQ."""
    return {name: _value(field) for name, field in content.items()}


def _value(field: Field) -> object:
    value = field.value
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [_value(item) for item in value]
    if isinstance(value, dict):
        return to_json(value)
    if field.kind == DECIMAL:
        assert isinstance(value, tuple)
        scale, digits = value
        return float(digits) / 10**scale
    return value
