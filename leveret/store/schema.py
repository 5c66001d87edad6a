"""Schema: the tables of the database, and connections that run no code from the file.

SQLite runs code in the schema of a file: views, triggers, generated columns, checks, expressions in indexes. So no
table is read before the schema is verified to equal, word for word, the one that this version creates.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

FORMAT: Final = 5
OLDEST_FORMAT: Final = 4  # still read, and upgraded to FORMAT
PAGE_BYTES: Final = 16384
CACHE_KIB: Final = 2000  # SQLite's default; the file must not change it
STEPS: Final = 1_000_000  # of SQLite's virtual machine between two checks of the bound
STEPS_FOR_BYTE: Final = 64  # allowed for reading a file: several times what it needs
SHOWN: Final = 80  # characters of a name in a file

SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE definitions (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, UNIQUE (kind, key)
);
CREATE TABLE chunks (id INTEGER PRIMARY KEY, head BLOB NOT NULL, data BLOB NOT NULL);
CREATE TABLE gone (chunk INTEGER NOT NULL, places BLOB NOT NULL);
CREATE INDEX gone_by_chunk ON gone (chunk);
CREATE TABLE aside (chunk INTEGER PRIMARY KEY, reason TEXT NOT NULL, since TEXT NOT NULL, spent INTEGER NOT NULL);
CREATE TABLE delivered (queue INTEGER PRIMARY KEY, position INTEGER NOT NULL);
"""
COUNTS: Final = "CREATE TABLE counts (chunk INTEGER PRIMARY KEY, places BLOB NOT NULL)"  # since format 5

Part = tuple[object, object, object, object]  # of a schema: type, name, table and text


def connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    """Open a file. Invalid UTF-8 in texts becomes surrogates. Raises: sqlite3.Error."""
    sql = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=timeout_s)
    try:
        sql.text_factory = _text
        sql.execute("PRAGMA trusted_schema=OFF")
        sql.execute("PRAGMA cell_size_check=ON")
        sql.execute(f"PRAGMA cache_size=-{CACHE_KIB}")  # makes SQLite read the schema
    except UnicodeDecodeError:  # raised for an error text that contains a name from the file
        sql.close()
        damage = sqlite3.DatabaseError("the schema is malformed")
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage from None
    except BaseException:
        sql.close()
        raise
    return sql


def make_tables(sql: sqlite3.Connection, version: int = FORMAT) -> None:
    """Create the tables of a format in a new file."""
    for statement in SCHEMA.split(";"):
        sql.execute(statement)
    if version >= FORMAT:
        sql.execute(COUNTS)
    sql.execute(f"PRAGMA user_version={version}")


def bring_up_to_date(sql: sqlite3.Connection) -> None:
    """Upgrade a file with a valid schema to FORMAT, inside a transaction. Raises: sqlite3.Error."""
    if version_of(sql) < FORMAT:
        sql.execute(COUNTS)
        sql.execute(f"PRAGMA user_version={FORMAT}")


def complete(sql: sqlite3.Connection) -> None:
    """Make a file with a valid schema look like FORMAT, without writing. Raises: sqlite3.Error."""
    if version_of(sql) < FORMAT:
        sql.execute(COUNTS.replace("CREATE TABLE", "CREATE TEMP TABLE"))


def version_of(sql: sqlite3.Connection) -> int:
    """The format number. Raises: sqlite3.Error."""
    found: int = sql.execute("PRAGMA user_version").fetchone()[0]
    return found


def is_empty(sql: sqlite3.Connection) -> bool:
    """Whether a file has no tables yet. Raises: sqlite3.Error."""
    return not _parts(sql)


def foreign(sql: sqlite3.Connection) -> str:
    """Why this version cannot use an undamaged file; empty if it can. Raises: sqlite3.Error."""
    version = version_of(sql)
    if version != 0 and not OLDEST_FORMAT <= version <= FORMAT:
        known = f"{OLDEST_FORMAT} to {FORMAT}"
        return f"has format {version}, this Leveret knows {known}; use the version that wrote it"
    encoding: str = sql.execute("PRAGMA encoding").fetchone()[0]
    if encoding != "UTF-8" and not wrong_schema(sql):
        return f"has its texts in {encoding}, not UTF-8: another program has written it; use the file from before that"
    return ""


def wrong_schema(sql: sqlite3.Connection) -> str:
    """The damage in the format number and the tables of a file, empty for none. Raises: sqlite3.Error."""
    version = version_of(sql)
    if not OLDEST_FORMAT <= version <= FORMAT:
        return "its format number is invalid"
    model = sqlite3.connect(":memory:", isolation_level=None)
    try:
        make_tables(model, version)
        expected = _parts(model)
    finally:
        model.close()
    found = _parts(sql)
    for part in found:
        if part not in expected:
            return f"{_shown(part)} differs from what Leveret creates"
    for part in expected:
        if found.count(part) != 1:
            return f"{_shown(part)} is missing or duplicated"
    return ""


def set_bound(sql: sqlite3.Connection, path: Path) -> None:
    """Interrupt SQLite when it takes several times longer than reading the whole file: its pages form a cycle."""
    size = sum(each.stat().st_size for each in (path, path.with_name(path.name + "-wal")) if each.exists())
    left = 64 + size * STEPS_FOR_BYTE // STEPS

    def look() -> int:
        nonlocal left
        left -= 1
        return 1 if left < 0 else 0

    sql.set_progress_handler(look, STEPS)


def unset_bound(sql: sqlite3.Connection) -> None:
    """Remove the bound."""
    sql.set_progress_handler(None, 0)


def _parts(sql: sqlite3.Connection) -> list[Part]:
    return sql.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()


def _shown(part: Part) -> str:
    """A part of a schema as printable text."""
    return f"{ascii(part[0])[1:-1][:SHOWN]} {ascii(part[1])[:SHOWN]}"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
