"""Hashes to distribute and recognize messages: the same in every process, on every machine and on both builds.

A hash has 32 bits. The multipliers are smaller than 2^31, so that every product fits into a signed 64-bit number.
"""

from __future__ import annotations

import zlib
from hashlib import blake2b
from typing import Final

from mypy_extensions import i64

from leveret.wire.fields import BINARY, LONGSTR, Field

LONG: Final = 64  # bytes; longer values are replaced by their hash


def mix(value: i64) -> i64:
    """Mix a number into all 32 bits: neighbouring numbers get distant hashes."""
    value = ((value ^ (value >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    value = ((value ^ (value >> 15)) * 0x7FEB352D) & 0xFFFFFFFF
    value = ((value ^ (value >> 15)) * 0x119DE1F3) & 0xFFFFFFFF
    return value ^ (value >> 16)


def fingerprint(data: bytes) -> i64:
    """The 32-bit hash of bytes."""
    return mix(i64(zlib.crc32(data)))


def identity(field: Field) -> bytes:
    """Bytes that are equal for values that RabbitMQ considers equal: the width of a number does not count."""
    if field.kind in (LONGSTR, BINARY):
        assert isinstance(field.value, bytes)
        return b"s" + field.value
    if field.is_integer:
        return b"n" + str(field.integer).encode()
    return b"o" + repr(field.comparable()).encode()


def shortened(value: bytes) -> bytes:
    """The value itself, or its hash if it is long."""
    return value if len(value) < LONG else b"h" + blake2b(value, digest_size=32).digest()
