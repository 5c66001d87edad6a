"""Database: the SQLite file of a data directory. Each group is written in one transaction.

Only one thread at a time uses it: the opening thread until start-up is done, then the committer.
Messages are stored in chunks, many in one row. Removals from a chunk are noted in `gone`, one row per chunk and
transaction; the counts of returned messages in `counts`, one row per chunk. A chunk whose messages are all gone is
deleted with its notes; one with few messages left is rewritten. A chunk with unreadable parts is set aside: it is not
deleted or rewritten any more, and its readable messages are served. WAL and synchronous=FULL: a committed transaction
survives a power cut.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

from mypy_extensions import mypyc_attr

from leveret.store.chunk import MAX_CHUNK, DamagedChunk, Head, Place, pack, parse, trim
from leveret.store.chunk_store import ChunkStore, Found, StoreError, WriteError
from leveret.store.directory import make_directory
from leveret.store.files import make_private, private, tighten
from leveret.store.group import Group
from leveret.store.reader import Reader
from leveret.store.rows import pack_counts, pack_places, pack_value, unpack_places
from leveret.store.schema import (
    PAGE_BYTES,
    bring_up_to_date,
    complete,
    connect,
    foreign,
    is_empty,
    make_tables,
    set_bound,
    unset_bound,
    wrong_schema,
)
from leveret.store.tables import (
    UNREADABLE,
    Definitions,
    Gone,
    SetAside,
    bytes_of,
    is_damage,
    read_aside,
    read_chunk_ids,
    read_counted,
    read_counts,
    read_definitions,
    read_delivered,
    read_gone,
)

FILE_NAME: Final = "leveret.db"
LOCK_NAME: Final = "leveret.lock"
JOURNAL_BYTES: Final = 8 << 20  # size of the write-ahead log file when empty
FREE_PAGES: Final = 256  # pages that may stay free: 4 MiB
IDLE_SHARE: Final = 0.25  # or this share of the file, when idle
BUSY_SHARE: Final = 0.75  # or this share, when busy: then hardly any pages have to be moved

log = logging.getLogger("leveret.store")


@mypyc_attr(native_class=False)
class DirectoryInUse(StoreError):
    """Another process has the data directory open."""


@mypyc_attr(native_class=False)
class DamagedDatabase(StoreError):
    """The file is damaged. damage: a description."""

    def __init__(self, path: Path, damage: str) -> None:
        self.damage = damage
        super().__init__(f"{path} is damaged: {damage}")


@mypyc_attr(native_class=False)
class DamagedRow(Exception):
    """A chunk cannot be deleted or rewritten, because its row cannot be read."""

    def __init__(self, chunk_id: int, reason: str) -> None:
        super().__init__(reason)
        self.chunk_id = chunk_id


class Database(ChunkStore):
    """The open database of a directory. Raises: StoreError.

    only_reads: the directory must exist, is locked, and does not change; not even the mark of a clean end does. Then
    write() must not be called.
    """

    def __init__(self, directory: Path, only_reads: bool = False) -> None:
        super().__init__("the data directory")
        self._only_reads = only_reads
        self._misnamed: dict[tuple[str, str], list[int]] = {}  # ids of rows whose kind or key has a wrong type
        path = self._path = directory / FILE_NAME
        try:
            if not only_reads:
                make_directory(directory)
            self._lock = lock_directory(directory)
            try:
                if only_reads:
                    path.stat()
                else:
                    tighten(directory, FILE_NAME)
                    make_private(path)
                self._sql = connect(path, 0)
                try:
                    if only_reads:
                        self._look(path)
                    else:
                        self._open(path)
                except BaseException:
                    self._sql.close()
                    raise
            except BaseException:
                self._lock.close()
                raise
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                raise DamagedDatabase(path, str(error)) from None
            advice = "free some space there" if "full" in str(error) else "check its permissions"
            raise StoreError(f"cannot use data directory {directory}: {error}; {advice}") from None
        except OSError as refusal:
            text = f"cannot use data directory {directory}: {refusal.strerror}; choose another with --data-dir"
            raise StoreError(text) from None
        self._has_read = False
        self._aside: dict[int, bool] = {}  # chunks; whether all their messages are gone
        self._noted: set[int] = set()  # at least all chunks with removals
        self._counted: set[int] = set()  # at least all chunks with counts
        self._is_shorter = False  # tidy() has freed pages

    def _open(self, path: Path) -> None:
        sql = self._sql
        sql.execute(f"PRAGMA page_size={PAGE_BYTES}")
        sql.execute("PRAGMA auto_vacuum=INCREMENTAL")
        sql.execute("PRAGMA journal_mode=WAL")
        sql.execute("PRAGMA synchronous=FULL")
        sql.execute("PRAGMA secure_delete=OFF")  # on in Debian: a deletion would write all pages of the chunk
        sql.execute(f"PRAGMA journal_size_limit={JOURNAL_BYTES}")
        sql.execute(f"PRAGMA wal_autocheckpoint={JOURNAL_BYTES // 2 // PAGE_BYTES}")
        sql.execute("BEGIN EXCLUSIVE")
        self.is_new = sql.execute("PRAGMA user_version").fetchone()[0] == 0 and is_empty(sql)
        if self.is_new:
            make_tables(sql)
        else:
            check_schema(sql, path)
            bring_up_to_date(sql)
        clean = sql.execute("SELECT value FROM meta WHERE key = 'clean'").fetchone()
        self.was_clean = self.is_new or clean is not None
        sql.execute("DELETE FROM meta WHERE key = 'clean'")
        sql.execute("COMMIT")
        if clean is not None:  # remove the mark from the file itself too, in case the log is lost
            sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _look(self, path: Path) -> None:
        """Open for reading only. Raises: StoreError, sqlite3.Error."""
        check_schema(self._sql, path)
        complete(self._sql)
        self._sql.execute("PRAGMA query_only=ON")
        self.was_clean = self._sql.execute("SELECT value FROM meta WHERE key = 'clean'").fetchone() is not None

    # -- start-up

    def verify(self, is_doubtful: bool) -> None:
        """Check that all data needed at start-up is readable; if is_doubtful, check the whole file.

        Raises: DamagedDatabase.
        """
        sql = self._sql
        try:
            set_bound(sql, self._path)
            if is_doubtful:
                self._pragma("quick_check(1)")
            for name in ("definitions", "gone"):  # and their indexes
                self._pragma(f"integrity_check({name})")
            last = 0
            for (chunk_id,) in sql.execute("SELECT id FROM chunks ORDER BY id"):
                if not last < chunk_id < MAX_CHUNK:
                    raise DamagedDatabase(self._path, "chunks are out of order")
                last = chunk_id
            for name in ("definitions", "gone", "counts", "aside", "delivered"):
                for _ in sql.execute(f"SELECT * FROM {name}"):
                    pass
            unset_bound(sql)
        except sqlite3.DatabaseError as error:
            raise DamagedDatabase(self._path, str(error)) from None

    def _pragma(self, check: str) -> None:
        """Run one of SQLite's checks. Raises: DamagedDatabase, sqlite3.Error."""
        text: str = self._sql.execute(f"PRAGMA {check}").fetchone()[0]
        if text != "ok":
            raise DamagedDatabase(self._path, text.splitlines()[-1])

    def definitions(self) -> list[tuple[str, str, bytes]]:
        """All (kind, key, value), oldest first, without damaged ones. Raises: StoreError."""
        try:
            read: Definitions = read_definitions(self._sql)
        except sqlite3.DatabaseError as error:
            raise self._unreadable(error) from None
        self.damaged_definitions += read.damaged
        self._misnamed = read.misnamed
        return read.found

    def chunks(self) -> Iterator[Found]:
        """See ChunkStore. Raises: StoreError."""
        self._has_read = True
        try:
            asides: dict[int, SetAside] = read_aside(self._sql)
            gone: Gone = read_gone(self._sql)
            self._counted.update(read_counted(self._sql))
            chunks = read_chunk_ids(self._sql)
        except sqlite3.DatabaseError as trouble:
            raise self._unreadable(trouble) from None
        for chunk_id, aside in asides.items():
            self._aside[chunk_id] = aside.is_spent
            if aside.damage:
                log.error("the note that chunk %d is set aside is damaged: %s", chunk_id, aside.damage)
        for name, what in gone.damaged:
            log.error("the removals from chunk %s cannot be read, so removed messages come back: %s", name, what)
        self._noted.update(gone.by_chunk)
        self.chunk_count = len(chunks)
        for chunk_id in chunks:
            if self._aside.get(chunk_id, False):
                yield Found(chunk_id, Head())
                continue
            try:
                row = self._sql.execute("SELECT head FROM chunks WHERE id = ?", (chunk_id,)).fetchone()
                head = parse(bytes_of(row[0]) if row is not None else b"")
                if chunk_id in self._counted:
                    head.add_counts(read_counts(self._sql, chunk_id))
            except DamagedChunk as damage:
                yield Found(chunk_id, Head(), str(damage))
            except sqlite3.Error as error:
                if not is_damage(error):
                    raise StoreError(f"cannot read {self._path}: {error}") from None
                yield Found(chunk_id, Head(), str(error))
            else:
                head.cross_out(gone.of(chunk_id))
                yield Found(chunk_id, head)

    def aside(self) -> int:
        """The number of chunks set aside, as chunks() found it."""
        return len(self._aside)

    def delivered(self) -> dict[int, int]:
        """The highest delivered position of each queue; if unknown, the highest possible. Raises: StoreError."""
        try:
            marks, unknown = read_delivered(self._sql)
        except sqlite3.DatabaseError as error:
            raise self._unreadable(error) from None
        for queue_id in unknown:
            log.error(
                "the delivery mark of queue id %d cannot be read: all its messages are flagged redelivered", queue_id
            )
        return marks

    def _unreadable(self, error: sqlite3.DatabaseError) -> StoreError:
        return StoreError(f"{self._path} is damaged: {error}; start from a copy, or move it away to start empty")

    # -- groups

    def write(self, group: Group) -> None:
        """Write a sealed group in one transaction; set aside chunks that turn out to be damaged. Raises: WriteError."""
        while True:
            try:
                return self._write(group)
            except DamagedRow as damage:
                log.error("chunk %d cannot be read any more, and is set aside: %s", damage.chunk_id, damage)
                group.aside[damage.chunk_id] = str(damage)
            except sqlite3.Error as error:
                raise WriteError(str(error)) from error

    def _write(self, group: Group) -> None:
        sql = self._sql
        sql.execute("BEGIN IMMEDIATE")
        try:
            for kind, key, value, _ in group.definitions:
                for row_id in self._misnamed.get((kind, key), ()):
                    sql.execute("DELETE FROM definitions WHERE id = ?", (row_id,))
                if value is None:
                    sql.execute("DELETE FROM definitions WHERE kind = ? AND key = ?", (kind, key))
                else:
                    sql.execute(
                        "INSERT INTO definitions (kind, key, value) VALUES (?, ?, ?) "
                        "ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value",
                        (kind, key, pack_value(kind, key, value)),
                    )
            for chunk_id, entries in group.written:
                head, data = pack(entries)
                sql.execute("INSERT INTO chunks (id, head, data) VALUES (?, ?, ?)", (chunk_id, head, data))
            for chunk_id, places in group.gone.items():
                sql.execute("INSERT INTO gone (chunk, places) VALUES (?, ?)", (chunk_id, pack_places(places)))
            for chunk_id, counted in group.counts.items():
                self._count(chunk_id, counted)
            for chunk_id, reason in group.aside.items():
                self._set_aside(chunk_id, reason)
            for chunk_id in group.emptied:
                self._delete(chunk_id)
            for chunk_id in group.sparse:
                self._rewrite(chunk_id)
            sql.execute("COMMIT")
        except BaseException:
            if sql.in_transaction:
                sql.execute("ROLLBACK")
            raise
        self._noted.update(group.gone)
        self._noted.difference_update(group.emptied)
        self._counted.update(group.counts)
        self._counted.difference_update(group.emptied)

    def _count(self, chunk_id: int, counted: list[Place]) -> None:
        """Add counts to those of a chunk."""
        counts = read_counts(self._sql, chunk_id)
        for place in counted:
            key = int(place.queue_id), int(place.position)
            counts[key] = max(counts.get(key, 0), int(place.counts))
        self._sql.execute(
            "INSERT INTO counts (chunk, places) VALUES (?, ?) "
            "ON CONFLICT (chunk) DO UPDATE SET places = excluded.places",
            (chunk_id, pack_counts(counts)),
        )

    def _set_aside(self, chunk_id: int, reason: str) -> None:
        """Set a chunk aside: leave it unchanged from now on."""
        self._aside.setdefault(chunk_id, False)
        self._sql.execute(
            "INSERT OR IGNORE INTO aside (chunk, reason, since, spent) VALUES (?, ?, datetime('now'), 0)",
            (chunk_id, reason),
        )

    def _delete(self, chunk_id: int) -> None:
        """Delete a chunk whose messages are all gone. Raises: DamagedRow."""
        if chunk_id in self._aside:
            self._aside[chunk_id] = True
            self._sql.execute("UPDATE aside SET spent = 1 WHERE chunk = ?", (chunk_id,))
        else:
            try:
                self._sql.execute("DELETE FROM chunks WHERE id = ?", (chunk_id,))
            except sqlite3.DatabaseError as error:
                raise _trouble(error, chunk_id) from None
        if chunk_id in self._noted or not self._has_read:
            self._sql.execute("DELETE FROM gone WHERE chunk = ?", (chunk_id,))
        if chunk_id in self._counted or not self._has_read:
            self._sql.execute("DELETE FROM counts WHERE chunk = ?", (chunk_id,))

    def _rewrite(self, chunk_id: int) -> None:
        """Rewrite a chunk without the messages that are gone. Raises: DamagedRow."""
        if chunk_id in self._aside:
            return
        sql = self._sql
        gone: set[tuple[int, int]] = set()
        try:
            for (places,) in sql.execute("SELECT places FROM gone WHERE chunk = ?", (chunk_id,)):
                gone.update(unpack_places(bytes_of(places)))
            row = sql.execute("SELECT head, data FROM chunks WHERE id = ?", (chunk_id,)).fetchone()
            if row is None:
                return
            head = parse(bytes_of(row[0]))
            head.cross_out(gone)
            head.add_counts(read_counts(sql, chunk_id))
            sql.execute("UPDATE chunks SET head = ?, data = ? WHERE id = ?", (*trim(head, bytes_of(row[1])), chunk_id))
        except (DamagedChunk, sqlite3.DatabaseError) as error:
            raise _trouble(error, chunk_id) from None
        sql.execute("DELETE FROM gone WHERE chunk = ?", (chunk_id,))
        sql.execute("DELETE FROM counts WHERE chunk = ?", (chunk_id,))

    def tidy(self, is_idle: bool) -> bool:
        """Return up to FREE_PAGES free pages to the disk, if there are too many. Returns: whether more are left.

        Too many: more than FREE_PAGES, and more than IDLE_SHARE or BUSY_SHARE of the file. Raises: WriteError.
        """
        try:
            return self._tidy(is_idle)
        except sqlite3.Error as error:
            raise WriteError(str(error)) from error

    def _tidy(self, is_idle: bool) -> bool:
        sql = self._sql
        free: int = sql.execute("PRAGMA freelist_count").fetchone()[0]
        pages: int = sql.execute("PRAGMA page_count").fetchone()[0]
        if free <= FREE_PAGES or free <= pages * (IDLE_SHARE if is_idle else BUSY_SHARE):
            if self._is_shorter:
                self._is_shorter = False
                sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # shortens the file itself
            return False
        sql.executescript(f"PRAGMA incremental_vacuum({FREE_PAGES})")  # execute() would stop after the first page
        left: int = sql.execute("PRAGMA freelist_count").fetchone()[0]
        if left == free:  # another program has rewritten the file without the pointer map that this needs
            return False
        self._is_shorter = True
        return True

    def reader(self, notify: Callable[[], None]) -> Reader:
        """A reader with a connection of its own, which never has to fetch anything. Raises: StoreError."""
        reader = Reader(self._path)
        reader.open()
        return reader

    def close(self, delivered: dict[int, int] | None = None) -> None:
        """See ChunkStore."""
        try:
            if self._only_reads:
                return
            if delivered is not None:
                self._sql.execute("BEGIN")
                self._sql.execute("DELETE FROM delivered")
                self._sql.executemany("INSERT INTO delivered (queue, position) VALUES (?, ?)", delivered.items())
                self._sql.execute("INSERT INTO meta (key, value) VALUES ('clean', 1)")
                self._sql.execute("COMMIT")
            elif self.was_clean:
                self._sql.execute("INSERT INTO meta (key, value) VALUES ('clean', 1)")
        except sqlite3.Error:
            pass  # a full disk: then the end is not clean
        finally:
            self._sql.close()
            self._lock.close()


def check_schema(sql: sqlite3.Connection, path: Path) -> None:
    """Check that a file has exactly Leveret's tables, so that it is safe to read them.

    Raises: StoreError, its subclass DamagedDatabase, sqlite3.Error.
    """
    reason: str = foreign(sql)
    if reason:
        raise StoreError(f"{path} {reason}")
    damage: str = wrong_schema(sql)
    if damage:
        raise DamagedDatabase(path, damage)


def lock_directory(directory: Path) -> IO[bytes]:
    """Lock the directory against other processes, until the returned file is closed. Raises: DirectoryInUse."""
    file = os.fdopen(private(directory / LOCK_NAME), "ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        text = f"data directory {directory} is in use by another broker; stop it or choose another directory"
        raise DirectoryInUse(text) from None
    return file


def _trouble(error: Exception, chunk_id: int) -> Exception:
    """The exception for an error in a chunk's row: DamagedRow if the row is damaged, else the error itself."""
    if isinstance(error, DamagedChunk) or getattr(error, "sqlite_errorcode", 0) in UNREADABLE:
        return DamagedRow(chunk_id, str(error))
    return error
