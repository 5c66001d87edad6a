"""Group: the changes since the last commit, which are written in one transaction."""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter, read_i64_be, write_i64_be
from mypy_extensions import i64

from leveret.core.message.message import Message
from leveret.store.chunk import ALL, ANYWHERE, Entry, Place
from leveret.store.index import Chunk, Index, Part
from leveret.store.shards import SHARD_BIT, shard_of_queue

CHUNK_BYTES: Final = 1 << 20  # approximate size of the contents in one chunk
CHUNK_ENTRIES: Final = 1024  # packing or reading more at once would block the core
MANY_REMOVED: Final = 10_000  # removals that make a group urgent
ENTRY_BYTES: Final = 256  # approximate size of a message without its content

Definition = tuple[str, str, bytes | None, bool]  # kind, key, value or None to delete it, whether it is created


class Strip:
    """The changes of one queue. highest: see Group; 0 for none.

    removed: positions in earlier groups, packed. counted: places in earlier groups with new counts.
    """

    __slots__ = ("_entries", "_next", "counted", "highest", "queue_id", "removed")

    def __init__(self, queue_id: i64) -> None:
        self.queue_id: i64 = queue_id
        self.highest: i64 = 0
        self.removed = BytesWriter()
        self.counted: list[Place] = []
        self._entries: list[Entry] = []
        self._next: i64 = 0  # index after the one taken last

    def add(self, entry: Entry) -> None:
        """Add a message."""
        self._entries.append(entry)
        self.highest = entry.position

    def take(self, position: i64) -> bool:
        """Drop a message that need not be written. Returns: whether it was in this group."""
        entries = self._entries
        at = self._next
        if at >= len(entries) or entries[at].position != position:  # mostly removed in order
            at = self._find(position)
            if at == len(entries) or entries[at].position != position:
                return False
        entries[at].message = None
        self._next = at + 1
        return True

    def put_in_front(self, entries: list[Entry]) -> i64:
        """Prepend messages of a group that failed. Returns: how many of them have been removed meanwhile."""
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
        """Drop all messages."""
        for entry in self._entries:
            entry.message = None
        self.highest = 0
        self.counted.clear()

    def find(self, position: i64) -> Entry | None:
        """A message in this group, or None."""
        at = self._find(position)
        if at == len(self._entries) or self._entries[at].position != position:
            return None
        return self._entries[at]

    def _find(self, position: i64) -> i64:
        """The index of the first entry at or after a position."""
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
    """Built by the core's thread, sealed, then passed to the committer, which alone uses it from then on.

    entries: messages to write, and those dropped meanwhile; moved: those of them that are not refused when writing
    fails, but go into the next group with all removals. strips: by queue id; highest is the last position that is
    durable once the group is, including removed ones.
    revision: of the definitions in it. size: bytes of the contents in it, with overhead.
    moves: shards that belong to another node once the group is durable, and the id of that node. marks: the highest
    delivered position of each of their queues.
    Once sealed, written: new chunks; gone: places to remove, by chunk, packed; counts: new counts, by chunk; emptied:
    chunks to delete; sparse: chunks to rewrite. aside: damaged chunks to set aside, and the damage of each.
    foreign: messages that are not written, because another node has their shard.
    Once written, conflicts: kind, key and value of definitions that were to be created and that another node has.
    """

    def __init__(self, shard_count: int = 1, transient_shard: int = 0) -> None:
        self._shard_count = shard_count
        self._transient_shard = transient_shard
        self.entries: list[Entry] = []
        self.moved: list[Entry] = []
        self.strips: dict[int, Strip] = {}
        self.removed: i64 = 0  # number of removals from earlier groups
        self.counted: i64 = 0  # number of counts in earlier groups
        self.dropped: list[int] = []
        self.definitions: list[Definition] = []
        self.revision = 0
        self.size: i64 = 0
        self.moves: list[tuple[int, int]] = []
        self.marks: dict[int, int] = {}
        self.written: list[tuple[int, list[Entry]]] = []
        self.gone: dict[int, BytesWriter] = {}  # by chunk: pairs of queue id and position
        self.counts: dict[int, list[Place]] = {}  # by chunk
        self.emptied: list[int] = []
        self.sparse: dict[int, None] = {}
        self.aside: dict[int, str] = {}
        self.foreign: list[Entry] = []
        self.conflicts: list[tuple[str, str, bytes]] = []
        self._last: Strip | None = None  # used last
        self._last_message: Message | None = None

    def has_work(self) -> bool:
        """Whether there is anything to write."""
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
            or self.moves
        )

    def is_urgent(self) -> bool:
        """Whether it must be written now. Removals and counts can wait for other changes, unless there are many."""
        can_wait = not (self.entries or self.definitions or self.gone or self.emptied or self.sparse or self.moves)
        return not can_wait or self.is_large()

    def is_large(self) -> bool:
        """Whether it has too many removals and counts to wait."""
        return self.removed + self.counted + len(self.dropped) >= MANY_REMOVED

    def append(self, queue_id: i64, position: i64, message: Message, deadline_ms: i64, level: i64) -> None:
        """Add a message for a queue. A message for several queues in a row is stored once."""
        entry = Entry(queue_id, position, deadline_ms, level, message)
        self.entries.append(entry)
        if message is not self._last_message:
            self._last_message = message
            self.size += len(message.content) + ENTRY_BYTES
        self._strip(queue_id).add(entry)

    def remove(self, queue_id: i64, position: i64) -> None:
        """Remove a message. If it is still in this group, it is never written."""
        strip = self._strip(queue_id)
        if not strip.take(position):
            write_i64_be(strip.removed, position)
            self.removed += 1

    def count(self, queue_id: i64, position: i64, counts: i64) -> None:
        """Note the counts of a returned message. If it is still in this group, it is written with them."""
        strip = self._strip(queue_id)
        place: Place | None = strip.find(position)
        if place is None:
            place = Place(queue_id, position, 0, 0)
            strip.counted.append(place)
            self.counted += 1
        place.counts = counts

    def define(self, kind: str, key: str, value: bytes | None, is_new: bool = False) -> None:
        """Set or delete a definition. is_new: only if there is none."""
        self.definitions.append((kind, key, value, is_new))

    def _strip(self, queue_id: i64) -> Strip:
        strip = self._last
        if strip is None or strip.queue_id != queue_id:
            strip = self.strips.get(int(queue_id))
            if strip is None:
                strip = self.strips[int(queue_id)] = Strip(queue_id)
            self._last = strip
        return strip

    def drop_unseen(self, queue_id: int) -> None:
        """Delete a queue when it is unknown which chunks contain its messages."""
        self._note(self._shard(queue_id) << SHARD_BIT | ANYWHERE, queue_id, ALL)
        self.dropped.append(queue_id)

    def drop(self, queue_id: int) -> None:
        """Delete a queue."""
        strip = self.strips.get(queue_id)
        if strip is not None:
            strip.take_all()
        self.dropped.append(queue_id)

    def seal(self, index: Index, owned: set[int] | None = None) -> None:
        """Convert the changes to operations on chunks, and update the index as if they were done.

        owned: the shards of which messages are written; None for all.
        """
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
        if self._shard_count == 1:
            self._cut(index, self.entries)
        else:
            for shard, entries in self._by_shard().items():
                if owned is None or shard in owned or shard == self._transient_shard:
                    self._cut(index, entries)
                else:
                    self.foreign += entries

    def _shard(self, queue_id: i64) -> int:
        return self._transient_shard if queue_id < 0 else int(shard_of_queue(queue_id, self._shard_count))

    def _by_shard(self) -> dict[int, list[Entry]]:
        """The entries by the shards of their queues."""
        found: dict[int, list[Entry]] = {}
        for entry in self.entries:
            if entry.message is not None:
                found.setdefault(self._shard(entry.queue_id), []).append(entry)
        return found

    def _cut(self, index: Index, entries: list[Entry]) -> None:
        """Form chunks of the entries of a shard."""
        part: list[Entry] = []
        size: i64 = 0
        last: Message | None = None
        for entry in entries:
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
        """Form a chunk of entries."""
        chunk = index.open(index.next_chunk | self._shard(part[0].queue_id) << SHARD_BIT)
        for entry in part:
            index.enter(chunk, entry)
        self.written.append((chunk.chunk_id, part))

    def _count(self, index: Index, strip: Strip) -> None:
        """Find the chunks of new counts."""
        for place in strip.counted:
            part = index.part(place.queue_id, place.position)
            if part is not None:
                self.counts.setdefault(part.chunk.chunk_id, []).append(place)
        strip.counted.clear()

    def _remove(self, index: Index, strip: Strip) -> None:
        """Find the chunks of a queue's removed messages."""
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
        """Prepend everything but refused messages from a sealed group that could not be written."""
        self._carry_over_moved(failed)
        self.dropped = failed.dropped + self.dropped
        self.definitions = failed.definitions + self.definitions
        self.revision = max(self.revision, failed.revision)
        self.gone = failed.gone
        self.counts = failed.counts
        self.emptied = failed.emptied
        self.sparse = failed.sparse
        self.aside.update(failed.aside)
        self.moves = failed.moves + self.moves
        self.marks.update(failed.marks)

    def _carry_over_moved(self, failed: Group) -> None:
        """Keep moved messages for writing. Their queues' durable positions wait for that too."""
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
