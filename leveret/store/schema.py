"""Schema: the tables of the database, and connections that run nothing which the file brings along.

SQLite runs what stands in the schema of a file: views, triggers, generated columns, checks, expressions in indexes. So
nobody reads a table before the schema is known to be, word for word, what this version makes.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

FORMAT: Final = 5
OLDEST_FORMAT: Final = 4  # that is read, and brought to FORMAT
PAGE_BYTES: Final = 16384
CACHE_KIB: Final = 2000  # SQLite's own choice; the file must not make another
STEPS: Final = 1_000_000  # of SQLite's machine between two looks at a bound
STEPS_FOR_BYTE: Final = 64  # that reading a file may take: several times what it needs
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
    """Open a file. Texts that are not UTF-8 come with surrogates. Raises: sqlite3.Error."""
    sql = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=timeout_s)
    try:
        sql.text_factory = _text
        sql.execute("PRAGMA trusted_schema=OFF")
        sql.execute("PRAGMA cell_size_check=ON")
        sql.execute(f"PRAGMA cache_size=-{CACHE_KIB}")  # SQLite reads the schema now
    except UnicodeDecodeError:  # its own text of an error, with a name in it from the file
        sql.close()
        damage = sqlite3.DatabaseError("the schema is malformed")
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage from None
    except BaseException:
        sql.close()
        raise
    return sql


def make_tables(sql: sqlite3.Connection, version: int = FORMAT) -> None:
    """Make all tables in a new file, as a format has them."""
    for statement in SCHEMA.split(";"):
        sql.execute(statement)
    if version >= FORMAT:
        sql.execute(COUNTS)
    sql.execute(f"PRAGMA user_version={version}")


def bring_up_to_date(sql: sqlite3.Connection) -> None:
    """Bring a file whose schema is right to FORMAT, inside of a transaction. Raises: sqlite3.Error."""
    if version_of(sql) < FORMAT:
        sql.execute(COUNTS)
        sql.execute(f"PRAGMA user_version={FORMAT}")


def complete(sql: sqlite3.Connection) -> None:
    """Let a file whose schema is right look as if it had FORMAT; nothing is written. Raises: sqlite3.Error."""
    if version_of(sql) < FORMAT:
        sql.execute(COUNTS.replace("CREATE TABLE", "CREATE TEMP TABLE"))


def version_of(sql: sqlite3.Connection) -> int:
    """The number of the format. Raises: sqlite3.Error."""
    found: int = sql.execute("PRAGMA user_version").fetchone()[0]
    return found


def is_empty(sql: sqlite3.Connection) -> bool:
    """Whether a file has no table yet. Raises: sqlite3.Error."""
    return not _parts(sql)


def foreign(sql: sqlite3.Connection) -> str:
    """Why a file without damage is not for this version, empty if it is. Raises: sqlite3.Error."""
    version = version_of(sql)
    if version != 0 and not OLDEST_FORMAT <= version <= FORMAT:
        known = f"{OLDEST_FORMAT} to {FORMAT}"
        return f"has format {version}, this Leveret knows {known}; use the version that wrote it"
    encoding: str = sql.execute("PRAGMA encoding").fetchone()[0]
    if encoding != "UTF-8" and not wrong_schema(sql):
        return f"has its texts in {encoding}, not UTF-8: another program has written it; use the file from before that"
    return ""


def wrong_schema(sql: sqlite3.Connection) -> str:
    """What is wrong with the format and the tables of a file, empty if nothing is. Raises: sqlite3.Error."""
    version = version_of(sql)
    if not OLDEST_FORMAT <= version <= FORMAT:
        return "its format has an impossible number"
    model = sqlite3.connect(":memory:", isolation_level=None)
    try:
        make_tables(model, version)
        expected = _parts(model)
    finally:
        model.close()
    found = _parts(sql)
    for part in found:
        if part not in expected:
            return f"{_shown(part)} is not what Leveret makes"
    for part in expected:
        if found.count(part) != 1:
            return f"{_shown(part)} is not there once"
    return ""


def set_bound(sql: sqlite3.Connection, path: Path) -> None:
    """Let SQLite give up what takes longer than reading all of a file several times: its pages lead in a circle."""
    size = sum(each.stat().st_size for each in (path, path.with_name(path.name + "-wal")) if each.exists())
    left = 64 + size * STEPS_FOR_BYTE // STEPS

    def look() -> int:
        nonlocal left
        left -= 1
        return 1 if left < 0 else 0

    sql.set_progress_handler(look, STEPS)


def unset_bound(sql: sqlite3.Connection) -> None:
    """Let it take as long as it does."""
    sql.set_progress_handler(None, 0)


def _parts(sql: sqlite3.Connection) -> list[Part]:
    return sql.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()


def _shown(part: Part) -> str:
    """A part of a schema, for people, whatever it is."""
    return f"{ascii(part[0])[1:-1][:SHOWN]} {ascii(part[1])[:SHOWN]}"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
