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
NUMBERS = st.integers(1, (1 << 63) - 1)
PLACES = st.lists(
    st.tuples(st.integers(0, (1 << 62) - 1), NUMBERS, st.integers(0, 1 << 50), st.integers(0, 255)), max_size=5
)
KEYS = st.lists(st.one_of(NAMES, st.just("long" * 100)), max_size=2).map(tuple)
Row = tuple[str, str, tuple[str, ...], tuple[str, ...], bytes, bool, bool, list[tuple[int, int, int, int]]]
ROWS = st.lists(
    st.tuples(NAMES, NAMES, KEYS, KEYS, st.binary(max_size=80), st.booleans(), st.booleans(), PLACES), max_size=8
)


def entry(row: Row) -> Entry:
    """A message with its places."""
    exchange, key, copies, hidden, body, persistent, has_died, places = row
    content = make_content(b"\x10\x00\x02" if persistent else b"\x00\x00", body)
    return Entry(Message(address(exchange, key, copies, hidden), content, persistent, has_died), places)


def row(entry: Entry) -> Row:
    """What is in an entry."""
    message = entry.message
    where = message.address
    keys = where.exchange, where.routing_key, where.copies, where.hidden
    return *keys, message.body(), message.persistent, message.has_died, entry.places


@given(ROWS)
def test_round_trip(rows: list[Row]) -> None:
    entries = [entry(each) for each in rows]
    again = unpack(*pack(entries))
    assert [row(each) for each in again] == rows
    assert [each.message.address.encoded for each in again] == [e.message.address.encoded for e in entries]


@given(ROWS, st.data())
def test_damage_is_seen(rows: list[Row], data: st.DataObject) -> None:
    parts = list(pack([entry(each) for each in rows]))
    which = data.draw(st.integers(0, 1))
    whole = parts[which]
    broken = bytearray(whole)
    broken[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(broken), whole[: data.draw(st.integers(0, len(whole) - 1))]):
        parts[which] = damaged
        with pytest.raises(DamagedChunk):
            unpack(parts[0], parts[1])


def test_head_and_data_belong_together() -> None:
    parts = [pack([entry(("x", "key", (), (), body, True, False, [(1, 1, 0, 0)]))]) for body in (b"long", b"")]
    with pytest.raises(DamagedChunk, match="do not belong together"):
        unpack(parts[1][0], parts[0][1])
    with pytest.raises(DamagedChunk):
        unpack(parts[0][0], parts[1][1])


@pytest.mark.parametrize("number", [0, 2, 4])
def test_another_format_is_refused(number: int) -> None:
    head, data = pack([])
    head = bytes((number,)) + head[1:-4]
    with pytest.raises(DamagedChunk, match="unknown format"):
        unpack(head + zlib.crc32(head).to_bytes(4, "big"), data)
