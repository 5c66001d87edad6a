"""Copying: all definitions and messages of a store to an empty one, which may be of another kind.

The target is marked as unfinished before the first change, and the last change removes the mark. So an interrupted copy
is refused by ChunkLog.load(), and the next one deletes it and starts anew. The source is only read. Messages keep their
queue ids, positions, deadlines, priorities and counts; transient ones are left out. What is damaged is left out too,
and reported.

Memory: one chunk, one group of WRITE_BYTES, some bytes for each queue, and what the stores need for chunks().
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leveret.core.definition import form
from leveret.core.message.message import Message
from leveret.store.chunk import MAX_POSITION, Label, Place
from leveret.store.chunk_store import ChunkReader, ChunkStore, Found, StoreError, WriteError
from leveret.store.group import Group
from leveret.store.index import Index
from leveret.store.shards import chunk_number
from leveret.store.unfinished import UNFINISHED, command_of, refuse_unfinished

WRITE_BYTES: Final = 4 << 20  # of contents or definitions in one group
WRITE_ENTRIES: Final = 16_384  # in one group
DELETED: Final = 256  # chunks of an earlier attempt that one group deletes


class Copy:
    """One copy. command: what the user has to run again after an interruption.

    has_begun: whether the target was changed. problems: what is damaged in the source, and not copied.
    messages, body_bytes: of all queues; a message in several queues counts for each.
    delivered: for the close() of the target, once run() has returned.
    """

    def __init__(self, source: ChunkStore, target: ChunkStore, command: str) -> None:
        self._source = source
        self._target = target
        self._command = command
        self._group = Group(target.shard_count)
        self._next_chunk = 1
        self._defined = 0  # bytes of the definitions in the group
        self._last: dict[int, int] = {}  # position by queue id
        self._moved: set[int] = set()  # ids of queues with messages at another position
        self.has_begun = False
        self.problems: list[str] = []
        self.queues = 0
        self.exchanges = 0
        self.messages = 0
        self.body_bytes = 0
        self.delivered: dict[int, int] = {}

    def run(self, tell: Callable[[int, int], None]) -> None:
        """Copy everything. Blocks.

        tell: called with chunks done and total chunks; at the end once more, before the target counts as complete. It
        may raise StoreError. Raises: StoreError; then the target is unchanged or marked as unfinished.
        """
        definitions = self._source.definitions()
        refuse_unfinished(definitions, self._source.place)
        for kind, key, what in self._source.damaged_definitions:
            self.problems.append(f"the definition of {kind} {key}: {what}")
        marks = self._source.delivered()
        reader = self._source.reader(_ignore)
        try:
            self._begin()
            self._define(definitions)
            self._copy_messages(reader, tell)
        finally:
            reader.close()
        if self._source.aside():
            self.problems.append(f"chunks set aside earlier: {self._source.aside()}; `leveret check` describes them")
        self._write()
        tell(self._source.chunk_count, self._source.chunk_count)
        self._group.define(UNFINISHED, "", None)
        self._write()
        self.delivered = self._marks(marks)

    # -- the target

    def _begin(self) -> None:
        """Mark the target, and delete an earlier attempt. Raises: StoreError when it contains anything else."""
        target = self._target
        found = target.definitions()
        is_again = command_of(found) != ""
        if not is_again and (found or target.damaged_definitions):
            raise StoreError(f"{target.place} contains definitions already: only an empty one can be copied to")
        left: list[int] = []
        for chunk in target.chunks():
            if not is_again:
                raise StoreError(f"{target.place} contains messages already: only an empty one can be copied to")
            left.append(chunk.chunk_id)
            self._next_chunk = max(self._next_chunk, int(chunk_number(chunk.chunk_id)) + 1)
        self._group.define(UNFINISHED, "", self._command.encode())
        self.has_begun = True
        self._write()
        for at in range(0, len(left), DELETED):
            self._group.emptied += left[at : at + DELETED]
            self._write()
        for kind, key, _ in found:
            if kind != UNFINISHED:
                self._group.define(kind, key, None)
        for kind, key, _ in target.damaged_definitions:
            self._group.define(kind, key, None)
        self._write()

    def _write(self) -> None:
        """Write the group, if it contains anything. Raises: StoreError."""
        group, self._group = self._group, Group(self._target.shard_count)
        self._defined = 0
        if not group.has_work():
            return
        index = Index()  # of this group only: one of the whole store would grow with the number of queues in chunks
        index.next_chunk = self._next_chunk
        group.seal(index)
        self._next_chunk = index.next_chunk
        try:
            self._target.write(group)
        except WriteError as error:
            raise StoreError(f"cannot write to {self._target.place}: {error}") from None

    def _write_full(self) -> None:
        group = self._group
        if group.size >= WRITE_BYTES or len(group.entries) >= WRITE_ENTRIES or self._defined >= WRITE_BYTES:
            self._write()

    # -- definitions and messages

    def _define(self, definitions: list[tuple[str, str, bytes]]) -> None:
        for kind, key, value in definitions:
            self.queues += kind == form.QUEUE
            self.exchanges += kind == form.EXCHANGE
            self._group.define(kind, key, value)
            self._defined += len(key) + len(value)
            self._write_full()

    def _copy_messages(self, reader: ChunkReader, tell: Callable[[int, int], None]) -> None:
        displaced: list[tuple[Found, list[Label]]] = []
        for number, chunk in enumerate(self._source.chunks()):
            tell(number, self._source.chunk_count)
            if chunk.damage:
                self.problems.append(f"chunk {chunk.chunk_id}: {chunk.damage}")
            labels = _persistent(chunk.head.labels)
            if self._is_in_order(labels):
                self._copy_chunk(reader, chunk, labels)
            else:
                displaced.append((chunk, labels))
        for chunk, labels in displaced:  # as ChunkLog.recover()
            self.problems.append(f"chunk {chunk.chunk_id}: out of order; its messages are now the last of their queues")
            for label in labels:
                for place in label.places:
                    queue_id = int(place.queue_id)
                    self._moved.add(queue_id)
                    place.position = self._last[queue_id] = self._last.get(queue_id, 0) + 1
            self._copy_chunk(reader, chunk, labels)

    def _is_in_order(self, labels: list[Label]) -> bool:
        """Whether the positions of each queue are valid and above those before; if so, they become the last ones."""
        last: dict[int, int] = {}
        for label in labels:
            for place in label.places:
                queue_id, position = int(place.queue_id), int(place.position)
                if not last.get(queue_id, self._last.get(queue_id, 0)) < position <= MAX_POSITION:
                    return False
                last[queue_id] = position
        self._last.update(last)
        return True

    def _copy_chunk(self, reader: ChunkReader, chunk: Found, labels: list[Label]) -> None:
        if not labels:
            return
        messages = reader.load(chunk.chunk_id, chunk.head, labels)
        for label, message in zip(labels, messages.found, strict=True):
            if message is not None:
                for place in label.places:
                    self._add(place, message)
                self._write_full()
        unreadable = messages.found.count(None)
        if unreadable:
            text = f"chunk {chunk.chunk_id}: {unreadable} of {len(labels)} messages: {messages.damage}"
            self.problems.append(text)

    def _add(self, place: Place, message: Message) -> None:
        self._group.append(place.queue_id, place.position, message, place.deadline_ms, place.level)
        if place.counts:
            self._group.count(place.queue_id, place.position, place.counts)
        self.messages += 1
        self.body_bytes += int(message.size)

    def _marks(self, delivered: dict[int, int]) -> dict[int, int]:
        """How far each queue was delivered; to its end where that is unknown."""
        marks: dict[int, int] = {}
        for queue_id, last in self._last.items():
            is_unknown = not self._source.was_clean or queue_id in self._moved
            mark = last if is_unknown else min(delivered.get(queue_id, 0), last)
            if mark:
                marks[queue_id] = mark
        return marks


def _persistent(labels: list[Label]) -> list[Label]:
    """The labels with places left, without those of transient messages."""
    found: list[Label] = []
    for label in labels:
        label.places = [place for place in label.places if place.queue_id > 0]
        if label.places:
            found.append(label)
    return found


def _ignore() -> None:
    """Nothing is fetched in another thread."""
