"""A chunk: many messages as one value, the row that the embedded log writes.

Format 2, all numbers big-endian:

    u8 format, u32 number of messages, then for each message
        u16 number of places, for each place: u64 queue id, u64 position, u64 deadline in ms since 1970 or 0
        u8 flags: 1 for a dead letter
        u32 length and bytes of the address: exchange and routing key as short strings; if there are more keys,
            u32 number of copies, the copies, the hidden ones, all as long strings
        u32 length and bytes of the content (header and body frames)
    u32 CRC-32 of everything before

Format 1 had no deadlines and no flags, a u16 as length of the address, and no more keys in it.

To change it: give it a new format number, keep unpack() for the old one, write only the new one.
"""

from __future__ import annotations

import zlib
from typing import Final

from librt.strings import BytesWriter, read_i16_be, read_i32_be, read_i64_be, write_i32_be, write_i64_be
from mypy_extensions import i64, mypyc_attr

from leveret.core.message import Address, Message
from leveret.core.message import address as make_address
from leveret.wire.arguments import ArgumentReader
from leveret.wire.content import check_properties
from leveret.wire.fields import DecodeError, write_longstr, write_u16, write_u32

FORMAT: Final = 2
DEAD: Final = 1  # flags


@mypyc_attr(native_class=False)
class DamagedChunk(Exception):
    """The bytes are not what was written."""


class Entry:
    """One message and the places it has in queues: (queue id, position, deadline) each."""

    __slots__ = ("message", "places")

    def __init__(self, message: Message, places: list[tuple[int, int, int]]) -> None:
        self.message = message
        self.places = places

    def remove(self, queue_id: int, position: int) -> None:
        """Forget a place."""
        for at, place in enumerate(self.places):
            if place[0] == queue_id and place[1] == position:
                del self.places[at]
                return


def pack(entries: list[Entry]) -> bytes:
    """Entries as one chunk."""
    out = BytesWriter()
    out.append(FORMAT)
    write_i32_be(out, len(entries))
    for entry in entries:
        write_u16(out, len(entry.places))
        for queue_id, position, deadline_ms in entry.places:
            write_i64_be(out, queue_id)
            write_i64_be(out, position)
            write_i64_be(out, deadline_ms)
        message = entry.message
        out.append(DEAD if message.has_died else 0)
        address = _address_bytes(message.address)
        write_u32(out, len(address))
        out.write(address)
        write_u32(out, len(message.content))
        out.write(message.content)
    data = out.getvalue()
    return data + zlib.crc32(data).to_bytes(4, "big")


def _address_bytes(address: Address) -> bytes:
    if not address.copies and not address.hidden:
        return address.encoded
    out = BytesWriter()
    out.write(address.encoded)
    write_u32(out, len(address.copies))
    for key in (*address.copies, *address.hidden):
        write_longstr(out, key.encode("utf-8", "surrogateescape"))
    return out.getvalue()


def unpack(data: bytes) -> list[Entry]:
    """The entries of a chunk. Raises: DamagedChunk."""
    body = data[:-4]
    if not body or not 1 <= data[0] <= FORMAT:
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
    is_first = data[0] == 1
    pos: i64 = 5
    size: i64
    for _ in range(int(read_i32_be(data, 1))):
        places: list[tuple[int, int, int]] = []
        count: i64 = i64(read_i16_be(data, pos)) & 0xFFFF
        pos += 2
        while len(places) < count:
            deadline_ms = 0 if is_first else int(read_i64_be(data, pos + 16))
            places.append((int(read_i64_be(data, pos)), int(read_i64_be(data, pos + 8)), deadline_ms))
            pos += 16 if is_first else 24
        flags: i64 = 0
        if is_first:
            size = i64(read_i16_be(data, pos)) & 0xFFFF
            pos += 2
        else:
            flags = i64(data[pos])
            size = i64(read_i32_be(data, pos + 1)) & 0xFFFFFFFF
            pos += 5
        encoded = data[pos : pos + size]
        pos += size
        address = addresses.get(encoded)
        if address is None:
            address = addresses[encoded] = _address(encoded)
        size = i64(read_i32_be(data, pos)) & 0xFFFFFFFF
        content = data[pos + 4 : pos + 4 + size]
        pos += 4 + size
        entries.append(Entry(Message(address, content, check_properties(content), flags & DEAD != 0), places))
    return entries


def _address(data: bytes) -> Address:
    reader = ArgumentReader(data, 0)
    exchange, routing_key = reader.shortbytes(), reader.shortbytes()
    if reader.is_at_end():
        return Address(exchange, routing_key, data)
    count = reader.u32()
    keys: list[str] = []
    while not reader.is_at_end():
        keys.append(reader.longstr().decode("utf-8", "surrogateescape"))
    return make_address(exchange, routing_key, tuple(keys[:count]), tuple(keys[count:]))
