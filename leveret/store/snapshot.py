"""Snapshot: a read-only view of a data directory that no broker uses."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from leveret.core.definition.log import DefinitionLog
from leveret.core.message.log import Recovered
from leveret.store.chunk import DamagedChunk, Head, Label
from leveret.store.chunk_store import StoreError
from leveret.store.database import LOCK_NAME, DirectoryInUse
from leveret.store.owner import as_owner
from leveret.store.reader import read_head, read_messages
from leveret.store.rescue.maintenance import open_data
from leveret.store.schema import unset_bound
from leveret.store.tables import (
    Definitions,
    Gone,
    SetAside,
    read_aside,
    read_chunk_ids,
    read_definitions,
    read_delivered,
    read_gone,
)
from leveret.store.unfinished import refuse_unfinished


class Snapshot(DefinitionLog):
    """The data of a directory. damage: descriptions of unreadable parts; complete after messages().

    Raises: StoreError when there is no data, DirectoryInUse when a broker uses it.
    """

    def __init__(self, directory: Path) -> None:
        self.damage: list[str] = []
        self._sql = open_data(directory)
        try:
            check_unused(directory)
            self._sql.execute("BEGIN")
            self._definitions: Definitions = read_definitions(self._sql)
            refuse_unfinished(self._definitions.found, "the data directory")
            self._gone: Gone = read_gone(self._sql)
            asides: dict[int, SetAside] = read_aside(self._sql)
            self._chunks = [
                each for each in read_chunk_ids(self._sql) if each not in asides or not asides[each].is_spent
            ]
            self._delivered, unknown = read_delivered(self._sql)
            self._was_clean = self._sql.execute("SELECT value FROM meta WHERE key = 'clean'").fetchone() is not None
            unset_bound(self._sql)
        except sqlite3.Error as error:
            self._sql.close()
            raise StoreError(f"cannot read the data in '{directory}': {error}") from None
        except BaseException:
            self._sql.close()
            raise
        self.damage += [f"the definition of {kind} {key}: {what}" for kind, key, what in self._definitions.damaged]
        self.damage += [f"the removals from chunk {name}: {what}" for name, what in self._gone.damaged]
        for chunk_id, aside in asides.items():
            if aside.damage:
                self.damage.append(f"the note that chunk {chunk_id} is set aside: {aside.damage}")
        if unknown:
            self.damage.append(f"the delivery marks of {len(unknown)} queues cannot be read")

    def load(self) -> list[tuple[str, str, bytes]]:
        """All definitions, oldest first."""
        return self._definitions.found

    def damaged(self) -> list[tuple[str, str, str]]:
        """The damaged definitions that load() omitted."""
        return self._definitions.damaged

    def put(self, kind: str, key: str, value: bytes, is_new: bool = False) -> int:
        """Nothing changes."""
        return 0

    def delete(self, kind: str, key: str) -> int:
        """Nothing changes."""
        return 0

    def messages(self, queue_id: int, has_priorities: bool, tell: Callable[[int, int], None]) -> Iterator[Recovered]:
        """The messages of a queue, in order of delivery. tell: called with chunks done and total chunks.

        Raises: StoreError when they cannot be read for a reason other than damage.
        """
        delivered = self._delivered.get(queue_id, 0)
        chunks = self._chunks
        levels: dict[int, list[int]] = {0: chunks}
        if has_priorities:
            levels = {}
            for chunk_id in chunks:
                labels = self._head(chunk_id, queue_id).labels
                for level in {int(place.level) for label in labels for place in label.places}:
                    levels.setdefault(level, []).append(chunk_id)
        total = sum(len(found) for found in levels.values())
        done = 0
        for level in sorted(levels, reverse=True):
            for chunk_id in levels[level]:
                tell(done, total)
                done += 1
                for found in self._messages(chunk_id, queue_id, level):
                    found.redelivered = not self._was_clean or found.position <= delivered
                    yield found

    def _head(self, chunk_id: int, queue_id: int) -> Head:
        """The head of a chunk with the places left of a queue."""
        try:
            head = read_head(self._sql, chunk_id, queue_id)
        except (DamagedChunk, sqlite3.Error) as error:
            self.damage.append(f"chunk {chunk_id}: {error}")
            return Head()
        head.cross_out(self._gone.of(chunk_id))
        return head

    def _messages(self, chunk_id: int, queue_id: int, level: int) -> list[Recovered]:
        head = self._head(chunk_id, queue_id)
        labels: list[Label] = []
        for label in head.labels:
            label.places = [place for place in label.places if place.level == level]
            if label.places:
                labels.append(label)
        try:
            messages = read_messages(self._sql, chunk_id, head, labels)
        except sqlite3.Error as error:  # not damage
            raise StoreError(f"cannot read the messages in the data directory: {error}") from None
        found: list[Recovered] = []
        for label, message in zip(labels, messages.found, strict=True):
            for place in label.places:
                if message is not None:
                    position, deadline_ms = int(place.position), int(place.deadline_ms)
                    recovered = Recovered(queue_id, position, message, False, deadline_ms, level)
                    recovered.counts = place.counts
                    found.append(recovered)
        unreadable = messages.found.count(None)
        if unreadable:
            self.damage.append(f"chunk {chunk_id}: {unreadable} of {len(labels)} messages: {messages.damage}")
        return found

    def close(self) -> None:
        """Close the file."""
        self._sql.close()


def check_unused(directory: Path) -> None:
    """Check that no broker uses a directory. Raises: DirectoryInUse, StoreError."""
    try:
        with as_owner(directory):
            file = (directory / LOCK_NAME).open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"cannot read {directory / LOCK_NAME}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryInUse(f"data directory {directory} is in use by a broker") from None
