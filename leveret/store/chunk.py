"""A chunk: many messages as one value, the row that the embedded log writes.

Format 1, all numbers big-endian:

    u8 format, u32 number of messages, then for each message
        u16 number of places, for each place: u64 queue id, u64 position
        u16 length and bytes of the address (exchange and routing key as short strings)
        u32 length and bytes of the content (header and body frames)
    u32 CRC-32 of everything before

To change it: give it a new format number, keep unpack() for the old one, write only the new one.
"""

from __future__ import annotations

import zlib
from typing import Final

from librt.strings import BytesWriter, read_i16_be, read_i32_be, read_i64_be, write_i32_be, write_i64_be
from mypy_extensions import i64, mypyc_attr

from leveret.core.message import Address, Message
from leveret.wire.arguments import ArgumentReader
from leveret.wire.content import check_properties
from leveret.wire.fields import DecodeError, write_u16, write_u32

FORMAT: Final = 1


@mypyc_attr(native_class=False)
class DamagedChunk(Exception):
    """The bytes are not what was written."""


class Entry:
    """One message and the places it has in queues: (queue id, position) each."""

    __slots__ = ("message", "places")

    def __init__(self, message: Message, places: list[tuple[int, int]]) -> None:
        self.message = message
        self.places = places


def pack(entries: list[Entry]) -> bytes:
    """Entries as one chunk."""
    out = BytesWriter()
    out.append(FORMAT)
    write_i32_be(out, len(entries))
    for entry in entries:
        write_u16(out, len(entry.places))
        for queue_id, position in entry.places:
            write_i64_be(out, queue_id)
            write_i64_be(out, position)
        address = entry.message.address.encoded
        write_u16(out, len(address))
        out.write(address)
        write_u32(out, len(entry.message.content))
        out.write(entry.message.content)
    data = out.getvalue()
    return data + zlib.crc32(data).to_bytes(4, "big")


def unpack(data: bytes) -> list[Entry]:
    """The entries of a chunk. Raises: DamagedChunk."""
    body = data[:-4]
    if not body or data[0] != FORMAT:
        raise DamagedChunk("unknown format")
    if zlib.crc32(body) != int.from_bytes(data[-4:], "big"):
        raise DamagedChunk("checksum does not match")
    try:
        return _entries(body)
    except (IndexError, DecodeError) as error:
        raise DamagedChunk(str(error)) from None


def _entries(data: bytes) -> list[Entry]:
    entries: list[Entry] = []
    addresses: dict[bytes, Address] = {}
    pos: i64 = 5
    for _ in range(int(read_i32_be(data, 1))):
        places: list[tuple[int, int]] = []
        count: i64 = i64(read_i16_be(data, pos)) & 0xFFFF
        pos += 2
        while len(places) < count:
            places.append((int(read_i64_be(data, pos)), int(read_i64_be(data, pos + 8))))
            pos += 16
        size: i64 = i64(read_i16_be(data, pos)) & 0xFFFF
        encoded = data[pos + 2 : pos + 2 + size]
        pos += 2 + size
        address = addresses.get(encoded)
        if address is None:
            reader = ArgumentReader(encoded, 0)
            address = addresses[encoded] = Address(reader.shortbytes(), reader.shortbytes(), encoded)
        size = i64(read_i32_be(data, pos)) & 0xFFFFFFFF
        content = data[pos + 4 : pos + 4 + size]
        pos += 4 + size
        entries.append(Entry(Message(address, content, check_properties(content)), places))
    return entries
