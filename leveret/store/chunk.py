"""A chunk: many messages as two values, the row that the embedded log writes.

Format 3, all numbers big-endian. The head says what is in it:

    u8 format, u32 number of messages, then for each message
        u16 number of places, for each place:
            u64 queue id, u64 position, u64 deadline in ms since 1970 or 0, u8 priority in the queue
        u8 flags: 1 for a dead letter
        u32 length of the address, u32 length of the content
    u32 CRC-32 of everything before

The data has the address and the content of each message, one behind the other, and a u32 CRC-32 of them. An address
is exchange and routing key as short strings; if there are more keys, u32 number of copies, the copies, the hidden
ones, all as long strings. A content is header and body frames.

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

FORMAT: Final = 3
DEAD: Final = 1  # flags
SUM: Final = 4  # bytes of a checksum


@mypyc_attr(native_class=False)
class DamagedChunk(Exception):
    """The bytes are not what was written."""


class Entry:
    """One message and the places it has in queues: (queue id, position, deadline, priority) each."""

    __slots__ = ("message", "places")

    def __init__(self, message: Message, places: list[tuple[int, int, int, int]]) -> None:
        self.message = message
        self.places = places

    def remove(self, queue_id: int, position: int) -> None:
        """Forget a place."""
        for at, place in enumerate(self.places):
            if place[0] == queue_id and place[1] == position:
                del self.places[at]
                return


def pack(entries: list[Entry]) -> tuple[bytes, bytes]:
    """Entries as head and data of a chunk."""
    head, data = BytesWriter(), BytesWriter()
    head.append(FORMAT)
    write_i32_be(head, len(entries))
    for entry in entries:
        write_u16(head, len(entry.places))
        for queue_id, position, deadline_ms, level in entry.places:
            write_i64_be(head, queue_id)
            write_i64_be(head, position)
            write_i64_be(head, deadline_ms)
            head.append(level)
        message = entry.message
        head.append(DEAD if message.has_died else 0)
        address = _address_bytes(message.address)
        write_u32(head, len(address))
        write_u32(head, len(message.content))
        data.write(address)
        data.write(message.content)
    return _summed(head.getvalue()), _summed(data.getvalue())


def _summed(data: bytes) -> bytes:
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


def unpack(head: bytes, data: bytes) -> list[Entry]:
    """The entries of a chunk. Raises: DamagedChunk."""
    if not head or head[0] != FORMAT:
        raise DamagedChunk("unknown format")
    for part in (head, data):
        if len(part) < SUM or zlib.crc32(part[:-SUM]) != int.from_bytes(part[-SUM:], "big"):
            raise DamagedChunk("checksum does not match")
    try:
        return _entries(head, data)
    except (IndexError, DecodeError) as error:
        raise DamagedChunk(str(error)) from None


def _entries(head: bytes, data: bytes) -> list[Entry]:
    entries: list[Entry] = []
    addresses: dict[bytes, Address] = {}
    pos: i64 = 5
    start: i64 = 0
    for _ in range(int(read_i32_be(head, 1))):
        places: list[tuple[int, int, int, int]] = []
        count: i64 = i64(read_i16_be(head, pos)) & 0xFFFF
        pos += 2
        while len(places) < count:
            queue_id, position = int(read_i64_be(head, pos)), int(read_i64_be(head, pos + 8))
            places.append((queue_id, position, int(read_i64_be(head, pos + 16)), head[pos + 24]))
            pos += 25
        flags: i64 = i64(head[pos])
        size: i64 = i64(read_i32_be(head, pos + 1)) & 0xFFFFFFFF
        encoded = data[start : start + size]
        start += size
        address = addresses.get(encoded)
        if address is None:
            address = addresses[encoded] = _address(encoded)
        size = i64(read_i32_be(head, pos + 5)) & 0xFFFFFFFF
        content = data[start : start + size]
        start += size
        pos += 9
        entries.append(Entry(Message(address, content, check_properties(content), flags & DEAD != 0), places))
    if pos != len(head) - SUM or start != len(data) - SUM:
        raise DecodeError("head and data do not belong together")
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
