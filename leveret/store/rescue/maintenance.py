"""Backup and integrity check of a data directory, while a broker uses it or not.

SQLite lets other processes read committed data while the broker writes. Nothing in the directory is changed.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from leveret.store.chunk import DamagedChunk
from leveret.store.chunk_store import StoreError
from leveret.store.database import (
    FILE_NAME,
    LOCK_NAME,
    DamagedDatabase,
    DirectoryInUse,
    check_schema,
    lock_directory,
)
from leveret.store.directory import make_directory, sync_directory
from leveret.store.files import make_new
from leveret.store.owner import as_owner
from leveret.store.reader import read_head, read_messages
from leveret.store.rescue.survey import inspect
from leveret.store.schema import complete, connect, set_bound, unset_bound
from leveret.store.tables import (
    is_damage,
    read_aside,
    read_chunk_ids,
    read_damaged_counts,
    read_definitions,
    read_delivered,
    read_gone,
)
from leveret.store.unfinished import command_of

WAIT_S: Final = 5.0  # for a lock
STEP_PAGES: Final = 512  # copied at once: 8 MiB
MAX_PROBLEMS: Final = 100  # reported for the file itself


class Report:
    """The result of an integrity check. problems: descriptions of damage.

    is_broken: the database file itself is damaged, not only single values in it.
    """

    def __init__(self) -> None:
        self.is_broken = False
        self.definitions = 0
        self.chunks = 0
        self.messages = 0
        self.places = 0
        self.content_bytes = 0
        self.problems: list[str] = []


def open_data(directory: Path) -> sqlite3.Connection:
    """Open the database of a directory for reading, with a time bound until unset_bound().

    Raises: StoreError, its subclass DamagedDatabase.
    """
    path = directory / FILE_NAME
    try:
        with as_owner(directory):  # afterwards all files are open, so these rights are not needed again
            return _open(path)
    except sqlite3.Error as error:
        if is_damage(error):
            raise DamagedDatabase(path, str(error)) from None
        raise StoreError(f"cannot read {path}: {error}") from None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from None


def _open(path: Path) -> sqlite3.Connection:
    """Open and check the file. Raises: StoreError, OSError, sqlite3.Error."""
    if not path.exists():
        raise StoreError(f"there is no data in '{path.parent}'; choose the data directory with --data-dir")
    _look(path)
    sql = connect(path, WAIT_S)
    try:
        set_bound(sql, path)
        check_schema(sql, path)
        complete(sql)
        sql.execute("PRAGMA query_only=ON")
    except BaseException:
        sql.close()
        raise
    return sql


def _look(path: Path) -> None:
    """Inspect an unused file before SQLite, which does not report all damage, opens it. Raises: DamagedDatabase."""
    if _is_in_use(path.parent):
        return
    wrong = inspect(path)[0]
    if wrong and not _is_in_use(path.parent):  # still not in use
        raise DamagedDatabase(path, wrong)


def _is_in_use(directory: Path) -> bool:
    if not (directory / LOCK_NAME).exists():
        return False
    try:
        lock_directory(directory).close()
    except DirectoryInUse:
        return True
    except OSError:
        pass  # read-only
    return False


def backup(directory: Path, target: Path, tell: Callable[[int, int], None]) -> int:
    """Make a consistent copy of a data directory. It contains all messages confirmed before the copy began.

    target: created if it does not exist; must contain no data. tell: called with pages done and total pages.
    Returns: bytes of the copy. Raises: StoreError.
    """
    copy = target / FILE_NAME
    source = open_data(directory)
    unset_bound(source)
    try:
        if copy.exists():
            raise StoreError(f"there is data in '{target}' already; choose another directory")
        make_directory(target)
        descriptor, part = make_new(target)
        os.close(descriptor)
        try:
            _copy(source, part, tell)
            part.rename(copy)
        except BaseException:
            for path in target.glob(f"{part.name}*"):  # including SQLite's journal
                path.unlink(missing_ok=True)
            raise
        sync_directory(target)
        return copy.stat().st_size
    except OSError as error:
        raise StoreError(f"cannot write the copy to '{target}': {error.strerror}") from None
    except sqlite3.Error as error:
        raise StoreError(f"cannot write the copy to '{target}': {error}") from None
    finally:
        source.close()


def _copy(source: sqlite3.Connection, target: Path, tell: Callable[[int, int], None]) -> None:
    sql = sqlite3.connect(target, isolation_level=None)
    try:
        source.execute("BEGIN")  # one consistent snapshot, however long it takes
        source.execute("SELECT count(*) FROM meta").fetchone()
        source.backup(sql, pages=STEP_PAGES, progress=lambda _, left, total: tell(total - left, total))
        source.execute("COMMIT")
        sql.execute("PRAGMA synchronous=FULL")
        sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        sql.close()


def check(directory: Path, tell: Callable[[int, int], None]) -> Report:
    """Check all data in a data directory. tell: called with chunks done and total chunks. Raises: StoreError."""
    report = Report()
    try:
        sql = open_data(directory)
    except DamagedDatabase as error:
        report.problems.append(f"the file: {error.damage}")
        report.is_broken = True
        return report
    try:
        sql.execute("BEGIN")
        for (line,) in sql.execute(f"PRAGMA integrity_check({MAX_PROBLEMS})"):
            if line != "ok":
                report.problems.append(f"the file: {line}")
                report.is_broken = True
        definitions = read_definitions(sql)
        report.definitions = len(definitions.found)
        command = command_of(definitions.found)
        if command:
            report.problems.append(f"it is an incomplete copy: run `{command}` again, which starts it anew")
        for kind, key, what in definitions.damaged:
            report.problems.append(f"the definition of {kind} {key}: {what}")
        gone = read_gone(sql)
        for name, what in gone.damaged:
            report.problems.append(f"the removals from chunk {name}: {what}")
        for name, what in read_damaged_counts(sql):
            report.problems.append(f"the delivery counts of chunk {name}: {what}")
        for queue_id in read_delivered(sql)[1]:
            report.problems.append(f"the delivery mark of queue id {queue_id} cannot be read")
        asides = read_aside(sql)
        chunks = read_chunk_ids(sql)
        unset_bound(sql)
        for done, chunk_id in enumerate(chunks):
            tell(done, len(chunks))
            aside = asides.get(chunk_id)
            if aside is not None:
                report.problems.append(f"chunk {chunk_id}: set aside on {aside.since} UTC: {aside.reason}")
                if aside.damage:
                    report.problems.append(
                        f"chunk {chunk_id}: the note that it is set aside is damaged: {aside.damage}"
                    )
            if aside is None or not aside.is_spent:
                _check_chunk(sql, chunk_id, gone.of(chunk_id), report)
        tell(len(chunks), len(chunks))
    except sqlite3.Error as error:
        report.problems.append(f"the file: {error}")
        report.is_broken = True
    finally:
        sql.close()
    return report


def _check_chunk(sql: sqlite3.Connection, chunk_id: int, gone: set[tuple[int, int]], report: Report) -> None:
    report.chunks += 1
    try:
        head = read_head(sql, chunk_id)
    except (DamagedChunk, sqlite3.Error) as error:
        report.problems.append(f"chunk {chunk_id}: {error}")
        return
    head.cross_out(gone)
    labels = [label for label in head.labels if label.places]
    messages = read_messages(sql, chunk_id, head, labels)
    for label, message in zip(labels, messages.found, strict=True):
        if message is not None:
            report.messages += 1
            report.places += len(label.places)
            report.content_bytes += int(message.size)
    unreadable = messages.found.count(None)
    if unreadable:
        report.problems.append(f"chunk {chunk_id}: {unreadable} of {len(labels)} messages: {messages.damage}")
