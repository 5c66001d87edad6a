"""Lines: whatever a message has, its line gives it back; what is no line is refused with its place."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.message import codec
from leveret.core.message.codec import MAX_PROPERTIES, Item
from leveret.core.message.message import Provenance
from leveret.management import lines
from leveret.management.lines import LineError
from leveret.wire import fields
from leveret.wire.fields import Field, Table, table_bytes
from leveret.wire.properties import BasicProperties
from tests.clients.strategies import PROPERTIES, TABLES

SHORT = st.binary(max_size=255).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
KEYS = st.lists(st.binary(max_size=300).map(lambda raw: raw.decode("utf-8", "surrogateescape")), max_size=3).map(tuple)
EXPIRATIONS = st.none() | st.integers(0, 1 << 31).map(str)


@st.composite
def make_items(draw: st.DrawFn) -> Item:
    """Any message."""
    properties = draw(PROPERTIES)
    properties.expiration = draw(EXPIRATIONS)
    item = Item(draw(SHORT), draw(SHORT), properties.encode(), draw(st.binary(max_size=300)), draw(KEYS), draw(KEYS))
    item.has_died = draw(st.booleans())
    item.redelivered = draw(st.booleans())
    item.arrived_ms = draw(st.sampled_from([0, 1, 1_700_000_000_000, (1 << 63) - 1]))
    if draw(st.booleans()):
        item.provenance = Provenance(draw(SHORT), draw(st.integers(0, (1 << 63) - 1)))
    return item


ITEMS = make_items()


def same(item: Item) -> tuple[object, ...]:
    """All that a message is."""
    return (
        item.exchange,
        item.routing_key,
        item.properties,
        item.body,
        item.copies,
        item.hidden,
        item.has_died,
        item.redelivered,
        item.arrived_ms,
        None if item.provenance is None else (item.provenance.name, item.provenance.number),
    )


def headers(table: Table) -> bytes:
    """Properties with these headers only."""
    properties = BasicProperties()
    properties.headers = table
    return properties.encode()


def line(**content: object) -> bytes:
    """A line with an empty body and something more."""
    return json.dumps({"body": "", **content}).encode()


@given(ITEMS)
def test_round_trip(item: Item) -> None:
    written = lines.write(item)
    assert written.count(b"\n") == 1
    assert written.endswith(b"\n")
    assert written.decode()  # it is UTF-8
    assert same(lines.read(written, "q")) == same(item)
    again = json.dumps(json.loads(written)).encode()  # by a program that writes ASCII
    assert same(lines.read(again, "q")) == same(item)


@given(TABLES)
def test_headers_are_readable(table: Table) -> None:
    content = json.loads(lines.write(Item("", "q", headers(table), b"")))
    assert list(content["properties"]["headers"]) == list(table)


@given(st.lists(ITEMS, max_size=5))
def test_encoded_messages(items: list[Item]) -> None:
    data = b"".join(codec.encode(item) for item in items)
    assert [same(item) for item in codec.decode(data)] == [same(item) for item in items]
    again: list[bytes] = []
    for item in items:
        message = item.message()
        assert message.arrived_ms == 0  # it has not arrived yet
        message.arrived_ms = item.arrived_ms
        again.append(codec.encode(codec.unframed(message, item.redelivered)))
    assert b"".join(again) == data


def test_what_a_line_looks_like() -> None:
    properties = BasicProperties()
    properties.content_type = "text/plain"
    properties.delivery_mode = 2
    properties.message_type = "greeting"
    properties.timestamp = 1764000000
    properties.headers = {
        "text": fields.longstr("Grüße"),
        "bytes": fields.longstr(b"\xff"),
        "long": fields.long(5),
        "int": fields.signedint(5),
        "double": Field(fields.FLOAT64, 5.0),
        "minus": Field(fields.FLOAT32, float("-inf")),
        "float": Field(fields.FLOAT32, 0.5),
        "price": Field(fields.DECIMAL, (2, 5)),
        "whole": Field(fields.DECIMAL, (0, 5)),
        "when": fields.timestamp(5),
        "binary": Field(fields.BINARY, b"\x00"),
        "nothing": Field(fields.VOID, None),
        "yes": fields.boolean(True),
        "list": fields.array([Field(fields.INT16, -5), fields.array([])]),
        "table": fields.table({"$a": fields.long(1), "b": fields.table({})}),
        "odd": fields.table({"$long": fields.long(1)}),
    }
    item = Item("letters", "de", properties.encode(), b"Hello!", ("cc",), ("bcc",))
    item.redelivered = item.has_died = True
    assert json.loads(lines.write(item)) == {
        "exchange": "letters",
        "routing_key": "de",
        "cc": ["cc"],
        "bcc": ["bcc"],
        "dead_letter": True,
        "redelivered": True,
        "properties": {
            "content_type": "text/plain",
            "type": "greeting",
            "delivery_mode": 2,
            "timestamp": 1764000000,
            "headers": {
                "text": "Grüße",
                "bytes": {"$longstr": "/w=="},
                "long": 5,
                "int": {"$signedint": 5},
                "double": 5.0,
                "minus": {"$float": "-inf"},
                "float": {"$float": 0.5},
                "price": {"$decimal": "0.05"},
                "whole": {"$decimal": "5"},
                "when": {"$timestamp": 5},
                "binary": {"$binary": "AA=="},
                "nothing": None,
                "yes": True,
                "list": [{"$short": -5}, []],
                "table": {"$a": 1, "b": {}},
                "odd": {"$table": {"$long": 1}},
            },
        },
        "body": "SGVsbG8h",
    }
    assert "Grüße".encode() in lines.write(item)


@pytest.mark.parametrize(
    "raw",
    [
        headers({"not": Field(fields.FLOAT64, float("nan")), "a": fields.long(1)}),
        b"\x20\x00\x00\x00\x00\x04\x01a\x6c\x00",  # a long that is cut short
        b"\x20\x00\x00\x00\x00\x08" + 2 * b"\x01at\x01",  # the same key twice
        b"\x20\x00\x00\x00\x00\x04\x01at\x02",  # true, but not as anybody writes it
        b"\x20\x00\x00\x00\x00\x0b\x01aL" + bytes(8),
        b"\x20\x00\x00\x00\x00\x03\x01a?",
    ],
)
def test_what_has_no_name_in_json_is_kept_as_bytes(raw: bytes) -> None:
    written = lines.write(Item("", "q", raw, b""))
    assert json.loads(written)["properties"] == {"$raw": base64.b64encode(raw).decode()}
    assert lines.read(written, "q").properties == raw


def test_deep_headers() -> None:
    deep = fields.table({})
    for _ in range(fields.MAX_DEPTH - 1):
        deep = fields.array([deep])
    written = lines.write(Item("", "q", headers({"deep": deep}), b""))
    assert "headers" in json.loads(written)["properties"]
    assert lines.read(written, "q").properties == headers({"deep": deep})


def test_a_line_by_hand() -> None:
    item = lines.read(b' {"body": "SGVsbG8h"} \r\n', "letters")
    assert same(item) == ("", "letters", b"\x00\x00", b"Hello!", (), (), False, False, 0, None)
    assert lines.read(b'{"exchange": "e", "body": ""}', "letters").routing_key == ""
    assert lines.read(b'{"routing_key": "k", "body": ""}', "letters").routing_key == "k"
    given = {"f": {"$float": 1}, "i": 1, "d": 1e2, "j": {"$double": 5}}
    number = lines.read(line(properties={"headers": given}), "q")
    assert number.properties == headers(
        {
            "f": Field(fields.FLOAT32, 1.0),
            "i": fields.long(1),
            "d": Field(fields.FLOAT64, 100.0),
            "j": Field(fields.FLOAT64, 5.0),
        }
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (b"\xff", "not UTF-8"),
        (b"hello", "not valid JSON: Expecting value at column 1"),
        (b'{"body": ""', "not valid JSON: Expecting ',' delimiter at column 12"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"body": "", "properties": {"priority": ' + b"9" * 5000 + b"}}", "a number has too many digits"),
        (b"7", "expected an object"),
        (b"{}", "body is missing"),
        (b'{"body": NaN}', "NaN is not valid JSON"),
        (b'{"body": "SGVsbG8"}', "body: expected base64"),
        (b'{"body": "@@@@"}', "body: expected base64"),
        (b'{"body": null}', "body: expected base64"),
        (line(payload="x"), f"payload: unknown key; known keys are {', '.join(lines.KEYS)}"),
        (line(exchange=None), "exchange: expected text"),
        (line(exchange="ü" * 128), "exchange: more than 255 bytes"),
        (line(exchange="\ud800"), "exchange: a surrogate that does not represent a byte"),
        (line(cc="x"), "cc: expected an array of at most 65535 items"),
        (line(bcc=[""] * 65536), "bcc: expected an array of at most 65535 items"),
        (line(bcc=[1]), "bcc[0]: expected text"),
        (line(redelivered=1), "redelivered: expected true or false"),
        (line(arrived_ms=-1), "arrived_ms: expected a whole number from 0 to 9223372036854775807"),
        (line(provenance="node"), "provenance: expected an object with name and number"),
        (line(provenance={"name": "node"}), "provenance: expected an object with name and number"),
        (line(provenance={"name": "n" * 256, "number": 1}), "provenance.name: more than 255 bytes"),
        (
            line(provenance={"name": "node", "number": 1 << 63}),
            "provenance.number: expected a whole number from 0 to 9223372036854775807",
        ),
        (line(properties=[]), "properties: expected an object"),
        (line(properties={"$raw": "AA==", "type": "x"}), "properties.type: unknown key; known keys are $raw"),
        (line(properties={"$raw": ""}), "properties.$raw: properties are cut short"),
        (line(properties={"$raw": "AAE="}), "properties.$raw: unknown property flags"),
        (line(properties={"priority": 256}), "properties.priority: expected a whole number from 0 to 255"),
        (line(properties={"priority": True}), "properties.priority: expected a whole number from 0 to 255"),
        (line(properties={"expiration": "soon"}), "properties.expiration: no_integer"),
        (line(properties={"headers": []}), "properties.headers: expected an object"),
        (line(properties={"headers": {"k" * 256: 1}}), "properties.headers: a key has more than 255 bytes"),
        (
            line(properties={"headers": {"a": [1 << 63]}}),
            "properties.headers.a[0]: expected a whole number from -9223372036854775808 to 9223372036854775807",
        ),
        (
            line(properties={"headers": {"a": {"$byte": 128}}}),
            "properties.headers.a.$byte: expected a whole number from -128 to 127",
        ),
        (
            line(properties={"headers": {"a": {"$decimal": "-1"}}}),
            'properties.headers.a.$decimal: expected a decimal number such as "3.14", whose digits '
            "without the point are less than 4294967296",
        ),
        (line(properties={"headers": {"a": {"$float": 1e39}}}), "properties.headers.a.$float: too large"),
        (line(properties={"headers": {"a": {"$float": 10**400}}}), "properties.headers.a.$float: too large"),
        (b'{"body": "", "properties": {"headers": {"a": 1e999}}}', "properties.headers.a: too large"),
        (line(properties={"headers": {"a": {"$double": 10**400}}}), "properties.headers.a.$double: too large"),
        (
            line(properties={"headers": {"a": {"$double": "1"}}}),
            'properties.headers.a.$double: expected a number, "inf" or "-inf"',
        ),
        (line(properties={"headers": {"a": {"$binary": 1}}}), "properties.headers.a.$binary: expected base64"),
        (
            line(properties={"headers": {"a": {"$x": 1}}}),
            f"properties.headers.a: unknown type $x; known types are {', '.join(f'${name}' for name in lines.TYPES)}",
        ),
        (
            line(properties={"headers": {"a": "x" * MAX_PROPERTIES}}),
            f"properties: {MAX_PROPERTIES + 13} bytes; at most {MAX_PROPERTIES} are allowed",
        ),
        (
            b'{"body": "", "properties": {"headers": {"a": ' + 129 * b"[" + 129 * b"]" + b"}}}",
            "properties.headers: tables nested more than 128 deep",
        ),
    ],
)
def test_what_is_no_line(given: bytes, reason: str) -> None:
    with pytest.raises(LineError) as raised:
        lines.read(given, "q")
    assert str(raised.value) == reason


def test_type_names() -> None:
    assert {*lines.TYPES} == {*fields.TYPE_NAMES.values()} - {"bool", "array", "void"}


def test_the_table_has_its_bytes() -> None:
    content = {"headers": {"a": {"$unsignedshort": 65535}}}
    properties = lines.read(line(properties=content), "q").properties
    assert properties == b"\x20\x00\x00\x00\x00\x05" + table_bytes({"a": Field(fields.UINT16, 65535)})


def test_a_large_body_is_written_in_pieces() -> None:
    body = bytes(range(256)) * (lines.PIECE // 128)  # two pieces and a bit
    item = Item("", "q", headers({}), body + b"more")
    pieces = list(lines.pieces(item))
    assert len(pieces) > 3
    assert max(map(len, pieces)) <= lines.PIECE * 4 // 3
    assert b"".join(pieces) + b"\n" == lines.write(item) == lines.dump(lines.to_json(item))
    assert lines.read(lines.write(item), "").body == body + b"more"
