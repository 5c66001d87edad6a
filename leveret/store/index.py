"""Index: which chunk holds which messages, and how much of each chunk is left. It lives in the core's thread.

A queue's positions increase, so the chunks that hold them follow each other, and one is found by bisection.
Memory: some 200 bytes for a chunk and for each queue in it, nothing for a message.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from mypy_extensions import i64

SPARSE: Final = 4  # a chunk of which less than one part in so many is left is written anew
WORTH_IT: Final = 16  # places that a chunk must have had for that


class Chunk:
    """A chunk. places: that it was written with; live: those that are left."""

    __slots__ = ("chunk_id", "live", "places")

    def __init__(self, chunk_id: int) -> None:
        self.chunk_id = chunk_id
        self.places: i64 = 0
        self.live: i64 = 0


class Part:
    """The places of one queue in one chunk."""

    __slots__ = ("chunk", "first", "live")

    def __init__(self, chunk: Chunk, first: i64) -> None:
        self.chunk = chunk
        self.first: i64 = first
        self.live: i64 = 0


class Shelf:
    """The parts of one queue, in order. lasts: the last position in each, in step with them."""

    __slots__ = ("lasts", "parts")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.lasts: list[int] = []

    def part(self, position: i64) -> Part | None:
        """The part that has a position; None when there is none."""
        at = bisect_left(self.lasts, int(position))
        if at == len(self.lasts):
            return None
        part = self.parts[at]
        return part if part.first <= position else None

    def clean(self) -> None:
        """Forget parts at the front of which nothing is left: the usual end of a chunk."""
        count = 0
        while count < len(self.parts) and self.parts[count].live <= 0:
            count += 1
        del self.parts[:count]
        del self.lasts[:count]


class Index:
    """The index of a log. next_chunk: the id of the next chunk to be written."""

    def __init__(self) -> None:
        self.next_chunk = 1
        self._shelves: dict[int, Shelf] = {}  # by queue id

    def add(self, messages: list[list[tuple[int, int, int, int]]]) -> int:
        """Enter a chunk that is about to be written: the places of each message. Returns: its id."""
        chunk_id = self.next_chunk
        self.restore(chunk_id, messages)
        return chunk_id

    def restore(self, chunk_id: int, messages: list[list[tuple[int, int, int, int]]]) -> Chunk:
        """Enter a chunk as it was found: the places that are left of each message."""
        self.next_chunk = chunk_id + 1
        chunk = Chunk(chunk_id)
        last: dict[int, Part] = {}
        for places in messages:
            for queue_id, position, _, _ in places:
                part = last.get(queue_id)
                if part is None:
                    shelf = self._shelves.get(queue_id)
                    if shelf is None:
                        shelf = self._shelves[queue_id] = Shelf()
                    part = last[queue_id] = Part(chunk, position)
                    shelf.parts.append(part)
                    shelf.lasts.append(position)
                else:
                    self._shelves[queue_id].lasts[-1] = position
                part.live += 1
                chunk.live += 1
        chunk.places = chunk.live
        return chunk

    def remove(self, queue_id: int, position: int) -> Chunk | None:
        """One place less. Returns: the chunk that had it; None for what never was written."""
        shelf = self._shelves.get(queue_id)
        part = shelf.part(position) if shelf is not None else None
        if part is None or shelf is None:
            return None
        part.live -= 1
        chunk = part.chunk
        chunk.live -= 1
        if part.live == 0:
            shelf.clean()
        return chunk

    def drop(self, queue_id: int) -> list[Chunk]:
        """A queue is gone. Returns: the chunks that it had something in."""
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
        """A chunk could not be written: it is the last one of each of these queues."""
        for queue_id in queue_ids:
            shelf = self._shelves.get(queue_id)
            if shelf is not None and shelf.parts and shelf.parts[-1].chunk.chunk_id == chunk_id:
                del shelf.parts[-1]
                del shelf.lasts[-1]

    def find(self, queue_id: int, position: int) -> int:
        """The id of the chunk that has a place; 0 when there is none."""
        shelf = self._shelves.get(queue_id)
        part = shelf.part(position) if shelf is not None else None
        return part.chunk.chunk_id if part is not None else 0

    def extent(self, queue_id: int, position: int) -> int:
        """The last position of the queue in the chunk that has this one; 0 when there is none."""
        shelf = self._shelves.get(queue_id)
        if shelf is None:
            return 0
        at = bisect_left(shelf.lasts, position)
        return shelf.lasts[at] if at < len(shelf.lasts) and shelf.parts[at].first <= position else 0

    def last(self, queue_id: int) -> int:
        """The last position of a queue; 0 when it has none."""
        shelf = self._shelves.get(queue_id)
        return shelf.lasts[-1] if shelf is not None and shelf.lasts else 0

    def queues(self) -> list[int]:
        """All queues that have something."""
        return list(self._shelves)


def is_sparse(chunk: Chunk) -> bool:
    """Whether so little of a chunk is left that it should be written anew. Asked once after each removal."""
    return chunk.places >= WORTH_IT and chunk.live * SPARSE < chunk.places
