"""Tables: defensive reading of the database rows.

SQLite returns values of any type. A value of a wrong type is damage: the data that depends on it is lost, and that is
reported. Start, export and check all read the file with these functions.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Any, Final

from leveret.store.chunk import ANYWHERE, MAX_CHUNK, MAX_POSITION, Counts, DamagedChunk
from leveret.store.rows import unpack_counts, unpack_places, unpack_value

UNREADABLE: Final = (  # error codes for a damaged page
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
)

DAMAGED: Final = (  # primary error codes for damage; interrupted: by the bound in schema.py
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_INTERRUPT,
)

log = logging.getLogger("leveret.store")

_NAMES: Final = {int: "a number", float: "a number", str: "a text", bytes: "bytes"}


class Definitions:
    """The rows of the definitions, oldest first.

    found: kind, key and value. damaged: kind, key and damage.
    misnamed: ids of rows whose kind or key has a wrong type, by kind and key as in damaged.
    """

    def __init__(self) -> None:
        self.found: list[tuple[str, str, bytes]] = []
        self.damaged: list[tuple[str, str, str]] = []
        self.misnamed: dict[tuple[str, str], list[int]] = {}


class Gone:
    """The removals from chunks. damaged: chunk and damage of unreadable ones."""

    def __init__(self) -> None:
        self.by_chunk: dict[int, set[tuple[int, int]]] = {}
        self.everywhere: set[tuple[int, int]] = set()
        self.damaged: list[tuple[str, str]] = []

    def of(self, chunk_id: int) -> set[tuple[int, int]]:
        """Queue ids and positions to remove from a chunk."""
        return self.by_chunk.get(chunk_id, set()) | self.everywhere


class SetAside:
    """A chunk that is set aside. is_spent: all its messages are gone. damage: of this note."""

    __slots__ = ("damage", "is_spent", "reason", "since")

    def __init__(self, reason: object, since: object, spent: object) -> None:
        self.reason = shown(reason) or "reason unknown"
        self.since = shown(since)
        self.is_spent = spent == 1
        self.damage = ""
        try:
            text_of(reason)
            text_of(since)
            number_of(spent, 0, 1)
        except DamagedChunk as error:
            self.damage = str(error)


def read_definitions(sql: sqlite3.Connection) -> Definitions:
    """All definitions. Raises: sqlite3.Error."""
    read = Definitions()
    for row_id, kind, key, value in sql.execute("SELECT id, kind, key, value FROM definitions ORDER BY id"):
        try:
            read.found.append((text_of(kind), text_of(key), unpack_value(kind, key, bytes_of(value))))
        except DamagedChunk as error:
            name = shown(kind), shown(key)
            read.damaged.append((*name, str(error)))
            if name != (kind, key):
                read.misnamed.setdefault(name, []).append(row_id)
    return read


def read_gone(sql: sqlite3.Connection) -> Gone:
    """All removals. Raises: sqlite3.Error."""
    read = Gone()
    for chunk_id, places in sql.execute("SELECT chunk, places FROM gone"):
        try:
            number_of(chunk_id, ANYWHERE, MAX_CHUNK)
            read.by_chunk.setdefault(chunk_id, set()).update(unpack_places(bytes_of(places)))
        except DamagedChunk as error:
            read.damaged.append((shown(chunk_id), str(error)))
    read.everywhere = read.by_chunk.pop(ANYWHERE, set())
    return read


def read_aside(sql: sqlite3.Connection) -> dict[int, SetAside]:
    """All chunks that are set aside. Raises: sqlite3.Error."""
    rows = sql.execute("SELECT chunk, reason, since, spent FROM aside")
    return {chunk_id: SetAside(reason, since, spent) for chunk_id, reason, since, spent in rows}


def read_chunk_ids(sql: sqlite3.Connection) -> list[int]:
    """The ids of all chunks, ascending. Raises: sqlite3.Error."""
    return [row[0] for row in sql.execute("SELECT id FROM chunks ORDER BY id")]


def read_counted(sql: sqlite3.Connection) -> list[int]:
    """The chunks with counts of returned messages. Raises: sqlite3.Error."""
    return [row[0] for row in sql.execute("SELECT chunk FROM counts")]


def read_counts(sql: sqlite3.Connection, chunk_id: int) -> Counts:
    """The counts of a chunk since it was written; none if they are damaged. Raises: sqlite3.Error."""
    row = sql.execute("SELECT places FROM counts WHERE chunk = ?", (chunk_id,)).fetchone()
    if row is None:
        return {}
    try:
        return unpack_counts(bytes_of(row[0]))
    except DamagedChunk as damage:
        log.error("the delivery counts of chunk %d cannot be read: %s", chunk_id, damage)
        return {}


def read_damaged_counts(sql: sqlite3.Connection) -> list[tuple[str, str]]:
    """Chunk and damage of unreadable counts. Raises: sqlite3.Error."""
    damaged: list[tuple[str, str]] = []
    for chunk_id, places in sql.execute("SELECT chunk, places FROM counts"):
        try:
            unpack_counts(bytes_of(places))
        except DamagedChunk as error:
            damaged.append((shown(chunk_id), str(error)))
    return damaged


def read_delivered(sql: sqlite3.Connection) -> tuple[dict[int, int], list[int]]:
    """The highest delivered position of each queue, and the queues where it is unknown: there MAX_POSITION.

    Raises: sqlite3.Error.
    """
    marks: dict[int, int] = {}
    unknown: list[int] = []
    for queue_id, position in sql.execute("SELECT queue, position FROM delivered"):
        try:
            marks[queue_id] = number_of(position, 0, MAX_POSITION)
        except DamagedChunk:
            marks[queue_id] = MAX_POSITION
            unknown.append(queue_id)
    return marks, unknown


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error means that the file is damaged, or that the disk cannot read it."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code in UNREADABLE or code & 0xFF in DAMAGED


def text_of(value: object) -> str:
    """A value that must be text. Raises: DamagedChunk."""
    if not isinstance(value, str):
        raise _wrong(value, "a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DamagedChunk("a text is not UTF-8") from None
    return value


def bytes_of(value: object) -> bytes:
    """A value that must be bytes. Raises: DamagedChunk."""
    if not isinstance(value, bytes):
        raise _wrong(value, "bytes")
    return value


def number_of(value: object, least: int, most: int) -> int:
    """A value that must be an integer in a range. Raises: DamagedChunk."""
    if not isinstance(value, int):
        raise _wrong(value, "a number")
    if not least <= value <= most:
        raise DamagedChunk(f"{value} is out of range")
    return value


def shown(value: Any) -> str:
    """A value of any type as text."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)


def _wrong(value: object, wanted: str) -> DamagedChunk:
    return DamagedChunk(f"{_NAMES.get(type(value), 'nothing')} instead of {wanted}")
