"""Reader: reads messages for the core while the committer writes, on its own SQLite connection."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from leveret.core.message.log import Unreadable
from leveret.store.chunk import ANY, DamagedChunk, Head, Label, parse
from leveret.store.chunk_store import ChunkReader, Messages, StoreError
from leveret.store.schema import connect
from leveret.store.tables import bytes_of, is_damage, read_counts

READ_S: Final = 5.0  # maximum wait of a read for a lock
FEW: Final = 8  # up to one message in FEW is read alone, otherwise the whole chunk


class Reader(ChunkReader):
    """Reads committed data in a database file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sql: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open all files that reading needs. Raises: StoreError."""
        try:
            self._open().execute("SELECT 1 FROM chunks LIMIT 1").fetchone()
        except sqlite3.Error as error:
            self.close()
            raise StoreError(f"cannot read {self._path}: {error}") from None

    def load(self, chunk_id: int, head: Head, labels: list[Label]) -> Messages:
        """See ChunkReader. Raises: StoreError."""
        try:
            return read_messages(self._open(), chunk_id, head, labels)
        except sqlite3.Error as error:  # not damage: do not give up messages that are unreadable for now
            raise StoreError(f"cannot read the messages in {self._path}: {error}") from None

    def read(self, chunk_id: int, queue_id: int, wanted: list[int]) -> Messages:
        """See ChunkReader. Raises: Unreadable."""
        messages = Messages()
        try:
            sql = self._open()
            sql.execute("BEGIN")  # a snapshot, since the committer may rewrite the chunk
            head: Head = read_head(sql, chunk_id, queue_id)
            head.keep(wanted)
            messages = read_messages(sql, chunk_id, head, head.labels)
        except DamagedChunk as broken:
            messages.damage = str(broken)
        except sqlite3.Error as error:
            messages.damage = str(error)
            if not is_damage(error):
                raise Unreadable(f"{len(wanted)} messages cannot be read now: {error}") from None
        finally:
            self._end()
        messages.damage = messages.damage or "the messages are missing"
        return messages

    def _end(self) -> None:
        """End the snapshot. If that fails, close the connection; the next read opens another one."""
        if self._sql is None:
            return
        try:
            if self._sql.in_transaction:
                self._sql.execute("ROLLBACK")
        except sqlite3.Error:
            self._sql.close()
            self._sql = None

    def _open(self) -> sqlite3.Connection:
        if self._sql is None:
            self._sql = connect(self._path, READ_S)
            self._sql.execute("PRAGMA query_only=ON")
        return self._sql

    def close(self) -> None:
        """Close the file."""
        if self._sql is not None:
            self._sql.close()
            self._sql = None


def read_head(sql: sqlite3.Connection, chunk_id: int, queue_id: int = ANY) -> Head:
    """The head of a chunk for one queue or all, including removed messages, with the counts noted since.

    Raises: DamagedChunk, sqlite3.Error.
    """
    row = sql.execute("SELECT head FROM chunks WHERE id = ?", (chunk_id,)).fetchone()
    if row is None:
        raise DamagedChunk("the chunk is missing")
    head = parse(bytes_of(row[0]), queue_id)
    head.add_counts(read_counts(sql, chunk_id))
    return head


def read_messages(sql: sqlite3.Connection, chunk_id: int, head: Head, labels: list[Label]) -> Messages:
    """The messages of labels of a head. Raises: sqlite3.Error for errors other than damage."""
    result = Messages()
    result.labels = labels
    data: bytes | None = None
    if len(labels) * FEW > head.count:
        try:
            row = sql.execute("SELECT data FROM chunks WHERE id = ?", (chunk_id,)).fetchone()
            data = bytes_of(row[0]) if row is not None else b""
        except DamagedChunk:
            data = b""
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
    for label in labels:
        try:
            if data is None:
                content = _piece(sql, chunk_id, label)
            else:
                content = data[label.start : label.start + label.length]
            result.found.append(head.message(label, content))
        except DamagedChunk as damage:
            result.found.append(None)
            result.damage = str(damage)
        except sqlite3.Error as error:  # after a failure to read the whole chunk, parts may be readable
            if not is_damage(error):
                raise
            result.found.append(None)
            result.damage = str(error)
    return result


def _piece(sql: sqlite3.Connection, chunk_id: int, label: Label) -> bytes:
    with sql.blobopen("chunks", "data", chunk_id, readonly=True) as blob:
        blob.seek(min(int(label.start), len(blob)))
        return blob.read(int(label.length))
