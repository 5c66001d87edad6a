"""Lines: a lossless, human-readable form of a message as one line of JSON.

    {"exchange": "amq.topic", "routing_key": "eu.orders", "properties": {"delivery_mode": 2}, "body": "SGVsbG8h"}

The body is in base64. Properties have the names of RabbitMQ's HTTP API. In headers, JSON text, booleans, null, arrays
and objects are the corresponding AMQP types, a number without a fraction is a long (64 bits), and one with a fraction
or an exponent a double. Any other type is an object whose only key names the type: {"$signedint": 5}. In keys, bytes
that are not UTF-8 are written as \\udc80 to \\udcff, as with Python's surrogateescape.
docs/administration.md has the complete list.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from leveret.core.message.codec import MAX_KEYS, MAX_PROPERTIES, Item
from leveret.core.message.message import Provenance
from leveret.core.policy.checks import expiration_error
from leveret.wire import fields
from leveret.wire.fields import DecodeError, Field, Table
from leveret.wire.properties import BasicProperties

KEYS = (
    "exchange",
    "routing_key",
    "cc",
    "bcc",
    "dead_letter",
    "redelivered",
    "arrived_ms",
    "provenance",
    "properties",
    "body",
)
MAX_NUMBER = (1 << 63) - 1
PIECE = 3 << 16  # bytes of a body to encode at once; a multiple of 3, so that base64 needs no padding
TEXTS = {  # attribute by name
    "content_type": "content_type",
    "content_encoding": "content_encoding",
    "correlation_id": "correlation_id",
    "reply_to": "reply_to",
    "expiration": "expiration",
    "message_id": "message_id",
    "type": "message_type",
    "user_id": "user_id",
    "app_id": "app_id",
    "cluster_id": "cluster_id",
}
NUMBERS = {"delivery_mode": 255, "priority": 255, "timestamp": (1 << 64) - 1}  # maximum by name
RANGES = {
    "byte": (fields.INT8, -(1 << 7), (1 << 7) - 1),
    "unsignedbyte": (fields.UINT8, 0, (1 << 8) - 1),
    "short": (fields.INT16, -(1 << 15), (1 << 15) - 1),
    "unsignedshort": (fields.UINT16, 0, (1 << 16) - 1),
    "signedint": (fields.INT32, -(1 << 31), (1 << 31) - 1),
    "unsignedint": (fields.UINT32, 0, (1 << 32) - 1),
    "long": (fields.INT64, -(1 << 63), (1 << 63) - 1),
    "timestamp": (fields.TIMESTAMP, 0, (1 << 64) - 1),
}
FLOAT_END = 3.4028235677973366e38  # infinite in 32 bits from here on
MAX_SHORT = 255  # bytes of a name, a key, a property
RAW = "$raw"  # key instead of properties: all of them as bytes


class LineError(Exception):
    """The line is not a valid message. The text says where and why."""


class _Unwritable(Exception):
    """JSON cannot represent the value."""


# -- from messages to lines


def write(item: Item) -> bytes:
    """The line of a message, with a line feed."""
    return b"".join(pieces(item)) + b"\n"


def dump(content: dict[str, object]) -> bytes:
    """The line for a result of to_json(), with a line feed."""
    return _dumped(content) + b"\n"


def pieces(item: Item) -> Iterator[bytes]:
    """The line of a message without a line feed, in pieces that each take little time."""
    yield _dumped(_without_body(item)).removesuffix(b"}") + b', "body": "'
    body = memoryview(item.body)
    for start in range(0, len(body), PIECE):
        yield binascii.b2a_base64(body[start : start + PIECE], newline=False)
    yield b'"}'


def to_json(item: Item) -> dict[str, object]:
    """A message as a JSON object."""
    return {**_without_body(item), "body": _base64(item.body)}


def _dumped(content: dict[str, object]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _without_body(item: Item) -> dict[str, object]:
    line: dict[str, object] = {"exchange": _text(item.exchange), "routing_key": _text(item.routing_key)}
    if item.copies:
        line["cc"] = [_text(key) for key in item.copies]
    if item.hidden:
        line["bcc"] = [_text(key) for key in item.hidden]
    if item.has_died:
        line["dead_letter"] = True
    if item.redelivered:
        line["redelivered"] = True
    if item.arrived_ms:
        line["arrived_ms"] = item.arrived_ms
    if item.provenance is not None:
        line["provenance"] = {"name": _text(item.provenance.name), "number": int(item.provenance.number)}
    line["properties"] = _properties(item.properties)
    return line


def _properties(raw: bytes) -> dict[str, object]:
    """Properties by name; as bytes if they cannot be decoded and encoded again without a change."""
    try:
        properties = BasicProperties.parse(raw)
        written: dict[str, object] = {}
        for name, attribute in TEXTS.items():
            text = getattr(properties, attribute)
            if text is not None:
                written[name] = _text(text)
        for name in NUMBERS:
            number = getattr(properties, name)
            if number is not None:
                written[name] = number
        if properties.headers is not None:
            written["headers"] = {name: _value(field) for name, field in properties.headers.items()}
            if properties.encode() != raw:
                return {RAW: _base64(raw)}
        return written
    except (DecodeError, _Unwritable):
        return {RAW: _base64(raw)}


def _value(field: Field) -> object:
    kind, value = field.kind, field.value
    if kind == fields.LONGSTR:
        assert isinstance(value, bytes)
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"$longstr": _base64(value)}
    if isinstance(value, float):
        if math.isnan(value):  # NaN has many bit patterns
            raise _Unwritable
        if math.isinf(value):
            return {f"${field.type_name}": "inf" if value > 0 else "-inf"}
        return value if kind == fields.FLOAT64 else {"$float": value}
    if isinstance(value, bytes):
        return {"$binary": _base64(value)}
    if isinstance(value, list):
        return [_value(item) for item in value]
    if isinstance(value, dict):
        table = {name: _value(item) for name, item in value.items()}
        return {"$table": table} if _is_typed(table) else table
    if isinstance(value, tuple):
        return {"$decimal": _decimal(*value)}
    if kind in (fields.BOOLEAN, fields.VOID, fields.INT64):
        return value
    return {f"${field.type_name}": value}


def _is_typed(value: dict[str, Any]) -> bool:
    """Whether this is a typed value and not a table."""
    return len(value) == 1 and next(iter(value)).startswith("$")


def _decimal(scale: int, unscaled: int) -> str:
    """A decimal number with `scale` digits after the point."""
    digits = str(unscaled).rjust(scale + 1, "0")
    return f"{digits[: len(digits) - scale]}.{digits[len(digits) - scale :]}" if scale else digits


def _text(text: str) -> object:
    """A short string; as bytes if it is not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return {"$shortstr": _base64(text.encode("utf-8", "surrogateescape"))}
    return text


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


# -- from lines to messages


def read(line: bytes, queue: str) -> Item:
    """Parse a line into a message. queue: its routing key, if the line has neither a key nor an exchange.

    Raises: LineError.
    """
    try:
        return from_json(parse(line), queue)
    except RecursionError:
        raise LineError("nested too deep") from None


def parse(line: bytes) -> dict[str, Any]:
    """Parse a line into a JSON object. Raises: LineError."""
    try:
        content = json.loads(line.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise LineError("not UTF-8") from None
    except RecursionError:
        raise LineError("nested too deep") from None
    except json.JSONDecodeError as error:
        raise LineError(f"not valid JSON: {error.msg} at column {error.colno}") from None
    except ValueError:
        raise LineError("a number has too many digits") from None
    if not isinstance(content, dict):
        raise LineError("expected an object")
    return content


def from_json(content: dict[str, Any], queue: str) -> Item:
    """The message of a parsed line. For queue and errors see read()."""
    _check_keys("", content, KEYS)
    if "body" not in content:
        raise LineError("body is missing")
    exchange = _read_text("exchange", content.get("exchange", ""))
    default_key = "" if "exchange" in content else queue
    item = Item(
        exchange,
        _read_text("routing_key", content.get("routing_key", default_key)),
        _read_properties(content.get("properties", {})),
        _read_base64("body", content["body"]),
        _read_keys("cc", content.get("cc", [])),
        _read_keys("bcc", content.get("bcc", [])),
    )
    item.has_died = _read_boolean("dead_letter", content.get("dead_letter", False))
    item.redelivered = _read_boolean("redelivered", content.get("redelivered", False))
    item.arrived_ms = _read_integer("arrived_ms", content.get("arrived_ms", 0), 0, MAX_NUMBER)
    item.provenance = _read_provenance(content.get("provenance"))
    return item


def _no_constant(name: str) -> NoReturn:
    raise LineError(f"{name} is not valid JSON")


def _wrong(path: str, expected: str) -> NoReturn:
    raise LineError(f"{path}: expected {expected}")


def _check_keys(path: str, content: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in content:
        if key not in known:
            raise LineError(f"{path}{key}: unknown key; known keys are {', '.join(known)}")


def _read_provenance(content: object) -> Provenance | None:
    if content is None:
        return None
    if not isinstance(content, dict) or content.keys() != {"name", "number"}:
        _wrong("provenance", "an object with name and number")
    name = _read_text("provenance.name", content["name"])
    return Provenance(name, _read_integer("provenance.number", content["number"], 0, MAX_NUMBER))


def _read_properties(content: object) -> bytes:
    if not isinstance(content, dict):
        _wrong("properties", "an object")
    if RAW in content:
        _check_keys("properties.", content, (RAW,))
        raw = _read_base64(f"properties.{RAW}", content[RAW])
        try:
            Item("", "", raw, b"").message()
        except DecodeError as error:
            raise LineError(f"properties.{RAW}: {error}") from None
    else:
        _check_keys("properties.", content, (*TEXTS, *NUMBERS, "headers"))
        properties = BasicProperties()
        for name, value in content.items():
            path = f"properties.{name}"
            if name == "headers":
                properties.headers = _read_table(path, value)
            elif name in TEXTS:
                setattr(properties, TEXTS[name], _read_text(path, value))
            else:
                setattr(properties, name, _read_integer(path, value, 0, NUMBERS[name]))
        if properties.expiration is not None:
            reason = expiration_error(properties.expiration)
            if reason:
                raise LineError(f"properties.expiration: {reason}")
        raw = properties.encode()
        if properties.headers is not None:
            try:
                BasicProperties.parse(raw)
            except DecodeError as error:
                raise LineError(f"properties.headers: {error}") from None
    if len(raw) > MAX_PROPERTIES:
        raise LineError(f"properties: {len(raw)} bytes; at most {MAX_PROPERTIES} are allowed")
    return raw


def _read_table(path: str, content: object) -> Table:
    if not isinstance(content, dict):
        _wrong(path, "an object")
    table: Table = {}
    for key, value in content.items():
        if len(_bytes(path, key)) > MAX_SHORT:
            raise LineError(f"{path}: a key has more than {MAX_SHORT} bytes")
        table[key] = _read_value(f"{path}.{key}", value)
    return table


def _read_value(path: str, value: object) -> Field:
    if isinstance(value, str):
        return fields.longstr(_bytes(path, value))
    if isinstance(value, bool):
        return fields.boolean(value)
    if isinstance(value, int):
        return fields.long(_read_integer(path, value, *RANGES["long"][1:]))
    if isinstance(value, float):
        return Field(fields.FLOAT64, _finite(path, value))
    if isinstance(value, list):
        return fields.array([_read_value(f"{path}[{index}]", item) for index, item in enumerate(value)])
    if isinstance(value, dict):
        if not _is_typed(value):
            return fields.table(_read_table(path, value))
        ((key, inner),) = value.items()
        reader = TYPES.get(key[1:])
        if reader is None:
            raise LineError(f"{path}: unknown type {key}; known types are {', '.join(f'${name}' for name in TYPES)}")
        return reader(f"{path}.{key}", inner)
    return Field(fields.VOID, None)


def _ranged(name: str) -> Callable[[str, object], Field]:
    kind, low, high = RANGES[name]
    return lambda path, value: Field(kind, _read_integer(path, value, low, high))


def _floating(kind: int) -> Callable[[str, object], Field]:
    def read_number(path: str, value: object) -> Field:
        if value in ("inf", "-inf"):
            return Field(kind, float(str(value)))
        if isinstance(value, bool) or not isinstance(value, int | float):
            _wrong(path, 'a number, "inf" or "-inf"')
        if kind == fields.FLOAT32 and abs(value) >= FLOAT_END:
            raise LineError(f"{path}: too large")
        return Field(kind, _finite(path, value))

    return read_number


def _finite(path: str, value: float) -> float:
    try:
        if math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number
        pass
    raise LineError(f"{path}: too large")


def _read_decimal(path: str, value: object) -> Field:
    if isinstance(value, str):
        whole, _, fraction = value.partition(".")
        digits = whole + fraction
        if digits.isascii() and digits.isdigit() and whole and len(fraction) <= 255 and len(whole) <= 10:
            if int(digits) < 1 << 32:
                return Field(fields.DECIMAL, (len(fraction), int(digits)))
    _wrong(path, 'a decimal number such as "3.14", whose digits without the point are less than 4294967296')


TYPES: dict[str, Callable[[str, object], Field]] = {
    **{name: _ranged(name) for name in RANGES},
    "float": _floating(fields.FLOAT32),
    "double": _floating(fields.FLOAT64),
    "decimal": _read_decimal,
    "longstr": lambda path, value: fields.longstr(_read_base64(path, value)),
    "binary": lambda path, value: Field(fields.BINARY, _read_base64(path, value)),
    "table": lambda path, value: fields.table(_read_table(path, value)),
}


def _read_integer(path: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        _wrong(path, f"a whole number from {low} to {high}")
    return value


def _read_boolean(path: str, value: object) -> bool:
    if not isinstance(value, bool):
        _wrong(path, "true or false")
    return value


def _bytes(path: str, text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise LineError(f"{path}: a surrogate that does not represent a byte") from None


def _read_text(path: str, value: object, limit: int = MAX_SHORT) -> str:
    """A string. limit: maximum number of bytes."""
    if isinstance(value, dict) and value.keys() == {"$shortstr"}:
        value = _read_base64(f"{path}.$shortstr", value["$shortstr"]).decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        _wrong(path, "text")
    if len(_bytes(path, value)) > limit:
        raise LineError(f"{path}: more than {limit} bytes")
    return value


def _read_keys(path: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_KEYS:
        _wrong(path, f"an array of at most {MAX_KEYS} items")
    return tuple(_read_text(f"{path}[{index}]", key, MAX_PROPERTIES) for index, key in enumerate(value))


def _read_base64(path: str, value: object) -> bytes:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (ValueError, binascii.Error):
            pass
    _wrong(path, "base64")
