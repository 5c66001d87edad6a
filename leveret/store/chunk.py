"""A chunk: many messages, as two values in one database row.

Format 5, all numbers big-endian. The head describes the messages; a start reads only the heads:

    u8 format
    u32 number of addresses, for each: u32 length, and as many bytes
    u32 number of messages, for each:
        u16 number of places, for each place:
            u64 queue id, u64 position, u64 deadline in ms since 1970 or 0, u8 priority in the queue
        u8 flags: 1 for a dead letter; 2, 4 and 8 see below
        u16 index of its address, u32 length of the content, u32 size of the body, u32 CRC-32 of the content
        with flag 2: u64 arrival time in ms since 1970, or 0 for unknown; without, the arrival time of the message
            before, 0 for the first one
        with flag 4: u16 number of places with counts, for each: u16 index of the place, u64 counts as in QueueEntry;
            all other places have 0
        with flag 8: its provenance, a name as short string and u64 number
    u32 CRC-32 of everything before

Format 4 is the same with flag 1 only.

The data is the concatenated contents. A content is header and body frames. An address is exchange and routing key as
short strings; if there are more keys, u32 number of copies (CC), the copies and the hidden keys (BCC), all as long
strings.

To change the format: take a new number, let parse() read the old one too, write only the new one.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from typing import Final

from librt.strings import BytesWriter, read_i16_be, read_i32_be, read_i64_be, write_i64_be
from mypy_extensions import i64, mypyc_attr

from leveret.core.message.message import Address, Message, Provenance
from leveret.core.message.message import address as make_address
from leveret.wire.arguments import ArgumentReader
from leveret.wire.content import check_properties
from leveret.wire.fields import DecodeError, write_longstr, write_shortstr, write_u16, write_u32

FORMAT: Final = 5
OLDEST_FORMAT: Final = 4  # still read
DEAD: Final = 1  # flags
OTHER_TIME: Final = 2
COUNTED: Final = 4
CAME_FROM: Final = 8
SUM: Final = 4  # bytes of a checksum
PLACE: Final = 25  # bytes of a place
COUNT: Final = 10  # bytes of the counts of a place
MAX_PLACES: Final = 0xFFFF  # of one message in a chunk; with more, the message is repeated
ANY: Final = 0  # queue id: any queue
ALL: Final = -1  # position: all of the queue
ANYWHERE: Final = 0  # chunk id: any chunk
MAX_CHUNK: Final = 1 << 60  # chunk ids are below it
MAX_POSITION: Final = 1 << 62  # no queue reaches it; after a higher one, 64 bits might overflow
MAX_ID: Final = (1 << 63) - 1  # of a queue, positive or negative
FOREVER_MS: Final = 1 << 50  # a deadline beyond it, which only another version can have written, never passes


@mypyc_attr(native_class=False)
class DamagedChunk(Exception):
    """The bytes differ from what was written."""


Counts = dict[tuple[int, int], int]  # as in QueueEntry, by queue id and position


class Place:
    """A message's place in a queue. deadline_ms: since 1970, or 0. level: its priority in the queue.

    counts: how often the message was returned, as in QueueEntry.
    """

    __slots__ = ("counts", "deadline_ms", "level", "position", "queue_id")

    def __init__(self, queue_id: i64, position: i64, deadline_ms: i64, level: i64) -> None:
        self.queue_id: i64 = queue_id
        self.position: i64 = position
        self.deadline_ms: i64 = deadline_ms
        self.level: i64 = level
        self.counts: i64 = 0


class Entry(Place):
    """A place to write, with its message; None once it need not be written."""

    __slots__ = ("message",)

    def __init__(self, queue_id: i64, position: i64, deadline_ms: i64, level: i64, message: Message) -> None:
        super().__init__(queue_id, position, deadline_ms, level)
        self.message: Message | None = message


class Label:
    """The description of one message in the head.

    places: all, or those left. address: index of its address in the head. start, length: of the content in the data.
    size: bytes of the body. arrived_ms, provenance: as in Message.
    """

    __slots__ = ("address", "arrived_ms", "checksum", "flags", "length", "places", "provenance", "size", "start")

    def __init__(self, places: list[Place]) -> None:
        self.places = places
        self.flags: i64 = 0
        self.address: i64 = 0
        self.start: i64 = 0
        self.length: i64 = 0
        self.size: i64 = 0
        self.checksum: i64 = 0
        self.arrived_ms: i64 = 0
        self.provenance: Provenance | None = None


class Head:
    """A decoded head. count: all messages in the chunk, not only those requested."""

    __slots__ = ("_addresses", "count", "encoded", "labels")

    def __init__(self) -> None:
        self.count: i64 = 0
        self.labels: list[Label] = []
        self.encoded: list[bytes] = []
        self._addresses: list[Address | None] = []

    def message(self, label: Label, content: bytes) -> Message:
        """The message of a label. Raises: DamagedChunk when the content does not match."""
        if len(content) != label.length or zlib.crc32(content) != label.checksum:
            raise DamagedChunk("checksum does not match")
        if not self._addresses:
            self._addresses = [None] * len(self.encoded)
        try:
            address = self._addresses[label.address]
            if address is None:
                address = self._addresses[label.address] = _address(self.encoded[label.address])
            message = Message(address, content, check_properties(content), label.flags & DEAD != 0)
        except (IndexError, DecodeError) as error:
            raise DamagedChunk(str(error)) from None
        message.arrived_ms = label.arrived_ms
        message.provenance = label.provenance
        return message

    def keep(self, wanted: list[int]) -> None:
        """Remove all places except the wanted positions, ascending; for a head that was read for one queue."""
        kept: list[Label] = []
        at: i64 = 0
        for label in self.labels:
            places: list[Place] = []
            for place in label.places:
                if at >= len(wanted) or i64(wanted[at]) != place.position:
                    at = bisect_left(wanted, int(place.position))
                if at < len(wanted) and i64(wanted[at]) == place.position:
                    places.append(place)
                    at += 1
            label.places = places
            if places:
                kept.append(label)
        self.labels = kept

    def cross_out(self, gone: set[tuple[int, int]]) -> None:
        """Remove places that are gone, given as (queue id, position) or (queue id, ALL)."""
        if gone:
            for label in self.labels:
                label.places = [place for place in label.places if not _is_in(place, gone)]

    def add_counts(self, counts: Counts) -> None:
        """Apply counts that were noted since the chunk was written."""
        if counts:
            for label in self.labels:
                for place in label.places:
                    found = counts.get((int(place.queue_id), int(place.position)))
                    if found is not None:
                        place.counts = max(place.counts, i64(found))


class Packer:
    """Encodes a chunk."""

    def __init__(self) -> None:
        self._addresses = BytesWriter()
        self._labels = BytesWriter()
        self._data: list[bytes] = []
        self._address_count: i64 = 0
        self._arrived_ms: i64 = 0  # of the message before
        self._has_counts = False  # whether a place of this message has counts
        self._counts = BytesWriter()

    def address(self, encoded: bytes) -> i64:
        """Add an address. Returns: its index."""
        write_u32(self._addresses, len(encoded))
        self._addresses.write(encoded)
        self._address_count += 1
        return self._address_count - 1

    def begin(self, count: i64) -> None:
        """Begin a message. count: how many places follow."""
        write_u16(self._labels, count)

    def place(self, place: Place) -> None:
        """Add a place of the message."""
        out = self._labels
        write_i64_be(out, place.queue_id)
        write_i64_be(out, place.position)
        write_i64_be(out, place.deadline_ms)
        out.append(place.level)

    def count(self, number: i64, counts: i64) -> None:
        """Add the counts of a place. number: index of the place in the message."""
        self._has_counts = True
        write_u16(self._counts, number)
        write_i64_be(self._counts, counts)

    def end(
        self,
        is_dead: bool,
        address: i64,
        content: bytes,
        size: i64,
        checksum: i64,
        arrived_ms: i64,
        provenance: Provenance | None,
    ) -> None:
        """End the message with its content."""
        out = self._labels
        flags: i64 = DEAD if is_dead else 0
        if arrived_ms != self._arrived_ms:
            flags |= OTHER_TIME
        if self._has_counts:
            flags |= COUNTED
        if provenance is not None:
            flags |= CAME_FROM
        out.append(flags)
        write_u16(out, address)
        write_u32(out, len(content))
        write_u32(out, size)
        write_u32(out, checksum)
        self._data.append(content)
        if flags > DEAD:
            self._more(flags, arrived_ms, provenance)

    def _more(self, flags: i64, arrived_ms: i64, provenance: Provenance | None) -> None:
        """Write the optional parts."""
        out = self._labels
        if flags & OTHER_TIME:
            self._arrived_ms = arrived_ms
            write_i64_be(out, arrived_ms)
        if flags & COUNTED:
            write_u16(out, len(self._counts) // COUNT)
            out.write(self._counts.getvalue())
            self._counts = BytesWriter()
            self._has_counts = False
        if provenance is not None:
            write_shortstr(out, provenance.name)
            write_i64_be(out, provenance.number)

    def finish(self) -> tuple[bytes, bytes]:
        """Returns: head and data."""
        out = BytesWriter()
        out.append(FORMAT)
        write_u32(out, self._address_count)
        out.write(self._addresses.getvalue())
        write_u32(out, len(self._data))
        out.write(self._labels.getvalue())
        head = out.getvalue()
        return head + zlib.crc32(head).to_bytes(4, "big"), b"".join(self._data)


def pack(entries: list[Entry]) -> tuple[bytes, bytes]:
    """Encode entries as head and data of a chunk. All have a message; entries of one message are adjacent."""
    packer = Packer()
    numbers: dict[Address, i64] = {}
    crc32 = zlib.crc32
    address: Address | None = None
    number: i64 = 0
    at: i64 = 0
    while at < len(entries):
        message = entries[at].message
        assert message is not None
        if message.address is not address:
            address = message.address
            number = numbers.get(address, -1)
            if number < 0:
                number = numbers[address] = packer.address(_address_bytes(address))
        end: i64 = at + 1
        while end < len(entries) and entries[end].message is message and end - at < MAX_PLACES:
            end += 1
        packer.begin(end - at)
        first = at
        while at < end:
            entry = entries[at]
            packer.place(entry)
            if entry.counts:
                packer.count(at - first, entry.counts)
            at += 1
        content = message.content
        packer.end(
            message.has_died,
            number,
            content,
            message.size,
            crc32(content),
            message.arrived_ms,
            message.provenance,
        )
    return packer.finish()


def trim(head: Head, data: bytes) -> tuple[bytes, bytes]:
    """Head and data of the same chunk without messages that have no places left. Contents are not checked."""
    packer = Packer()
    numbers: dict[i64, i64] = {}
    for label in head.labels:
        if not label.places:
            continue
        number = numbers.get(label.address, -1)
        if number < 0:
            number = numbers[label.address] = packer.address(head.encoded[label.address])
        content = data[label.start : label.start + label.length]
        if len(content) != label.length:
            raise DamagedChunk("head and data are inconsistent")
        packer.begin(len(label.places))
        for number_of_place, place in enumerate(label.places):
            packer.place(place)
            if place.counts:
                packer.count(number_of_place, place.counts)
        is_dead = label.flags & DEAD != 0
        packer.end(is_dead, number, content, label.size, label.checksum, label.arrived_ms, label.provenance)
    return packer.finish()


def parse(head: bytes, queue_id: i64 = ANY) -> Head:
    """Decode a head, for all queues or for one. Raises: DamagedChunk."""
    if not head or not OLDEST_FORMAT <= head[0] <= FORMAT:
        raise DamagedChunk("unknown format")
    if len(head) < SUM or zlib.crc32(head[:-SUM]) != int.from_bytes(head[-SUM:], "big"):
        raise DamagedChunk("checksum does not match")
    try:
        return _parse(head, queue_id)
    except IndexError:
        raise DamagedChunk("it is cut short") from None


def _parse(head: bytes, queue_id: i64) -> Head:
    found = Head()
    pos: i64 = 5
    for _ in range(_u32(head, 1)):
        size = _u32(head, pos)
        found.encoded.append(head[pos + 4 : pos + 4 + size])
        pos += 4 + size
    found.count = _u32(head, pos)
    pos += 4
    start: i64 = 0
    arrived_ms: i64 = 0
    for _ in range(found.count):
        end: i64 = pos + 2 + PLACE * _u16(head, pos)
        pos += 2
        first = pos
        places: list[Place] | None = None
        while pos < end:
            owner: i64 = read_i64_be(head, pos)
            if queue_id == ANY or queue_id == owner:
                if places is None:
                    places = []
                position, deadline_ms = read_i64_be(head, pos + 8), read_i64_be(head, pos + 16)
                if position <= 0 or owner == 0 or owner < -MAX_ID:
                    raise DamagedChunk("it contains an invalid place")
                if deadline_ms < 0 or deadline_ms > FOREVER_MS:
                    deadline_ms = FOREVER_MS
                places.append(Place(owner, position, deadline_ms, head[pos + 24]))
            pos += PLACE
        flags: i64 = head[pos]
        length = _u32(head, pos + 3)
        label: Label | None = None
        if places is not None:
            label = Label(places)
            label.flags = flags
            label.address = _u16(head, pos + 1)
            label.start = start
            label.length = length
            label.size = _u32(head, pos + 7)
            label.checksum = _u32(head, pos + 11)
            if label.address >= len(found.encoded):
                raise DamagedChunk("its parts do not belong together")
            found.labels.append(label)
        start += length
        pos += 15
        if flags & OTHER_TIME:
            arrived_ms = read_i64_be(head, pos)
            pos += 8
        if label is not None:
            label.arrived_ms = arrived_ms
        if flags & COUNTED:
            end = pos + 2 + COUNT * _u16(head, pos)
            if places is not None:
                _parse_counts(head, pos + 2, end, first, places)
            pos = end
        if flags & CAME_FROM:
            end = pos + 1 + i64(head[pos])
            if label is not None:
                name = head[pos + 1 : end].decode("utf-8", "surrogateescape")
                label.provenance = Provenance(name, read_i64_be(head, end))
            pos = end + 8
    if pos != len(head) - SUM:
        raise DamagedChunk("its parts do not belong together")
    return found


def _parse_counts(head: bytes, pos: i64, end: i64, first: i64, places: list[Place]) -> None:
    """Decode the counts of places. first: offset of the places of all queues, of which these are a part."""
    at: i64 = 0
    while pos < end:
        where: i64 = first + PLACE * _u16(head, pos)
        queue_id, position = read_i64_be(head, where), read_i64_be(head, where + 8)
        behind: i64 = at
        while behind < len(places) and (places[behind].queue_id != queue_id or places[behind].position != position):
            behind += 1
        if behind < len(places):
            places[behind].counts = read_i64_be(head, pos + 2)
            at = behind + 1
        pos += COUNT


def _is_in(place: Place, gone: set[tuple[int, int]]) -> bool:
    queue_id = int(place.queue_id)
    return (queue_id, int(place.position)) in gone or (queue_id, ALL) in gone


def _u16(data: bytes, pos: i64) -> i64:
    return i64(read_i16_be(data, pos)) & 0xFFFF


def _u32(data: bytes, pos: i64) -> i64:
    return i64(read_i32_be(data, pos)) & 0xFFFFFFFF


def _address_bytes(address: Address) -> bytes:
    if not address.copies and not address.hidden:
        return address.encoded
    out = BytesWriter()
    out.write(address.encoded)
    write_u32(out, len(address.copies))
    for key in (*address.copies, *address.hidden):
        write_longstr(out, key.encode("utf-8", "surrogateescape"))
    return out.getvalue()


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
