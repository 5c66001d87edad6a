"""Reader: fetches heads and messages for the core while the committer writes, on a connection of its own."""

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

READ_S: Final = 5.0  # that a read waits for a lock
FEW: Final = 8  # one message in so many is fetched alone, and not the whole chunk


class Messages:
    """The messages of some labels; None in place of one that cannot be read. damage: why, or an empty string."""

    def __init__(self) -> None:
        self.found: list[Message | None] = []
        self.damage = ""


class Reader:
    """Reads what is committed in the file of a directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._sql: sqlite3.Connection | None = None

    def open(self) -> None:
        """Have all files open that are needed to read. Raises: StoreError."""
        try:
            self._open().execute("SELECT 1 FROM chunks LIMIT 1").fetchone()
        except sqlite3.Error as error:
            self.close()
            raise StoreError(f"cannot read {self._path}: {error}") from None

    def begin(self) -> None:
        """See the file as it is now until end(): the committer may write a chunk anew. Raises: sqlite3.Error."""
        self._open().execute("BEGIN")

    def end(self) -> None:
        """See the file as it changes. A connection that cannot do this is given up; there will be another."""
        if self._sql is None:
            return
        try:
            if self._sql.in_transaction:
                self._sql.execute("ROLLBACK")
        except sqlite3.Error:
            self._sql.close()
            self._sql = None

    def head(self, chunk_id: int, queue_id: int = ANY) -> Head:
        """What is said of a queue in the head of a chunk, of gone messages too, with what was counted since.

        Raises: DamagedChunk, sqlite3.Error.
        """
        return read_head(self._open(), chunk_id, queue_id)

    def messages(self, chunk_id: int, head: Head, labels: list[Label]) -> Messages:
        """The messages of labels of a head. Raises: sqlite3.Error when the reason is not damage."""
        return read_messages(self._open(), chunk_id, head, labels)

    def _open(self) -> sqlite3.Connection:
        if self._sql is None:
            self._sql = connect(self._path, READ_S)
            self._sql.execute("PRAGMA query_only=ON")
        return self._sql

    def close(self) -> None:
        """Let go of the file."""
        if self._sql is not None:
            self._sql.close()
            self._sql = None


def read_head(sql: sqlite3.Connection, chunk_id: int, queue_id: int = ANY) -> Head:
    """As Reader.head()."""
    row = sql.execute("SELECT head FROM chunks WHERE id = ?", (chunk_id,)).fetchone()
    if row is None:
        raise DamagedChunk("it is not there")
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
        except sqlite3.Error as error:  # the whole could not be read either, but some of it may be
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
    """The numbers in a list of positions, 8 bytes each."""
    found: list[int] = []
    pos: i64 = 0
    while pos < len(positions):
        found.append(int(read_i64_be(positions, pos)))
        pos += 8
    return found
