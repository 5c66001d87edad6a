"""Whatever bit of a data directory is flipped, and whatever stands in a column: a start, a check, an export answer."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from leveret.store.database import FILE_NAME
from leveret.store.rescue.maintenance import check
from tests.store.flipping import Flipper, Life, Told, fill
from tests.store.test_logs import reopened

COUNT = 200  # flips
HANG_S = 600  # no flip takes a second, and a machine may be busy


def test_flipped_bits(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.store.flipping", str(tmp_path), "--count", str(COUNT), "--seed", "3"]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{COUNT} flips, 0 went wrong\n"), done.stdout + done.stderr


COLUMNS = {
    "meta": ("key", "value"),
    "definitions": ("kind", "key", "value"),
    "chunks": ("head", "data"),
    "gone": ("chunk", "places"),
    "aside": ("reason", "since", "spent"),
    "delivered": ("position",),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    """A store that was closed, with something in every table, and what it has to tell."""
    directory = tmp_path_factory.mktemp("types") / "whole"
    told = fill(directory)
    Life(directory).log.close()
    with closing(sqlite3.connect(directory / FILE_NAME)) as sql, sql:
        sql.execute("INSERT INTO delivered VALUES (7, 5)")  # of a queue that is gone
        sql.execute("INSERT INTO aside VALUES (2, 'a reason', '2026-01-01 00:00:00', 0)")
        for table in COLUMNS:
            assert sql.execute(f"SELECT count(*) FROM {table}").fetchone()[0], table
    return directory, told


VALUES = {
    "nothing": "NULL",
    "a number": "7",
    "a number below zero": "-7",
    "a large number": "9223372036854775807",
    "the largest number below zero": "-9223372036854775807 - 1",
    "a number with a fraction": "0.5",
    "infinity": "9e999",
    "a text": "'text'",
    "an empty text": "''",
    "a text that is no UTF-8": "CAST(x'ff80' AS TEXT)",
    "the same as a text": "CAST({} AS TEXT)",
    "the same as bytes": "CAST({} AS BLOB)",
    "bytes": "x'00ff'",
    "no bytes": "x''",
}
FITS: dict[tuple[str, str], set[str]] = {  # what has no wrong type, or does no harm
    ("aside", "reason"): {"a text", "the same as a text", "an empty text"},
    ("aside", "since"): {"a text", "the same as a text", "an empty text"},
    ("definitions", "kind"): {"the same as a text"},
    ("definitions", "key"): {"the same as a text"},
    ("definitions", "value"): {"the same as bytes"},
    ("chunks", "head"): {"the same as bytes"},
    ("chunks", "data"): {"the same as bytes"},
    ("gone", "places"): {"the same as bytes"},
    ("gone", "chunk"): {"a number"},
    ("aside", "spent"): set(),
    ("delivered", "position"): {"a number"},
}
CASES = [(table, column, name) for table, columns in COLUMNS.items() for column in columns for name in VALUES]
CASES.remove(("meta", "key", "nothing"))  # which no file can have: it would be no tree


def set_column(directory: Path, table: str, column: str, value: str) -> None:
    """Give a column of the first row any value, whatever the schema says of it."""
    path = directory / FILE_NAME

    columns = {
        "meta": "key PRIMARY KEY, value",
        "definitions": "id INTEGER PRIMARY KEY, kind, key, value, UNIQUE (kind, key)",
        "chunks": "id INTEGER PRIMARY KEY, head, data",
        "gone": "chunk, places",
        "aside": "chunk INTEGER PRIMARY KEY, reason, since, spent",
        "delivered": "queue INTEGER PRIMARY KEY, position",
    }
    loose = f"CREATE TABLE {table} ({columns[table]}){' WITHOUT ROWID' if table == 'meta' else ''}"
    with closing(sqlite3.connect(path)) as sql:
        strict = sql.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    for text in (loose, ""):
        with closing(sqlite3.connect(path, isolation_level=None)) as sql:
            if not text:
                first = {"meta": "key", "definitions": "id", "chunks": "id", "aside": "chunk", "delivered": "queue"}
                order = first.get(table, "rowid")
                wanted = value.format(column)
                row = f"{order} = (SELECT min({order}) FROM {table})"
                sql.execute(f"UPDATE {table} SET {column} = {wanted} WHERE {row}")
            sql.execute("PRAGMA writable_schema=ON")
            sql.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (text or strict, table))


@pytest.mark.parametrize(("table", "column", "name"), CASES)
def test_a_value_of_a_wrong_type(store: tuple[Path, Told], tmp_path: Path, table: str, column: str, name: str) -> None:
    whole, told = store
    work = tmp_path / "work"
    shutil.copytree(whole, work)
    before = len(check(work, lambda done, total: None).problems)
    set_column(work, table, column, VALUES[name])
    problems = check(work, lambda done, total: None).problems
    if table != "meta":  # of which only one key counts, and that need not be there
        assert (len(problems) > before) is (name not in FITS[table, column]), problems
    Flipper(whole, work, told).look()
    log = reopened(work)
    assert len(log.found()) >= 8  # of one chunk only, the messages may be lost
    log.log.close()
