"""Encoding of the small database rows, each with a checksum: removals, counts and definitions."""

from __future__ import annotations

import zlib
from typing import Final

from librt.strings import BytesWriter, read_i64_be, write_i64_be
from mypy_extensions import i64

from leveret.store.chunk import Counts, DamagedChunk

SUM: Final = 4  # bytes of a checksum
COUNTS: Final = b"counts\0"  # prefix for their checksum, so that a row of `gone` is not mistaken for counts


def pack_places(places: BytesWriter) -> bytes:
    """Encode a row of `gone`. places: pairs of queue id and position, 8 bytes each."""
    return _summed(places.getvalue(), b"")


def unpack_places(row: bytes) -> list[tuple[int, int]]:
    """Decode queue ids and positions from a row of `gone`. Raises: DamagedChunk."""
    data = _checked(row, b"")
    places: list[tuple[int, int]] = []
    pos: i64 = 0
    while pos + 16 <= len(data):
        places.append((int(read_i64_be(data, pos)), int(read_i64_be(data, pos + 8))))
        pos += 16
    return places


def pack_counts(counts: Counts) -> bytes:
    """Encode a row of `counts`: for each place its queue id, position and counts, 8 bytes each."""
    out = BytesWriter()
    for (queue_id, position), count in counts.items():
        write_i64_be(out, queue_id)
        write_i64_be(out, position)
        write_i64_be(out, count)
    return _summed(out.getvalue(), COUNTS)


def unpack_counts(row: bytes) -> Counts:
    """Decode a row of `counts`. Raises: DamagedChunk."""
    data = _checked(row, COUNTS)
    counts: Counts = {}
    pos: i64 = 0
    while pos + 24 <= len(data):
        place = int(read_i64_be(data, pos)), int(read_i64_be(data, pos + 8))
        counts[place] = int(read_i64_be(data, pos + 16))
        pos += 24
    return counts


def pack_value(kind: str, key: str, value: bytes) -> bytes:
    """Encode the value of a definition for its row."""
    return _summed(value, _name(kind, key))


def unpack_value(kind: str, key: str, row: bytes) -> bytes:
    """Decode the value of a definition. Raises: DamagedChunk when it, its kind or its key is damaged."""
    return _checked(row, _name(kind, key))


def _name(kind: str, key: str) -> bytes:
    return f"{kind}\0{key}\0".encode("utf-8", "surrogateescape")


def _summed(data: bytes, before: bytes) -> bytes:
    return data + zlib.crc32(data, zlib.crc32(before)).to_bytes(SUM, "big")


def _checked(row: bytes, before: bytes) -> bytes:
    data = row[:-SUM]
    if len(row) < SUM or zlib.crc32(data, zlib.crc32(before)) != int.from_bytes(row[-SUM:], "big"):
        raise DamagedChunk("checksum does not match")
    return data
