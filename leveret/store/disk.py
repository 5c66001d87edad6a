"""DiskLog: the MessageLog and DefinitionLog of a data directory.

The core's side of the embedded log: gathers a group, hands it to the committer when that is free, tells the listener
what became of it. A message that is acknowledged before its group is handed over never reaches the disk.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from mypy_extensions import i64

from leveret.core.alarms import BEHIND_BYTES
from leveret.core.message import Message
from leveret.core.ports import DefinitionLog, LogListener, MessageLog, Recovered
from leveret.store.chunk import DamagedChunk
from leveret.store.committer import Committer
from leveret.store.database import Database
from leveret.store.group import Group
from leveret.store.index import Index
from leveret.store.reader import Reader, unpack_positions

log = logging.getLogger("leveret.store")


class DiskLog(MessageLog, DefinitionLog):
    """The log in a directory.

    notify: called in another thread when on_committed() should be called in the core's.
    failed_bytes: of the group that could not be written, at least 1; 0 while writing works.
    Raises: StoreError when the directory cannot be used.
    """

    def __init__(self, directory: Path, notify: Callable[[], None]) -> None:
        self.listener: LogListener | None = None
        self._database = Database(directory)
        self._notify = notify
        self._committer: Committer | None = None
        self._group = Group()
        self._index = Index()
        self._reader = Reader(directory)
        self._marks: dict[int, int] = {}  # up to where messages of earlier runs may have been delivered
        self._revision = 0
        self._is_writing = False
        self._writing_bytes: i64 = 0
        self._is_behind = False
        self.failed_bytes = 0

    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int, level: int = 0) -> None:
        """Remember a message."""
        self._group.append(queue_id, position, message, deadline_ms, level)

    def remove(self, queue_id: int, position: int) -> None:
        """Forget a message."""
        self._group.remove(queue_id, position)

    def delivered(self, queue_id: int, position: int) -> None:
        """Remember how far a queue was delivered."""
        if position > self._group.delivered.get(queue_id, 0):
            self._group.delivered[queue_id] = position

    def drop(self, queue_id: int) -> None:
        """Forget all messages of a queue."""
        self._group.drop(queue_id)

    def put(self, kind: str, key: str, value: bytes) -> int:
        """Set a definition."""
        return self._define(kind, key, value)

    def delete(self, kind: str, key: str) -> int:
        """Delete a definition."""
        return self._define(kind, key, None)

    def _define(self, kind: str, key: str, value: bytes | None) -> int:
        self._revision += 1
        self._group.definitions.append((kind, key, value))
        self._group.revision = self._revision
        return self._revision

    def flush(self) -> None:
        """Hand the group to the committer, unless it is busy: then it follows when that is free."""
        self._tell_behind()
        if self._is_writing or not self._group.has_work():
            return
        if self._committer is None:
            self._committer = Committer(self._database, self._notify)
        self._is_writing = True
        self._writing_bytes = self._group.size
        self._group.seal(self._index)
        self._committer.commit(self._group)
        self._group = Group()

    def on_committed(self) -> None:
        """Tell the listener what became of the groups that were written."""
        self._tell()
        self._tell_behind()
        if not self.failed_bytes:
            self.flush()

    def try_again(self) -> None:
        """There may be room again: write what could not be written. Without anything to write all is well."""
        if self._group.has_work() or self._is_writing:
            self.flush()
        elif self.failed_bytes:
            self._works_again()

    def load(self) -> list[tuple[str, str, bytes]]:
        """All definitions, oldest first."""
        return self._database.definitions()

    def recover(self) -> Iterator[Recovered]:
        """All messages, each read when it is asked for."""
        delivered = self._database.delivered()
        was_clean = self._database.was_clean
        for chunk in self._database.chunks():
            if chunk.damage:
                log.error("damaged messages were left out: %s", chunk.damage)
                self._index.next_chunk = chunk.chunk_id + 1
                continue
            self._index.restore(chunk.chunk_id, chunk.entries)
            for entry in chunk.entries:
                for queue_id, position, deadline_ms, level in entry.places:
                    again = not was_clean or position <= delivered.get(queue_id, 0)
                    yield Recovered(queue_id, position, entry.message, again, deadline_ms, level)
        self._lower_marks(delivered)

    def _lower_marks(self, delivered: dict[int, int]) -> None:
        """A queue goes on behind its last message, so a mark beyond it would speak of messages to come.

        After an unclean end all messages may have been delivered, and this stays so when the next end is clean.
        """
        marks: dict[int, int] = {}
        for queue_id in self._index.queues():
            last = self._index.last(queue_id)
            mark = min(delivered.get(queue_id, 0), last) if self._database.was_clean else last
            if mark:
                marks[queue_id] = mark
        self._marks = marks
        self._database.put_delivered(marks)

    def extent(self, queue_id: int, position: int) -> int:
        """The last position in the chunk that has this one."""
        return self._index.extent(queue_id, position)

    def fetch(self, queue_id: int, positions: bytes) -> list[Recovered]:
        """Read a chunk."""
        wanted = unpack_positions(positions)
        chunk_id = self._index.find(queue_id, wanted[0])
        mark = self._marks.get(queue_id, 0)
        found: dict[int, Recovered] = {}
        try:
            for entry in self._reader.entries(chunk_id):
                for owner, position, deadline_ms, level in entry.places:
                    if owner == queue_id:
                        again = position <= mark
                        found[position] = Recovered(queue_id, position, entry.message, again, deadline_ms, level)
        except (DamagedChunk, sqlite3.Error) as error:
            log.error("%d messages cannot be read any more: chunk %d: %s", len(wanted), chunk_id, error)
        return [found[position] for position in wanted if position in found]

    def close(self) -> None:
        """Write what is pending, and close the file."""
        if self._committer is not None:
            self._committer.close()
            self._tell()
        while self._group.has_work() or self._group.delivered:
            group, self._group = self._group, Group()
            group.seal(self._index)
            try:
                self._database.write(group)
            except sqlite3.Error as error:
                log.error("cannot write to the data directory: %s; the last changes are lost", error)
                break
            self._succeeded(group)  # dead letters whose copies are safe now are removed from their sources
        self._reader.close()
        self._database.close()

    def _tell(self) -> None:
        if self._committer is None:
            return
        for group, error in self._committer.results():
            self._is_writing = False
            self._writing_bytes = 0
            if error:
                self._failed(group, error)
            else:
                self._succeeded(group)

    def _succeeded(self, group: Group) -> None:
        if self.failed_bytes:
            self._works_again()
        listener = self.listener
        if listener is None:
            return
        if group.revision:
            listener.on_definitions_durable(group.revision)
        for queue_id, position in group.highest.items():
            listener.on_durable(queue_id, position)

    def _works_again(self) -> None:
        self.failed_bytes = 0
        log.warning("writing to the data directory works again")

    def _tell_behind(self) -> None:
        """Say so when too much waits to be written, and when half of that is done."""
        size = self._writing_bytes + self._group.size
        is_behind = size > (BEHIND_BYTES // 2 if self._is_behind else BEHIND_BYTES)
        if is_behind != self._is_behind and self.listener is not None:
            self._is_behind = is_behind
            self.listener.on_behind(is_behind)

    def _failed(self, group: Group, error: str) -> None:
        """Refuse the messages of a group; the rest of it is tried again with the next one."""
        if not self.failed_bytes:
            log.error("cannot write to the data directory: %s; messages are refused until that works", error)
        self.failed_bytes = max(int(group.size), 1)
        self._group.carry_over(group)
        for chunk_id, entries in reversed(group.written):
            self._index.forget(chunk_id, {place[0] for entry in entries for place in entry.places})
        refused: dict[int, list[int]] = {}
        for entry in group.entries:
            for queue_id, position, _, _ in entry.places:
                refused.setdefault(queue_id, []).append(position)
        if self.listener is not None:
            for queue_id, positions in refused.items():
                self.listener.on_refused(queue_id, positions, error)
