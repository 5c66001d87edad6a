"""Reader: fetches chunks for the core while the committer writes, on a connection of its own."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from librt.strings import read_i64_be
from mypy_extensions import i64

from leveret.store.chunk import DamagedChunk, Entry, unpack
from leveret.store.database import FILE_NAME


class Reader:
    """Reads what is committed in the file of a directory. Opens it when it is first needed."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._sql: sqlite3.Connection | None = None

    def entries(self, chunk_id: int) -> list[Entry]:
        """What is in a chunk, gone messages too if they still are. Raises: DamagedChunk, sqlite3.Error."""
        if self._sql is None:
            self._sql = sqlite3.connect(self._path, isolation_level=None)
            self._sql.execute("PRAGMA query_only=ON")
        row = self._sql.execute("SELECT head, data FROM chunks WHERE id = ?", (chunk_id,)).fetchone()
        if row is None:
            raise DamagedChunk("it is not there")
        return unpack(row[0], row[1])

    def close(self) -> None:
        """Let go of the file."""
        if self._sql is not None:
            self._sql.close()


def unpack_positions(positions: bytes) -> list[int]:
    """The numbers in a list of positions, 8 bytes each."""
    found: list[int] = []
    pos: i64 = 0
    while pos < len(positions):
        found.append(int(read_i64_be(positions, pos)))
        pos += 8
    return found
