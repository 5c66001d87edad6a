"""Database: the SQLite file of a data directory, and the one transaction that writes a group.

Only one thread at a time uses it: the one that opens it until start-up is done, then the committer.
Messages rest in chunks, one row for many. What was removed from a chunk is appended to `gone`; a chunk whose
messages are all gone is deleted with it. WAL and synchronous=FULL: a committed transaction survives a power cut.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from pathlib import Path
from typing import Final

from mypy_extensions import mypyc_attr

from leveret.core.ports import Recovered
from leveret.store.chunk import DamagedChunk, Entry, pack, unpack
from leveret.store.group import Group

FILE_NAME: Final = "leveret.db"
FORMAT: Final = 2
CHUNK_BYTES: Final = 1 << 20  # of contents in one chunk, about

SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE definitions (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, UNIQUE (kind, key)
);
CREATE TABLE chunks (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE gone (chunk INTEGER NOT NULL, queue INTEGER NOT NULL, position INTEGER NOT NULL);
CREATE INDEX gone_by_chunk ON gone (chunk);
CREATE TABLE delivered (queue INTEGER PRIMARY KEY, position INTEGER NOT NULL);
"""


@mypyc_attr(native_class=False)
class StoreError(Exception):
    """The data directory cannot be used; the text says why and what to do."""


@mypyc_attr(native_class=False)
class DirectoryInUse(StoreError):
    """Another process has the data directory open."""


class Database:
    """The file, and an index in memory of which chunk holds which positions.

    was_clean: whether the last user of the file closed it.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / FILE_NAME
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # there are password hashes in it
            self._sql = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=0)
            self._open(path)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                text = f"data directory {directory} is in use by another broker; stop it or choose another directory"
                raise DirectoryInUse(text) from None
            raise StoreError(f"cannot use data directory {directory}: {error}; check its permissions") from None
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{path} is damaged or no Leveret database: {error}; move it away to start anew") from None
        except OSError as error:
            text = f"cannot use data directory {directory}: {error.strerror}; choose another with --data-dir"
            raise StoreError(text) from None
        self._live: dict[int, int] = {}  # places that are left, by chunk
        self._first: dict[int, list[int]] = {}  # by queue: first position in each of its chunks, ascending
        self._last: dict[int, list[int]] = {}  # the same for the last
        self._chunks: dict[int, list[int]] = {}  # by queue: the chunks, in step with these
        self._next_chunk = 1
        self._has_read = False

    def _open(self, path: Path) -> None:
        sql = self._sql
        sql.execute("PRAGMA locking_mode=EXCLUSIVE")
        sql.execute("PRAGMA auto_vacuum=INCREMENTAL")
        sql.execute("PRAGMA journal_mode=WAL")
        sql.execute("PRAGMA synchronous=FULL")
        sql.execute("BEGIN EXCLUSIVE")
        version = sql.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            for statement in SCHEMA.split(";"):
                sql.execute(statement)
            sql.execute(f"PRAGMA user_version={FORMAT}")
        elif version < FORMAT:
            sql.execute(f"PRAGMA user_version={FORMAT}")  # the chunks say themselves how they are to be read
        elif version > FORMAT:
            sql.execute("ROLLBACK")
            raise StoreError(f"{path} has format {version}, this Leveret knows {FORMAT}; use the version that wrote it")
        clean = sql.execute("SELECT value FROM meta WHERE key = 'clean'").fetchone()
        self.was_clean = version == 0 or clean is not None
        sql.execute("DELETE FROM meta WHERE key = 'clean'")
        sql.execute("COMMIT")

    # -- start-up

    def definitions(self) -> list[tuple[str, str, bytes]]:
        """All (kind, key, value), oldest first."""
        return self._sql.execute("SELECT kind, key, value FROM definitions ORDER BY id").fetchall()

    def messages(self) -> tuple[list[Recovered], list[str]]:
        """All messages that are not gone, in order within each queue, and what could not be read.

        Builds the index; called once. Cost: reads the whole file.
        """
        self._has_read = True
        delivered = dict(self._sql.execute("SELECT queue, position FROM delivered"))
        gone: dict[int, set[tuple[int, int]]] = {}
        for chunk, queue_id, position in self._sql.execute("SELECT chunk, queue, position FROM gone"):
            gone.setdefault(chunk, set()).add((queue_id, position))
        found: list[Recovered] = []
        damage: list[str] = []
        for chunk, data in self._sql.execute("SELECT id, data FROM chunks ORDER BY id"):
            self._next_chunk = chunk + 1
            try:
                entries = unpack(data)
            except DamagedChunk as error:
                damage.append(f"chunk {chunk}: {error}")
                continue
            lost = gone.get(chunk, set())
            for entry in entries:
                if lost:
                    entry.places = [place for place in entry.places if place[:2] not in lost]
            self._index(chunk, entries)
            for entry in entries:
                for queue_id, position, deadline_ms in entry.places:
                    again = not self.was_clean or position <= delivered.get(queue_id, 0)
                    found.append(Recovered(queue_id, position, entry.message, again, deadline_ms))
        self._lower_marks(delivered)
        return found, damage

    def _lower_marks(self, delivered: dict[int, int]) -> None:
        """A queue goes on behind its last message, so a mark beyond it would speak of messages to come.

        After an unclean end all messages may have been delivered, and this stays so when the next end is clean.
        """
        marks: list[tuple[int, int]] = []
        for queue_id, positions in self._last.items():
            last = positions[-1]
            marks.append((queue_id, min(delivered.get(queue_id, 0), last) if self.was_clean else last))
        self._sql.execute("BEGIN")
        self._sql.execute("DELETE FROM delivered")
        self._sql.executemany("INSERT INTO delivered (queue, position) VALUES (?, ?)", marks)
        self._sql.execute("COMMIT")

    # -- groups

    def write(self, group: Group) -> None:
        """Write a group in one transaction. Raises: sqlite3.Error, and nothing of it is written."""
        sql = self._sql
        sql.execute("BEGIN IMMEDIATE")
        try:
            for kind, key, value in group.definitions:
                if value is None:
                    sql.execute("DELETE FROM definitions WHERE kind = ? AND key = ?", (kind, key))
                else:
                    sql.execute(
                        "INSERT INTO definitions (kind, key, value) VALUES (?, ?, ?) "
                        "ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value",
                        (kind, key, value),
                    )
            written = self._write_chunks(group.entries)
            removed, emptied = self._find_removed(group)
            sql.executemany("INSERT INTO gone (chunk, queue, position) VALUES (?, ?, ?)", removed)
            sql.executemany("DELETE FROM chunks WHERE id = ?", [(chunk,) for chunk in emptied])
            sql.executemany("DELETE FROM gone WHERE chunk = ?", [(chunk,) for chunk in emptied])
            sql.executemany("REPLACE INTO delivered (queue, position) VALUES (?, ?)", group.delivered.items())
            sql.executemany("DELETE FROM delivered WHERE queue = ?", [(queue,) for queue in group.dropped])
            sql.execute("COMMIT")
        except BaseException:
            if sql.in_transaction:
                sql.execute("ROLLBACK")
            raise
        self._apply(written, removed, emptied, group)

    def close(self) -> None:
        """Leave the mark of a clean end, and let go of the file.

        Whoever did not read the messages leaves the mark as it was: they are to be recovered yet.
        """
        if self._has_read or self.was_clean:
            self._sql.execute("INSERT INTO meta (key, value) VALUES ('clean', 1)")
        self._sql.close()

    # -- inside

    def _write_chunks(self, entries: list[Entry]) -> list[tuple[int, list[Entry]]]:
        """Insert entries as chunks of about CHUNK_BYTES. Returns: id and entries of each."""
        written: list[tuple[int, list[Entry]]] = []
        part: list[Entry] = []
        size = 0
        for entry in entries:
            if not entry.places:
                continue
            part.append(entry)
            size += len(entry.message.content)
            if size >= CHUNK_BYTES:
                written.append((self._next_chunk + len(written), part))
                part, size = [], 0
        if part:
            written.append((self._next_chunk + len(written), part))
        for chunk, content in written:
            self._sql.execute("INSERT INTO chunks (id, data) VALUES (?, ?)", (chunk, pack(content)))
        return written

    def _find_removed(self, group: Group) -> tuple[list[tuple[int, int, int]], list[int]]:
        """Which rows of `gone` a group makes, and which chunks it leaves empty."""
        counts: dict[int, int] = {}
        rows: list[tuple[int, int, int]] = []
        dropped = set(group.dropped)
        for queue_id, position in group.removed:
            if queue_id in dropped:
                continue  # counted with the rest of its queue
            chunk = self._chunk_of(queue_id, position)
            if chunk is not None:
                rows.append((chunk, queue_id, position))
                counts[chunk] = counts.get(chunk, 0) + 1
        for queue_id in group.dropped:
            rows += self._dropped_rows(queue_id, counts)
        emptied = [chunk for chunk, count in counts.items() if count >= self._live[chunk]]
        gone = set(emptied)
        return [row for row in rows if row[0] not in gone], emptied

    def _dropped_rows(self, queue_id: int, counts: dict[int, int]) -> list[tuple[int, int, int]]:
        """Rows for all messages of a deleted queue. Cost: reads its chunks."""
        rows: list[tuple[int, int, int]] = []
        for chunk in self._chunks.get(queue_id, []):
            if chunk not in self._live:
                continue
            data = self._sql.execute("SELECT data FROM chunks WHERE id = ?", (chunk,)).fetchone()[0]
            known = self._sql.execute(
                "SELECT position FROM gone WHERE chunk = ? AND queue = ?", (chunk, queue_id)
            ).fetchall()
            already = {row[0] for row in known}
            for entry in unpack(data):
                for owner, position, _ in entry.places:
                    if owner == queue_id and position not in already:
                        rows.append((chunk, queue_id, position))
                        counts[chunk] = counts.get(chunk, 0) + 1
        return rows

    def _apply(
        self,
        written: list[tuple[int, list[Entry]]],
        removed: list[tuple[int, int, int]],
        emptied: list[int],
        group: Group,
    ) -> None:
        """Bring the index up to what was committed."""
        for chunk, entries in written:
            self._index(chunk, entries)
            self._next_chunk = chunk + 1
        for chunk, _, _ in removed:
            self._live[chunk] -= 1
        for chunk in emptied:
            del self._live[chunk]
        for queue_id in group.dropped:
            self._first.pop(queue_id, None)
            self._last.pop(queue_id, None)
            self._chunks.pop(queue_id, None)
        if emptied:
            for queue_id in {queue_id for queue_id, _ in group.removed}:
                self._forget_dead_chunks(queue_id)

    def _index(self, chunk: int, entries: list[Entry]) -> None:
        live = 0
        lowest: dict[int, int] = {}
        highest: dict[int, int] = {}
        for entry in entries:
            live += len(entry.places)
            for queue_id, position, _ in entry.places:
                lowest.setdefault(queue_id, position)
                highest[queue_id] = position
        self._live[chunk] = live
        for queue_id, position in highest.items():
            self._first.setdefault(queue_id, []).append(lowest[queue_id])
            self._last.setdefault(queue_id, []).append(position)
            self._chunks.setdefault(queue_id, []).append(chunk)

    def _chunk_of(self, queue_id: int, position: int) -> int | None:
        last = self._last.get(queue_id)
        if last is None:
            return None
        at = bisect_left(last, position)
        if at == len(last) or position < self._first[queue_id][at]:
            return None  # never written: its group was refused
        chunk = self._chunks[queue_id][at]
        return chunk if chunk in self._live else None

    def _forget_dead_chunks(self, queue_id: int) -> None:
        """Take chunks that are gone from the front of a queue's index: the usual end of a chunk."""
        chunks = self._chunks.get(queue_id)
        if chunks is None:
            return
        count = 0
        while count < len(chunks) and chunks[count] not in self._live:
            count += 1
        del chunks[:count]
        del self._first[queue_id][:count]
        del self._last[queue_id][:count]
