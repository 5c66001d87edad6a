"""Chunks: packed and unpacked, and any damage is seen."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.message import Message, address
from leveret.store.chunk import DamagedChunk, Entry, pack, unpack
from leveret.wire.content import make_content

NAMES = st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
PLACES = st.lists(st.tuples(st.integers(0, (1 << 62) - 1), st.integers(1, (1 << 63) - 1)), max_size=5)
Row = tuple[str, str, bytes, bool, list[tuple[int, int]]]
ROWS = st.lists(st.tuples(NAMES, NAMES, st.binary(max_size=80), st.booleans(), PLACES), max_size=8)


def entry(row: Row) -> Entry:
    """A message with its places."""
    exchange, key, body, persistent, places = row
    content = make_content(b"\x10\x00\x02" if persistent else b"\x00\x00", body)
    return Entry(Message(address(exchange, key), content, persistent), places)


def row(entry: Entry) -> Row:
    """What is in an entry."""
    where = entry.message.address
    return where.exchange, where.routing_key, entry.message.body(), entry.message.persistent, entry.places


@given(ROWS)
def test_round_trip(rows: list[Row]) -> None:
    entries = [entry(each) for each in rows]
    again = unpack(pack(entries))
    assert [row(each) for each in again] == rows
    assert [each.message.address.encoded for each in again] == [e.message.address.encoded for e in entries]


@given(ROWS, st.data())
def test_damage_is_seen(rows: list[Row], data: st.DataObject) -> None:
    whole = pack([entry(each) for each in rows])
    broken = bytearray(whole)
    broken[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedChunk):
        unpack(bytes(broken))
    with pytest.raises(DamagedChunk):
        unpack(whole[: data.draw(st.integers(0, len(whole) - 1))])


def test_another_format_is_refused() -> None:
    data = b"\x02" + pack([])[1:-4]
    with pytest.raises(DamagedChunk, match="unknown format"):
        unpack(data + zlib.crc32(data).to_bytes(4, "big"))
