"""Tables: what stands in the rows of the database, read without trust.

SQLite gives whatever is in the file, of any type. A value of a wrong type is damage like any other: it costs what
belongs to it, and is told. Whoever reads the file, a start, an export or a check, does so with the functions here.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from leveret.store.chunk import ANYWHERE, MAX_CHUNK, MAX_POSITION, DamagedChunk
from leveret.store.rows import unpack_counts, unpack_places, unpack_value

_NAMES: Final = {int: "a number", float: "a number", str: "a text", bytes: "bytes"}


class Definitions:
    """What is in the definitions, oldest first.

    found: kind, key and value. damaged: kind, key and what is wrong with it.
    misnamed: ids of rows whose kind or key are of a wrong type, by what damaged says they are.
    """

    def __init__(self) -> None:
        self.found: list[tuple[str, str, bytes]] = []
        self.damaged: list[tuple[str, str, str]] = []
        self.misnamed: dict[tuple[str, str], list[int]] = {}


class Gone:
    """What was removed from chunks. damaged: of which chunk that is not known, and why."""

    def __init__(self) -> None:
        self.by_chunk: dict[int, set[tuple[int, int]]] = {}
        self.everywhere: set[tuple[int, int]] = set()
        self.damaged: list[tuple[str, str]] = []

    def of(self, chunk_id: int) -> set[tuple[int, int]]:
        """Queue ids and positions to cross out in a chunk."""
        return self.by_chunk.get(chunk_id, set()) | self.everywhere


class SetAside:
    """A chunk that is set aside. is_spent: nothing in it is wanted any more. damage: what is wrong with this note."""

    __slots__ = ("damage", "is_spent", "reason", "since")

    def __init__(self, reason: object, since: object, spent: object) -> None:
        self.reason = shown(reason) or "nobody knows why"
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
    """All notes of what was removed. Raises: sqlite3.Error."""
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
    """The chunks of which there are counts of how often messages came back. Raises: sqlite3.Error."""
    return [row[0] for row in sql.execute("SELECT chunk FROM counts")]


def read_damaged_counts(sql: sqlite3.Connection) -> list[tuple[str, str]]:
    """Of which chunk the counts are damaged, and how. Raises: sqlite3.Error."""
    damaged: list[tuple[str, str]] = []
    for chunk_id, places in sql.execute("SELECT chunk, places FROM counts"):
        try:
            unpack_counts(bytes_of(places))
        except DamagedChunk as error:
            damaged.append((shown(chunk_id), str(error)))
    return damaged


def read_delivered(sql: sqlite3.Connection) -> tuple[dict[int, int], list[int]]:
    """How far each queue was delivered, and of which queues that is not known: these may have been to their end.

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


def text_of(value: object) -> str:
    """A value that has to be text. Raises: DamagedChunk."""
    if not isinstance(value, str):
        raise _wrong(value, "a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DamagedChunk("a text is not UTF-8") from None
    return value


def bytes_of(value: object) -> bytes:
    """A value that has to be bytes. Raises: DamagedChunk."""
    if not isinstance(value, bytes):
        raise _wrong(value, "bytes")
    return value


def number_of(value: object, least: int, most: int) -> int:
    """A value that has to be a number in a range. Raises: DamagedChunk."""
    if not isinstance(value, int):
        raise _wrong(value, "a number")
    if not least <= value <= most:
        raise DamagedChunk(f"{value} cannot be there")
    return value


def shown(value: Any) -> str:
    """A value of any type, for people."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)


def _wrong(value: object, wanted: str) -> DamagedChunk:
    return DamagedChunk(f"{_NAMES.get(type(value), 'nothing')} is where {wanted} should be")
