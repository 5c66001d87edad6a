"""Salvage: build a new database from the readable parts of a damaged one, so that the broker can start.

It copies the rows of pages that are reachable through the trees, then those of unreachable leaves that are in use by
the map, or at least not known to be free. The damaged files stay in the directory under another name. The new file is
complete and synced before the old ones are moved, so a crash in between only repeats the work.

All salvaged messages are flagged as redelivered, as after any unclean end: the acknowledgement of some may have been
lost.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from pathlib import Path
from typing import Final

from leveret.store.chunk import ANYWHERE, MAX_CHUNK, DamagedChunk, parse
from leveret.store.chunk_store import StoreError
from leveret.store.database import FILE_NAME, DamagedDatabase, Database, lock_directory
from leveret.store.directory import sync_directory
from leveret.store.files import private
from leveret.store.rescue.pages import LEAF_TABLE, ROOT, TREE, BadPage, PageFile, Row, TreePage
from leveret.store.rescue.survey import LEAF, SEEN, Survey, inspect, other_page_size
from leveret.store.rows import unpack_counts, unpack_places, unpack_value
from leveret.store.schema import PAGE_BYTES, make_tables

BATCH_BYTES: Final = 64 << 20  # per transaction
MAX_TOLD: Final = 20  # damaged places in the log

log = logging.getLogger("leveret.store")


class Salvage:
    """The result of a salvage. places: the first MAX_TOLD unreadable pages and rows."""

    def __init__(self) -> None:
        self.definitions = 0
        self.chunks = 0
        self.torn = 0  # chunks with missing parts
        self.lost_pages = 0
        self.lost_rows = 0
        self.places: list[str] = []

    def lose(self, place: str) -> None:
        """Note an unreadable place."""
        if len(self.places) < MAX_TOLD and place not in self.places:
            self.places.append(place)

    def summary(self) -> str:
        """The result in a sentence."""
        return (
            f"{self.definitions} definitions and {self.chunks} chunks of messages are saved, "
            f"{self.torn} of them in part; {self.lost_pages} pages and {self.lost_rows} other rows cannot be read"
        )


def open_database(directory: Path) -> Database:
    """Open the database of a directory; salvage it first if it is damaged. Raises: StoreError."""
    path = directory / FILE_NAME
    try:
        _finish(directory)
        wrong, doubt = inspect(path)
    except (PermissionError, NotADirectoryError, FileNotFoundError):
        wrong = doubt = ""  # Database() reports it
    except OSError as error:
        raise StoreError(f"cannot use data directory {directory}: {error.strerror}; check its disk") from None
    if not wrong:
        try:
            database = Database(directory)
            try:
                database.verify(doubt != "")
            except BaseException:
                database.close()
                raise
            return database
        except DamagedDatabase as error:
            wrong = error.damage
    lock = lock_directory(directory)
    try:
        _salvage(path, wrong)
    finally:
        lock.close()
    return Database(directory)


def open_to_read(directory: Path) -> Database:
    """Open the database of a directory for reading only, and lock it. A damaged file stays as it is.

    Raises: StoreError, DirectoryInUse.
    """
    path = directory / FILE_NAME
    try:
        if not path.exists():
            raise StoreError(f"there is no data in '{directory}'; say where with --data-dir")
        lock_directory(directory).close()  # a file in use looks damaged
        wrong, doubt = inspect(path)
        if wrong:
            raise DamagedDatabase(path, wrong)
        database = Database(directory, only_reads=True)
        try:
            database.verify(doubt != "")
        except BaseException:
            database.close()
            raise
        return database
    except DamagedDatabase as error:
        raise StoreError(f"{error}; start a broker there once, which copies readable data to a new file") from None
    except OSError as error:
        raise StoreError(f"cannot use data directory {directory}: {error.strerror}") from None


def _finish(directory: Path) -> None:
    """Finish a salvage that was interrupted while it moved files; delete the files of one interrupted earlier."""
    path = directory / FILE_NAME
    left = sorted(directory.glob(f"{FILE_NAME}.salvag*"))
    if not left:
        return
    lock = lock_directory(directory)
    try:
        ready = [each for each in left if each.name.startswith(f"{FILE_NAME}.salvaged-")]
        if ready and not path.exists():
            _swap(path, ready[-1])
        for each in left:
            each.unlink(missing_ok=True)
    finally:
        lock.close()


def _salvage(path: Path, wrong: str) -> None:
    """Replace a damaged database. Raises: StoreError when there is no space for the new one."""
    log.warning("%s is damaged: %s; what can be read is copied to a new one", path, wrong)
    part = path.with_name(f"{FILE_NAME}.salvaging")
    size = path.stat().st_size >> 20
    try:
        part.unlink(missing_ok=True)
        try:
            found = read_damaged(path, part)
            size_of_pages = other_page_size(path)
            if size_of_pages and not found.definitions and not found.chunks:
                raise StoreError(
                    f"{path} is damaged: {wrong}; another program has made it with pages of {size_of_pages} bytes and "
                    f"not {PAGE_BYTES}, so nothing of it can be read; start from a copy, or move it away"
                )
            descriptor = os.open(part, os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            ready = path.with_name(f"{FILE_NAME}.salvaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
            part.rename(ready)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
        aside = _swap(path, ready)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"{path} is damaged: {wrong}; what can be read cannot be copied beside it: {error}; "
            f"free up to {size + 1} MB there, nothing is lost by this"
        ) from None
    for place in found.places:
        log.error("damage in %s: %s", path.name, place)
    log.warning("%s: %s; the damaged files are kept as %s", path, found.summary(), aside)


def _swap(path: Path, ready: Path) -> Path:
    """Rename the damaged files, then move the new file into place. Returns: the new name of the damaged one.

    The order is safe: if the new file is ready but not in place, the next start continues here. A file never sits
    beside the log of another one.
    """
    stamp = ready.name.rpartition("-")[2]
    aside = path.with_name(f"{FILE_NAME}.damaged-{stamp}")
    count = 1
    while path.exists() and aside.exists():
        count += 1
        aside = path.with_name(f"{FILE_NAME}.damaged-{stamp}-{count}")
    for end in ("", "-wal", "-shm"):
        old = path.with_name(path.name + end)
        if old.exists():
            old.rename(aside.with_name(aside.name + end))
            sync_directory(path.parent)
    ready.rename(path)
    sync_directory(path.parent)
    return aside


def read_damaged(path: Path, target: Path) -> Salvage:
    """Copy the readable parts of a database into a new one. Raises: OSError, sqlite3.Error."""
    found = Salvage()
    file = PageFile(path)
    try:
        os.close(private(target, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        sql = sqlite3.connect(target, isolation_level=None)
        try:
            _Copy(file, sql, found)
        finally:
            sql.close()
    finally:
        file.close()
    return found


class _Copy:
    """The work of read_damaged()."""

    def __init__(self, file: PageFile, sql: sqlite3.Connection, found: Salvage) -> None:
        self._file = file
        self._sql = sql
        self._found = found
        self._size = 0  # bytes of this transaction
        self._nameless: list[tuple[bytes, bytes]] = []  # chunks whose ids are lost
        self._ranges: dict[int, list[tuple[int, int, int]]] | None = None  # by queue: chunk, first, last position
        for statement in (f"PRAGMA page_size={PAGE_BYTES}", "PRAGMA auto_vacuum=INCREMENTAL"):
            sql.execute(statement)
        sql.execute("PRAGMA journal_mode=OFF")  # an incomplete copy is worthless
        sql.execute("PRAGMA synchronous=OFF")
        sql.execute("BEGIN")
        make_tables(sql)
        self._survey = Survey(file)
        for problem in self._survey.problems:
            found.lose(problem)
        if file.journal.damage:
            found.lose(file.journal.damage)
            found.lost_pages += file.journal.lost
        orphans, unknown = self._sort_pages()
        for number in range(1, file.count + 1):
            if self._survey.marks[number] == LEAF:
                self._page(number, True, False)
        for number in orphans:
            self._page(number, True, False)
        for number in unknown:
            self._page(number, False, True)
        for head, data in self._nameless:
            self._name(head, data)
        for table in ("gone", "counts", "aside"):  # notes of lost chunks would apply to new ones
            sql.execute(f"DELETE FROM {table} WHERE chunk != {ANYWHERE} AND chunk NOT IN (SELECT id FROM chunks)")
        sql.execute("COMMIT")

    def _sort_pages(self) -> tuple[list[int], list[int]]:
        """Unreachable leaves: those in use by the map, and those of unknown use."""
        orphans: list[int] = []
        unknown: list[int] = []
        for number in range(2, self._file.count + 1):
            if self._survey.marks[number] in (LEAF, SEEN) or self._file.is_map(number):
                continue
            use = self._file.use(number)[0]
            try:
                content = self._file.page(number)
                if use in (ROOT, TREE):
                    TreePage(number, content)
            except BadPage as error:
                self._found.lost_pages += 1
                self._found.lose(str(error))
                continue
            if content[0] == LEAF_TABLE and not self._survey.is_stale(number):
                (orphans if use in (ROOT, TREE) else unknown).append(number)
        return orphans, unknown

    def _page(self, number: int, is_used: bool, is_doubtful: bool) -> None:
        """Copy the rows of a leaf. is_used: the page is not stale. is_doubtful: do not report unreadable rows."""
        try:
            page = TreePage(number, self._file.page(number))
        except BadPage as error:
            self._found.lost_pages += 1
            self._found.lose(str(error))
            return
        for at in page.cells:
            try:
                row = self._file.row(page.content, at)
            except BadPage as error:
                if not is_doubtful:
                    self._found.lost_rows += 1
                    self._found.lose(f"page {number}: {error}")
                continue
            self._row(number, row, is_used)
        if self._size > BATCH_BYTES:
            self._sql.execute("COMMIT")
            self._sql.execute("BEGIN")
            self._size = 0

    def _row(self, number: int, row: Row, is_used: bool) -> None:
        """Copy a row into the table that its values match."""
        values = row.values
        if len(values) == 5:  # the schema
            return
        is_known = False
        if len(values) == 3:
            head, data = values[1], values[2]
            if isinstance(head, bytes) and isinstance(data, bytes):
                is_known = True
                self._chunk(number, row, head, data, is_used)
        elif len(values) == 4:
            kind, key, value = values[1], values[2], values[3]
            if isinstance(kind, str) and isinstance(key, str):
                if isinstance(value, bytes) and not row.missing:
                    is_known = True
                    self._definition(row.row_id, kind, key, value)
                elif isinstance(value, int):
                    is_known = True
                    if is_used:
                        self._sql.execute(
                            "INSERT OR IGNORE INTO aside VALUES (?, ?, ?, ?)", (row.row_id, kind, key, value)
                        )
        elif len(values) == 2:
            chunk, places = values[0], values[1]
            is_known = chunk is None  # a delivery mark: not needed, all messages are flagged redelivered
            if chunk is None and isinstance(places, bytes) and is_used:
                self._counts(row.row_id, places)
            elif isinstance(chunk, int) and isinstance(places, bytes):
                is_known = True
                if is_used and self._is_whole(places):
                    self._sql.execute("INSERT INTO gone (chunk, places) VALUES (?, ?)", (chunk, places))
        if is_used and not is_known:
            self._found.lost_rows += 1
            self._found.lose(f"page {number}: a row of an unknown table")

    def _counts(self, chunk_id: int, places: bytes) -> None:
        try:
            unpack_counts(places)
        except DamagedChunk:
            self._found.lost_rows += 1
        else:
            self._sql.execute("INSERT OR IGNORE INTO counts (chunk, places) VALUES (?, ?)", (chunk_id, places))

    def _is_whole(self, places: bytes) -> bool:
        try:
            unpack_places(places)
        except DamagedChunk:
            self._found.lost_rows += 1
            return False
        return True

    def _definition(self, row_id: int, kind: str, key: str, value: bytes) -> None:
        sql = self._sql
        try:
            unpack_value(kind, key, value)
        except DamagedChunk:
            self._found.lost_rows += 1
            return
        if sql.execute("SELECT id FROM definitions WHERE kind = ? AND key = ?", (kind, key)).fetchone() is not None:
            return
        taken = sql.execute("SELECT id FROM definitions WHERE id = ?", (row_id,)).fetchone() is not None
        new_id = row_id if 0 < row_id < MAX_CHUNK and not taken else None
        sql.execute("INSERT INTO definitions (id, kind, key, value) VALUES (?, ?, ?, ?)", (new_id, kind, key, value))
        self._found.definitions += 1

    def _chunk(self, number: int, row: Row, head: bytes, data: bytes, is_used: bool) -> None:
        sql, chunk_id = self._sql, row.row_id
        if not 0 < chunk_id < MAX_CHUNK:
            if is_used:
                self._nameless.append((head, data))
            return
        there = sql.execute("SELECT head FROM chunks WHERE id = ?", (chunk_id,)).fetchone()
        if there is not None:
            if _count(head) < _count(there[0]):  # chunks only shrink
                sql.execute("UPDATE chunks SET head = ?, data = ? WHERE id = ?", (head, data, chunk_id))
            return
        if not is_used and not self._fits(chunk_id, head):
            return
        sql.execute("INSERT INTO chunks (id, head, data) VALUES (?, ?, ?)", (chunk_id, head, data))
        self._size += len(head) + len(data)
        self._found.chunks += 1
        if row.missing:
            self._found.torn += 1
            self._found.lose(f"page {number}: {row.missing} bytes of chunk {chunk_id}")

    def _name(self, head: bytes, data: bytes) -> None:
        """Give a chunk an id after all others; the start corrects its order."""
        last = self._sql.execute("SELECT max(id) FROM chunks").fetchone()[0] or 0
        if last + 1 < MAX_CHUNK and _extents(head):
            self._sql.execute("INSERT INTO chunks (id, head, data) VALUES (?, ?, ?)", (last + 1, head, data))
            self._found.chunks += 1
        else:
            self._found.lost_rows += 1

    def _fits(self, chunk_id: int, head: bytes) -> bool:
        """Whether the positions in a doubtful chunk fit between those of its neighbours; otherwise it is stale."""
        if self._ranges is None:
            self._ranges = {}
            for known, other in self._sql.execute("SELECT id, head FROM chunks ORDER BY id"):
                for queue, (first, last) in _extents(other).items():
                    self._ranges.setdefault(queue, []).append((known, first, last))
        extents = _extents(head)
        for queue, (first, last) in extents.items():
            for known, known_first, known_last in self._ranges.get(queue, []):
                if known_last >= first if known < chunk_id else known_first <= last:
                    return False
        for queue, (first, last) in extents.items():
            self._ranges.setdefault(queue, []).append((chunk_id, first, last))
        return bool(extents)


def _count(head: bytes) -> int:
    """The number of messages in a chunk; a very large number if unreadable."""
    try:
        return int(parse(head).count)
    except DamagedChunk:
        return 1 << 62


def _extents(head: bytes) -> dict[int, tuple[int, int]]:
    """The first and last position of each queue in a chunk; empty if unreadable."""
    found: dict[int, tuple[int, int]] = {}
    try:
        labels = parse(head).labels
    except DamagedChunk:
        return found
    for label in labels:
        for place in label.places:
            queue, position = int(place.queue_id), int(place.position)
            first, last = found.get(queue, (position, position))
            found[queue] = min(first, position), max(last, position)
    return found
