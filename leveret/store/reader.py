"""Reader: reads heads and messages for the core while the committer writes, on its own SQLite connection."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from librt.strings import read_i64_be
from mypy_extensions import i64

from leveret.core.message.message import Message
from leveret.store.chunk import ANY, DamagedChunk, Head, Label, parse
from leveret.store.database import FILE_NAME, StoreError, is_damage, read_counts
from leveret.store.schema import connect
from leveret.store.tables import bytes_of

READ_S: Final = 5.0  # maximum wait of a read for a lock
FEW: Final = 8  # up to one message in FEW is read alone, otherwise the whole chunk


class Messages:
    """The messages of some labels; None for an unreadable one. damage: the reason, or an empty string."""

    def __init__(self) -> None:
        self.found: list[Message | None] = []
        self.damage = ""


class Reader:
    """Reads committed data in the database of a directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._sql: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open all files that reading needs. Raises: StoreError."""
        try:
            self._open().execute("SELECT 1 FROM chunks LIMIT 1").fetchone()
        except sqlite3.Error as error:
            self.close()
            raise StoreError(f"cannot read {self._path}: {error}") from None

    def begin(self) -> None:
        """Begin a snapshot until end(), since the committer may rewrite a chunk. Raises: sqlite3.Error."""
        self._open().execute("BEGIN")

    def end(self) -> None:
        """End the snapshot. If that fails, close the connection; the next read opens another one."""
        if self._sql is None:
            return
        try:
            if self._sql.in_transaction:
                self._sql.execute("ROLLBACK")
        except sqlite3.Error:
            self._sql.close()
            self._sql = None

    def head(self, chunk_id: int, queue_id: int = ANY) -> Head:
        """The head of a chunk for one queue or all, including removed messages, with the counts noted since.

        Raises: DamagedChunk, sqlite3.Error.
        """
        return read_head(self._open(), chunk_id, queue_id)

    def messages(self, chunk_id: int, head: Head, labels: list[Label]) -> Messages:
        """The messages of labels of a head. Raises: sqlite3.Error for errors other than damage."""
        return read_messages(self._open(), chunk_id, head, labels)

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
    """As Reader.head()."""
    row = sql.execute("SELECT head FROM chunks WHERE id = ?", (chunk_id,)).fetchone()
    if row is None:
        raise DamagedChunk("the chunk is missing")
    head = parse(bytes_of(row[0]), queue_id)
    head.add_counts(read_counts(sql, chunk_id))
    return head


def read_messages(sql: sqlite3.Connection, chunk_id: int, head: Head, labels: list[Label]) -> Messages:
    """As Reader.messages()."""
    result = Messages()
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


def unpack_positions(positions: bytes) -> list[int]:
    """Decode a list of positions, 8 bytes each."""
    found: list[int] = []
    pos: i64 = 0
    while pos < len(positions):
        found.append(int(read_i64_be(positions, pos)))
        pos += 8
    return found
