"""Group: what happened since the last commit, and is written in one transaction."""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter, read_i64_be, write_i64_be
from mypy_extensions import i64

from leveret.core.message.message import Message
from leveret.store.chunk import ALL, ANYWHERE, Entry, Place
from leveret.store.index import Chunk, Index, Part

CHUNK_BYTES: Final = 1 << 20  # of contents in one chunk, about
CHUNK_ENTRIES: Final = 1024  # to pack or to read more than that would keep the core waiting
MANY_REMOVED: Final = 10_000  # that are not left to wait
ENTRY_BYTES: Final = 256  # that a message takes beside its content, about


class Strip:
    """What happened to one queue. highest: as in a Group, 0 for none.

    removed: positions in earlier groups, packed. counted: places there of which something was counted.
    """

    __slots__ = ("_entries", "_next", "counted", "highest", "queue_id", "removed")

    def __init__(self, queue_id: i64) -> None:
        self.queue_id: i64 = queue_id
        self.highest: i64 = 0
        self.removed = BytesWriter()
        self.counted: list[Place] = []
        self._entries: list[Entry] = []
        self._next: i64 = 0  # behind the one that was taken last

    def add(self, entry: Entry) -> None:
        """A message for the queue."""
        self._entries.append(entry)
        self.highest = entry.position

    def take(self, position: i64) -> bool:
        """A message need not be kept. Returns: whether it was here."""
        entries = self._entries
        at = self._next
        if at >= len(entries) or entries[at].position != position:  # messages go in order mostly
            at = self._find(position)
            if at == len(entries) or entries[at].position != position:
                return False
        entries[at].message = None
        self._next = at + 1
        return True

    def put_in_front(self, entries: list[Entry]) -> i64:
        """Take messages that an earlier group could not write. Returns: how many need not be written any more."""
        gone: set[int] = set()
        kept = BytesWriter()
        wanted = {int(entry.position): entry for entry in entries}
        positions = self.removed.getvalue()
        at: i64 = 0
        while at < len(positions):
            position = read_i64_be(positions, at)
            at += 8
            entry = wanted.get(int(position))
            if entry is None:
                write_i64_be(kept, position)
            else:
                entry.message = None
                gone.add(int(position))
        self.removed = kept
        self._entries = entries + self._entries
        self._next += len(entries)
        return len(gone)

    def take_all(self) -> None:
        """No message need be kept."""
        for entry in self._entries:
            entry.message = None
        self.highest = 0
        self.counted.clear()

    def find(self, position: i64) -> Entry | None:
        """A message that is here."""
        at = self._find(position)
        if at == len(self._entries) or self._entries[at].position != position:
            return None
        return self._entries[at]

    def _find(self, position: i64) -> i64:
        """Where the first entry is that is not in front of a position."""
        entries = self._entries
        low: i64 = 0
        high: i64 = len(entries)
        while low < high:
            middle = (low + high) // 2
            if entries[middle].position < position:
                low = middle + 1
            else:
                high = middle
        return low


class Group:
    """Built by the core's thread, sealed, then handed to the committer, who alone uses it from then on.

    entries: what is to be written, and what need not be any more; moved: those of them that are not refused when this
    cannot be written, but go into the next group with all that is removed. strips: by queue id; the highest of one is
    the last position that is durable once the group is, removed ones included.
    revision: of the definitions in it. size: bytes of the contents in it, with what it takes to remember them.
    Once sealed, written: new chunks; gone: places to cross out, by chunk, packed; counts: what was counted in chunks;
    emptied: chunks to delete; sparse: chunks to write anew. aside: damaged chunks to be kept as they are, and what is
    wrong with each.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.moved: list[Entry] = []
        self.strips: dict[int, Strip] = {}
        self.removed: i64 = 0  # how many, of earlier groups
        self.counted: i64 = 0  # how often, in these
        self.dropped: list[int] = []
        self.definitions: list[tuple[str, str, bytes | None]] = []
        self.revision = 0
        self.size: i64 = 0
        self.written: list[tuple[int, list[Entry]]] = []
        self.gone: dict[int, BytesWriter] = {}  # by chunk: queue id and position, one after the other
        self.counts: dict[int, list[Place]] = {}  # by chunk
        self.emptied: list[int] = []
        self.sparse: dict[int, None] = {}
        self.aside: dict[int, str] = {}
        self._last: Strip | None = None  # that was asked for
        self._last_message: Message | None = None

    def has_work(self) -> bool:
        """Whether somebody waits for this to be durable."""
        return bool(
            self.entries
            or self.removed
            or self.counted
            or self.dropped
            or self.definitions
            or self.gone
            or self.counts
            or self.emptied
            or self.sparse
            or self.aside
        )

    def is_urgent(self) -> bool:
        """Whether somebody waits for it now, or it has grown: removals and counts can wait for what comes next."""
        can_wait = not (self.entries or self.definitions or self.gone or self.emptied or self.sparse)
        return not can_wait or self.is_large()

    def is_large(self) -> bool:
        """Whether so much was removed or counted that it should not be more."""
        return self.removed + self.counted + len(self.dropped) >= MANY_REMOVED

    def append(self, queue_id: i64, position: i64, message: Message, deadline_ms: i64, level: i64) -> None:
        """A message for a queue. One that goes to several queues in a row is kept once."""
        entry = Entry(queue_id, position, deadline_ms, level, message)
        self.entries.append(entry)
        if message is not self._last_message:
            self._last_message = message
            self.size += len(message.content) + ENTRY_BYTES
        self._strip(queue_id).add(entry)

    def remove(self, queue_id: i64, position: i64) -> None:
        """A message that need not be kept. If it is still in this group, it never will be written."""
        strip = self._strip(queue_id)
        if not strip.take(position):
            write_i64_be(strip.removed, position)
            self.removed += 1

    def count(self, queue_id: i64, position: i64, counts: i64) -> None:
        """A message came back. If it is still in this group, it is written with its counts."""
        strip = self._strip(queue_id)
        place: Place | None = strip.find(position)
        if place is None:
            place = Place(queue_id, position, 0, 0)
            strip.counted.append(place)
            self.counted += 1
        place.counts = counts

    def _strip(self, queue_id: i64) -> Strip:
        strip = self._last
        if strip is None or strip.queue_id != queue_id:
            strip = self.strips.get(int(queue_id))
            if strip is None:
                strip = self.strips[int(queue_id)] = Strip(queue_id)
            self._last = strip
        return strip

    def drop_unseen(self, queue_id: int) -> None:
        """A queue that is deleted without anybody knowing which chunks have something of it."""
        self._note(ANYWHERE, queue_id, ALL)
        self.dropped.append(queue_id)

    def drop(self, queue_id: int) -> None:
        """A queue that is deleted."""
        strip = self.strips.get(queue_id)
        if strip is not None:
            strip.take_all()
        self.dropped.append(queue_id)

    def seal(self, index: Index) -> None:
        """Say in terms of chunks what has to be written. The index is as it will be when that is done."""
        self._last = None
        self._last_message = None
        if self.counted:
            for strip in self.strips.values():
                self._count(index, strip)
            self.counted = 0
        if self.removed:
            for strip in self.strips.values():
                self._remove(index, strip)
            self.removed = 0
        for queue_id in self.dropped:
            for chunk in index.drop(queue_id):
                self._cross_out(chunk, queue_id, ALL)
                index.look(chunk)
        for chunk_id in index.to_write_anew():
            self.sparse[chunk_id] = None
        part: list[Entry] = []
        size: i64 = 0
        last: Message | None = None
        for entry in self.entries:
            message = entry.message
            if message is None:
                continue
            if message is not last:
                if size >= CHUNK_BYTES or len(part) >= CHUNK_ENTRIES:
                    self._write(index, part)
                    part = []
                    size = 0
                last = message
                size += len(message.content)
            part.append(entry)
        if part:
            self._write(index, part)

    def _write(self, index: Index, part: list[Entry]) -> None:
        """Make a chunk of entries."""
        chunk = index.open(index.next_chunk)
        for entry in part:
            index.enter(chunk, entry)
        self.written.append((chunk.chunk_id, part))

    def _count(self, index: Index, strip: Strip) -> None:
        """Find the chunks of what was counted."""
        for place in strip.counted:
            part = index.part(place.queue_id, place.position)
            if part is not None:
                self.counts.setdefault(part.chunk.chunk_id, []).append(place)
        strip.counted.clear()

    def _remove(self, index: Index, strip: Strip) -> None:
        """Take what is removed from one queue out of the chunks that have it."""
        positions = strip.removed.getvalue()
        part: Part | None = None
        at: i64 = 0
        while at < len(positions):
            position = read_i64_be(positions, at)
            at += 8
            if part is None or position < part.first or position > part.last:
                if part is not None:
                    index.look(part.chunk)
                part = index.part(strip.queue_id, position)
                if part is None:
                    continue
            index.remove(part)
            self._cross_out(part.chunk, strip.queue_id, position)
        if part is not None:
            index.look(part.chunk)

    def _cross_out(self, chunk: Chunk, queue_id: i64, position: i64) -> None:
        if chunk.live:
            self._note(chunk.chunk_id, queue_id, position)
            return
        self.gone.pop(chunk.chunk_id, None)
        self.counts.pop(chunk.chunk_id, None)
        self.sparse.pop(chunk.chunk_id, None)
        self.emptied.append(chunk.chunk_id)

    def _note(self, chunk_id: int, queue_id: i64, position: i64) -> None:
        places = self.gone.get(chunk_id)
        if places is None:
            places = self.gone[chunk_id] = BytesWriter()
        write_i64_be(places, queue_id)
        write_i64_be(places, position)

    def carry_over(self, failed: Group) -> None:
        """Take what must not be lost from a sealed group that could not be written, in front of what is here."""
        self._carry_over_moved(failed)
        self.dropped = failed.dropped + self.dropped
        self.definitions = failed.definitions + self.definitions
        self.revision = max(self.revision, failed.revision)
        self.gone = failed.gone
        self.counts = failed.counts
        self.emptied = failed.emptied
        self.sparse = failed.sparse
        self.aside.update(failed.aside)

    def _carry_over_moved(self, failed: Group) -> None:
        """Messages that were moved are still to be written; those that are told to be durable, are so then."""
        by_queue: dict[int, list[Entry]] = {}
        for entry in failed.moved:
            if entry.message is not None and int(entry.queue_id) not in self.dropped:
                by_queue.setdefault(int(entry.queue_id), []).append(entry)
                self.size += len(entry.message.content) + ENTRY_BYTES
        for queue_id, entries in by_queue.items():
            strip, before = self._strip(queue_id), failed.strips[queue_id]
            self.removed -= strip.put_in_front(entries)
            strip.highest = max(strip.highest, before.highest)
            before.highest = 0
        moved = [entry for entry in failed.moved if int(entry.queue_id) in by_queue]
        self.moved = moved + self.moved
        self.entries = moved + self.entries
        failed.moved = moved
