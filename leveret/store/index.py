"""Index: which chunk contains which messages, and how many are left in each chunk. Used in the core's thread.

A queue's positions increase, so its chunks are ordered, and bisection finds one.
Memory: some 200 bytes for each chunk and for each queue in it, nothing for a message.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.store.chunk import Place
from leveret.store.shards import chunk_number, shard_of_chunk, shard_of_queue

SPARSE: Final = 4  # a chunk with less than 1/SPARSE of its places left is rewritten
WORTH_IT: Final = 16  # minimum of original places for that
SPARSE_KEPT: Final = 8  # number of such chunks that are left alone: most of them will soon be empty


class Chunk:
    """A chunk. places: how many it was written with; live: how many are left."""

    __slots__ = ("chunk_id", "live", "places")

    def __init__(self, chunk_id: int) -> None:
        self.chunk_id = chunk_id
        self.places: i64 = 0
        self.live: i64 = 0


class Part:
    """The places of one queue in one chunk: first and last position, and how many are left."""

    __slots__ = ("chunk", "first", "last", "live", "queue_id")

    def __init__(self, chunk: Chunk, queue_id: i64, first: i64) -> None:
        self.chunk = chunk
        self.queue_id: i64 = queue_id
        self.first: i64 = first
        self.last: i64 = first
        self.live: i64 = 0


class Shelf:
    """The parts of one queue, in order."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def part(self, position: i64) -> Part | None:
        """The part that contains a position, or None."""
        parts = self.parts
        low: i64 = 0
        high: i64 = len(parts)
        if high and position <= parts[0].last:
            high = 0  # the usual case
        while low < high:
            middle = (low + high) // 2
            if parts[middle].last < position:
                low = middle + 1
            else:
                high = middle
        if low == len(parts) or parts[low].first > position:
            return None
        return parts[low]

    def clean(self) -> None:
        """Drop empty parts at the front, where chunks usually end."""
        count: i64 = 0
        while count < len(self.parts) and self.parts[count].live <= 0:
            count += 1
        del self.parts[:count]


class Index:
    """The index of a log. next_chunk: the number of the next chunk to be written, in any shard."""

    def __init__(self) -> None:
        self.next_chunk = 1
        self._sparse: dict[int, Chunk] = {}  # chunks with few places left, by id
        self._shelves: dict[int, Shelf] = {}  # by queue id
        self._newest: Part | None = None  # last part with a new entry

    def open(self, chunk_id: int) -> Chunk:
        """Begin a chunk after all others; enter() adds its places."""
        self.next_chunk = max(self.next_chunk, int(chunk_number(chunk_id)) + 1)
        return Chunk(chunk_id)

    def enter(self, chunk: Chunk, place: Place) -> None:
        """Add a place of a chunk. The positions of each queue must ascend."""
        part = self._newest
        if part is None or part.chunk is not chunk or part.queue_id != place.queue_id:
            part = self._newest = self._part(chunk, place)
        part.last = place.position
        part.live += 1
        chunk.live += 1
        chunk.places += 1

    def _part(self, chunk: Chunk, place: Place) -> Part:
        """Find or create the part for a place."""
        queue_id = int(place.queue_id)
        shelf = self._shelves.get(queue_id)
        if shelf is None:
            shelf = self._shelves[queue_id] = Shelf()
        elif shelf.parts and shelf.parts[-1].chunk is chunk:
            return shelf.parts[-1]
        part = Part(chunk, place.queue_id, place.position)
        shelf.parts.append(part)
        return part

    def part(self, queue_id: i64, position: i64) -> Part | None:
        """The part that contains a place; None if it was never written."""
        shelf = self._shelves.get(int(queue_id))
        return shelf.part(position) if shelf is not None else None

    def remove(self, part: Part) -> None:
        """Count a removed place."""
        part.live -= 1
        part.chunk.live -= 1
        if part.live == 0:
            self._shelves[int(part.queue_id)].clean()

    def look(self, chunk: Chunk) -> None:
        """After removals, check whether a chunk has become sparse."""
        if chunk.live == 0:
            self._sparse.pop(chunk.chunk_id, None)
        elif is_sparse(chunk):
            self._sparse[chunk.chunk_id] = chunk

    def to_write_anew(self) -> list[int]:
        """Take the ids of chunks to rewrite: the oldest sparse ones beyond SPARSE_KEPT."""
        found: list[int] = []
        while len(self._sparse) > SPARSE_KEPT:
            for chunk_id in self._sparse:
                found.append(chunk_id)
                break
            chunk = self._sparse.pop(found[-1])
            chunk.places = chunk.live
        return found

    def drop(self, queue_id: int) -> list[Chunk]:
        """Remove a queue. Returns: the chunks that contained its messages."""
        shelf = self._shelves.pop(queue_id, None)
        if shelf is None:
            return []
        found: list[Chunk] = []
        for part in shelf.parts:
            if part.live > 0:
                part.chunk.live -= part.live
                found.append(part.chunk)
        return found

    def forget(self, chunk_id: int, queue_ids: set[int]) -> None:
        """Remove a chunk that could not be written, the last one of each of these queues."""
        for queue_id in queue_ids:
            shelf = self._shelves.get(queue_id)
            if shelf is not None and shelf.parts and shelf.parts[-1].chunk.chunk_id == chunk_id:
                del shelf.parts[-1]

    def leave(self, shards: set[int], shard_count: int) -> None:
        """Remove everything of shards that another node has now."""
        for queue_id in list(self._shelves):
            if queue_id > 0 and int(shard_of_queue(queue_id, shard_count)) in shards:
                del self._shelves[queue_id]
        for chunk_id in list(self._sparse):
            if int(shard_of_chunk(chunk_id)) in shards:
                del self._sparse[chunk_id]

    def find(self, queue_id: int, position: int) -> int:
        """The id of the chunk that contains a place; 0 when there is none."""
        part = self.part(queue_id, position)
        return part.chunk.chunk_id if part is not None else 0

    def extent(self, queue_id: int, position: int) -> int:
        """The last position of the queue in the chunk that contains this one; 0 when there is none."""
        part = self.part(queue_id, position)
        return int(part.last) if part is not None else 0

    def last(self, queue_id: int) -> int:
        """The last position of a queue; 0 when it has none."""
        shelf = self._shelves.get(queue_id)
        return int(shelf.parts[-1].last) if shelf is not None and shelf.parts else 0

    def queues(self) -> list[int]:
        """The ids of all queues with messages."""
        return list(self._shelves)


def is_sparse(chunk: Chunk) -> bool:
    """Whether so few places of a chunk are left that it should be rewritten."""
    return chunk.places >= WORTH_IT and chunk.live * SPARSE < chunk.places
