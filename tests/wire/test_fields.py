"""Field tables: what is written is read again, what is read is written again, and the spec's bytes come out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.wire import fields
from leveret.wire.fields import MAX_DEPTH, DecodeError, Field, Table, decode_table, table_bytes
from tests.clients.strategies import TABLES


@given(TABLES)
def test_round_trip(content: Table) -> None:
    data = table_bytes(content)
    again = decode_table(data, 0, len(data))
    assert again == content
    assert list(again) == list(content)
    assert table_bytes(again) == data
    assert fields.comparable(again) == fields.comparable(content)


@given(TABLES, st.binary(max_size=9), st.binary(max_size=9))
def test_reads_only_its_own_bytes(content: Table, before: bytes, after: bytes) -> None:
    data = table_bytes(content)
    assert decode_table(before + data + after, len(before), len(before) + len(data)) == content


@given(TABLES.filter(bool), st.data())
def test_a_table_that_is_cut_is_refused_or_ends_between_two_pairs(content: Table, data: st.DataObject) -> None:
    whole = table_bytes(content)
    end = data.draw(st.integers(0, len(whole) - 1))
    try:
        part = decode_table(whole, 0, end)
    except DecodeError:
        return
    assert list(part.items()) == list(content.items())[: len(part)]


def test_golden_table() -> None:
    golden = bytes.fromhex(
        "00000021 016174 01 016249 ffffffff 016353 00000001 78 01646c 0000000000000005 016556".replace(" ", "")
    )
    content: Table = {
        "a": fields.boolean(True),
        "b": fields.signedint(-1),
        "c": fields.longstr("x"),
        "d": fields.long(5),
        "e": Field(fields.VOID, None),
    }
    assert golden[4:] == table_bytes(content)
    assert decode_table(golden, 4, len(golden)) == content


def test_the_first_of_equal_keys_counts() -> None:
    data = b"\x01aB\x01\x01aB\x02"
    assert decode_table(data, 0, len(data)) == {"a": Field(fields.UINT8, 1)}


def test_any_bytes_of_a_key_survive() -> None:
    data = b"\x03\xff\x00\xe4V"
    assert table_bytes(decode_table(data, 0, len(data))) == data


def test_read_only_type_is_sent_as_the_ordinary_one() -> None:
    data = b"\x01aL" + bytes(7) + b"\x09"
    content = decode_table(data, 0, len(data))
    assert content == {"a": fields.long(9)}
    assert table_bytes(content) == data.replace(b"L", b"l")


def nested(depth: int, kind: bytes) -> bytes:
    """A table that holds a table, or array, that holds ... so many times."""
    inner = b""
    for _ in range(depth - 1):
        inner = (b"\x01k" if kind == b"F" else b"") + kind + len(inner).to_bytes(4, "big") + inner
    return b"\x01k" + kind + len(inner).to_bytes(4, "big") + inner


@pytest.mark.parametrize("kind", [b"F", b"A"])
def test_depth_is_limited(kind: bytes) -> None:
    allowed = nested(MAX_DEPTH, kind)
    assert table_bytes(decode_table(allowed, 0, len(allowed))) == allowed
    too_deep = nested(MAX_DEPTH + 1, kind)
    with pytest.raises(DecodeError, match="nested"):
        decode_table(too_deep, 0, len(too_deep))


@pytest.mark.parametrize("kind", [b"F", b"A"])
def test_what_is_stored_may_be_deeper(kind: bytes) -> None:
    raw = nested(MAX_DEPTH + 100, kind)
    assert table_bytes(decode_table(raw, 0, len(raw), MAX_DEPTH + 100)) == raw
    with pytest.raises(DecodeError, match="more than 227 deep"):
        decode_table(raw, 0, len(raw), MAX_DEPTH + 99)


def test_any_depth_is_refused_without_a_stack() -> None:
    inner = b""
    for _ in range(20_000):
        inner = b"A" + len(inner).to_bytes(4, "big") + inner
    raw = b"\x01k" + inner
    with pytest.raises(DecodeError, match="nested more than 128 deep"):
        decode_table(raw, 0, len(raw))


def test_what_is_beside_and_behind_something_nested() -> None:
    content = {
        "a": fields.table(
            {"b": fields.array([fields.table({}), fields.long(1), fields.array([])]), "c": fields.long(2)}
        ),
        "d": fields.array([fields.table({"e": fields.array([fields.longstr("x")])}), fields.long(3)]),
        "f": fields.long(4),
    }
    raw = table_bytes(content)
    assert decode_table(raw, 0, len(raw)) == content


def test_of_equal_keys_with_something_nested_the_first_counts() -> None:
    first, second = table_bytes({"k": fields.table({"x": fields.long(1)})}), table_bytes({"k": fields.array([])})
    assert decode_table(first + second, 0, len(first + second)) == {"k": fields.table({"x": fields.long(1)})}


@pytest.mark.parametrize("kind", [fields.FLOAT32, fields.FLOAT64])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_floats_that_are_no_numbers(kind: int, value: float) -> None:
    field = Field(kind, value)
    for content in ({"k": field}, {"k": fields.array([fields.table({"k": field})])}):
        with pytest.raises(DecodeError, match="not a number"):
            fields.check_finite(content)
    assert field.comparable() == Field(kind, value).comparable()
    fields.check_finite({"k": Field(kind, 1.5), "l": fields.array([fields.longstr("x"), Field(fields.VOID, None)])})


def test_unknown_type_is_refused() -> None:
    with pytest.raises(DecodeError, match="unknown field type 122"):
        decode_table(b"\x01az", 0, 3)


@pytest.mark.parametrize("kind", [fields.INT8, fields.UINT16, fields.INT32, fields.INT64])
def test_numbers_of_any_width_compare_equal(kind: int) -> None:
    assert Field(kind, 7).comparable() == Field(fields.UINT8, 7).comparable()
    assert Field(kind, 7) != Field(fields.UINT8, 7)
