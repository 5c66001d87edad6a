"""Group: what happened since the last commit, and is written in one transaction."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.message import Message
from leveret.store.chunk import ALL, Entry
from leveret.store.index import Chunk, Index, is_sparse

CHUNK_BYTES: Final = 1 << 20  # of contents in one chunk, about
CHUNK_ENTRIES: Final = 4096
ANYWHERE: Final = 0  # in the place of a chunk id: whichever has it
MANY_REMOVED: Final = 10_000  # that are not left to wait
ENTRY_BYTES: Final = 256  # that a message takes beside its content, about


class Group:
    """Built by the core's thread, sealed, then handed to the committer, who alone uses it from then on.

    highest: by queue, the last position that is durable once the group is, removed ones included.
    revision: of the definitions in it. size: bytes of the contents in it, with what it takes to remember them.
    Once sealed, written: new chunks; gone: places to cross out, by chunk; emptied: chunks to delete;
    sparse: chunks to write anew. aside: damaged chunks to be kept as they are, and what is wrong with each.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.removed: list[tuple[int, int]] = []
        self.dropped: list[int] = []
        self.delivered: dict[int, int] = {}
        self.definitions: list[tuple[str, str, bytes | None]] = []
        self.highest: dict[int, int] = {}
        self.revision = 0
        self.size: i64 = 0
        self.written: list[tuple[int, list[Entry]]] = []
        self.gone: dict[int, list[int]] = {}  # by chunk: queue id and position, one after the other
        self.emptied: list[int] = []
        self.sparse: dict[int, None] = {}
        self.aside: dict[int, str] = {}
        self._places: dict[int, dict[int, Entry]] = {}  # by queue and position, of entries

    def has_work(self) -> bool:
        """Whether somebody waits for this to be durable. What consumers were given alone is no reason to write."""
        return bool(
            self.highest
            or self.removed
            or self.dropped
            or self.definitions
            or self.gone
            or self.emptied
            or self.sparse
            or self.aside
        )

    def is_urgent(self) -> bool:
        """Whether somebody waits for it now, or it has grown: removals alone can wait for what comes next."""
        removals_alone = not (self.highest or self.definitions or self.gone or self.emptied or self.sparse)
        return not removals_alone or len(self.removed) + len(self.dropped) >= MANY_REMOVED

    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int, level: int) -> None:
        """A message for a queue. One that goes to several queues in a row is kept once."""
        entry = self.entries[-1] if self.entries else None
        if entry is None or entry.message is not message or len(entry.places) == 0xFFFF:
            entry = Entry(message, [])
            self.entries.append(entry)
            self.size += len(message.content) + ENTRY_BYTES
        entry.places.append((queue_id, position, deadline_ms, level))
        self.highest[queue_id] = position
        places = self._places.get(queue_id)
        if places is None:
            places = self._places[queue_id] = {}
        places[position] = entry

    def remove(self, queue_id: int, position: int) -> None:
        """A message that need not be kept. If it is still in this group, it never will be written."""
        places = self._places.get(queue_id)
        entry = places.pop(position, None) if places is not None else None
        if entry is None:
            self.removed.append((queue_id, position))
        else:
            entry.remove(queue_id, position)

    def drop_unseen(self, queue_id: int) -> None:
        """A queue that is deleted without anybody knowing which chunks have something of it."""
        self.gone.setdefault(ANYWHERE, []).extend((queue_id, ALL))
        self.dropped.append(queue_id)

    def drop(self, queue_id: int) -> None:
        """A queue that is deleted."""
        places = self._places.pop(queue_id, None)
        if places is not None:
            for position, entry in places.items():
                entry.remove(queue_id, position)
        self.highest.pop(queue_id, None)
        self.delivered.pop(queue_id, None)
        self.dropped.append(queue_id)

    def seal(self, index: Index) -> None:
        """Say in terms of chunks what has to be written. The index is as it will be when that is done."""
        self._places = {}
        for queue_id, position in self.removed:
            chunk = index.remove(queue_id, position)
            if chunk is not None:
                self._cross_out(chunk, queue_id, position)
        self.removed = []
        for queue_id in self.dropped:
            for chunk in index.drop(queue_id):
                self._cross_out(chunk, queue_id, ALL)
        part: list[Entry] = []
        size: i64 = 0
        for entry in self.entries:
            if not entry.places:
                continue
            part.append(entry)
            size += len(entry.message.content)
            if size >= CHUNK_BYTES or len(part) >= CHUNK_ENTRIES:
                self.written.append((index.add(_places(part)), part))
                part = []
                size = 0
        if part:
            self.written.append((index.add(_places(part)), part))

    def _cross_out(self, chunk: Chunk, queue_id: int, position: int) -> None:
        chunk_id = chunk.chunk_id
        if chunk.live == 0:
            self.gone.pop(chunk_id, None)
            self.sparse.pop(chunk_id, None)
            self.emptied.append(chunk_id)
            return
        places = self.gone.get(chunk_id)
        if places is None:
            places = self.gone[chunk_id] = []
        places.append(queue_id)
        places.append(position)
        if is_sparse(chunk):
            chunk.places = chunk.live
            self.sparse[chunk_id] = None

    def carry_over(self, failed: Group) -> None:
        """Take what must not be lost from a sealed group that could not be written, in front of what is here."""
        self.dropped = failed.dropped + self.dropped
        self.definitions = failed.definitions + self.definitions
        for queue_id, position in failed.delivered.items():
            self.delivered[queue_id] = max(position, self.delivered.get(queue_id, 0))
        self.revision = max(self.revision, failed.revision)
        self.gone = failed.gone
        self.emptied = failed.emptied
        self.sparse = failed.sparse
        self.aside.update(failed.aside)


def _places(entries: list[Entry]) -> list[list[tuple[int, int, int, int]]]:
    return [entry.places for entry in entries]
