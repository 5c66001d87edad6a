"""What a file says of itself: nothing that it brings along is run, and whatever other programs did has an answer."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from leveret.store.chunk_log import ChunkLog
from leveret.store.chunk_store import StoreError
from leveret.store.database import FILE_NAME, FREE_PAGES, DamagedDatabase, Database
from leveret.store.rescue.maintenance import check
from leveret.store.rescue.salvage import open_database
from leveret.store.schema import FORMAT, OLDEST_FORMAT
from leveret.store.snapshot import Snapshot
from tests.store.test_logs import Log, message, reopened

NUMBERS = "WITH RECURSIVE x(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM x)"
NAMES = (
    "id",
    "kind",
    "key",
    "value",
    "head",
    "data",
    "chunk",
    "places",
    "reason",
    "since",
    "spent",
    "queue",
    "position",
)
ENDLESS = f"{NUMBERS} SELECT {', '.join(f'a AS {name}' for name in NAMES)} FROM x"
Found = list[tuple[int, int, bytes, bool]]


def fill(directory: Path) -> Found:
    """A store that was closed, in which each table has something. Returns: what a start after damage finds."""
    log = Log(directory)
    log.log.put("queue", '["/", "q"]', b"value")
    for position in range(1, 5):
        log.log.append(7, position, message(b"%d" % position), 0)
    log.flush()
    log.log.append(7, 5, message(b"5"), 0)
    log.log.remove(7, 2)
    log.log.delivered(7, 2)
    log.log.close()
    return [(7, position, b"%d" % position, True) for position in (1, 3, 4, 5)]


def run(directory: Path, *statements: str) -> None:
    """Let another program change the file."""
    with closing(sqlite3.connect(directory / FILE_NAME, isolation_level=None)) as sql:
        for statement in statements:
            sql.execute(statement).fetchall()


def change_schema(directory: Path, name: str, text: str) -> None:
    """Write another text for a table into the schema."""
    with closing(sqlite3.connect(directory / FILE_NAME, isolation_level=None)) as sql:
        sql.execute("PRAGMA writable_schema=ON")
        sql.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (text, name))


def kept(directory: Path) -> list[Path]:
    """The damaged files that are kept."""
    return sorted(directory.glob(f"{FILE_NAME}.damaged-*"))


def check_salvaged(directory: Path, expected: Found | None) -> None:
    """A check tells, an export is refused, a start makes a new file; the next one has nothing to do."""
    report = check(directory, lambda done, total: None)
    assert report.is_broken
    assert len(report.problems) == 1
    with pytest.raises(DamagedDatabase):
        Snapshot(directory)
    log = reopened(directory)
    found = log.found()
    if expected is not None:
        assert found == expected
        assert log.log.load() == [("queue", '["/", "q"]', b"value")]
    log.log.close()
    assert len(kept(directory)) == 1
    log = reopened(directory)
    assert [each[:3] for each in log.found()] == [each[:3] for each in found]
    log.log.close()
    assert len(kept(directory)) == 1
    assert check(directory, lambda done, total: None).problems == []


def check_refused(directory: Path, text: str) -> None:
    """A check, an export and a start are refused with a sentence, and nothing is changed."""
    with pytest.raises(StoreError, match=text):
        check(directory, lambda done, total: None)
    with pytest.raises(StoreError, match=text):
        Snapshot(directory)
    with pytest.raises(StoreError, match=text):
        ChunkLog(open_database(directory), lambda: None)
    assert sorted(path.name for path in directory.glob(f"{FILE_NAME}.*")) == []


@pytest.mark.parametrize("table", ["meta", "definitions", "chunks", "gone", "aside", "delivered"])
def test_a_view_with_an_endless_query_in_the_place_of_a_table(tmp_path: Path, table: str) -> None:
    expected = fill(tmp_path)
    run(tmp_path, f"DROP TABLE {table}", f"CREATE VIEW {table} AS {ENDLESS}")
    lost = {"definitions", "chunks", "gone"}
    check_salvaged(tmp_path, None if table in lost else expected)


STRANGERS = {
    "a trigger": "CREATE TRIGGER t BEFORE DELETE ON meta BEGIN DELETE FROM chunks; END",
    "a trigger that writes": "CREATE TRIGGER t AFTER DELETE ON meta BEGIN INSERT INTO gone VALUES (1, x'00'); END",
    "a view": f"CREATE VIEW v AS {ENDLESS}",
    "a table": "CREATE TABLE t (a)",
    "an index": "CREATE INDEX i ON chunks (head)",
    "an index on an expression": "CREATE INDEX i ON definitions (abs(id))",
    "a partial index": "CREATE INDEX i ON definitions (kind) WHERE kind != 'queue'",
    "statistics": "ANALYZE",
    "another column": "ALTER TABLE aside ADD COLUMN more",
    "a generated column": "ALTER TABLE delivered ADD COLUMN more AS (abs(position))",
    "an index too few": "DROP INDEX gone_by_chunk",
}


with closing(sqlite3.connect(":memory:")) as of_machine:
    if ("ENABLE_FTS5",) in of_machine.execute("PRAGMA compile_options"):
        STRANGERS["a virtual table"] = "CREATE VIRTUAL TABLE t USING fts5(a)"


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_no_part_of_the_schema(tmp_path: Path, name: str) -> None:
    expected = fill(tmp_path)
    run(tmp_path, STRANGERS[name])
    check_salvaged(tmp_path, expected)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the lock, of a database that cannot be opened
@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE chunks (id INTEGER PRIMARY KEY, head BLOB NOT NULL, data BLOB NOT NULL CHECK (abs(id) > 0))",
        "CREATE TABLE chunks (id INTEGER PRIMARY KEY, data BLOB NOT NULL, head BLOB NOT NULL)",
        "CREATE TABLE chunks (id INTEGER PRIMARY KEY, head BLOB NOT NULL, data BLOB NOT NULL, more DEFAULT 1)",
        "CREATE TABLE chunks (id INTEGER PRIMARY KEY, head BLOB NOT NULL, data AS (head))",
        "CREATE TABLE chunks (id INTEGER PRIMARY KEY, head BLOB NOT NULL, data BLOB NOT NULL",
        "no table at all",
        "",
    ],
)
def test_another_text_of_a_table(tmp_path: Path, text: str) -> None:
    expected = fill(tmp_path)
    change_schema(tmp_path, "chunks", text)
    check_salvaged(tmp_path, expected)


def test_a_root_that_is_somebody_elses(tmp_path: Path) -> None:
    fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as sql:
        sql.execute("PRAGMA writable_schema=ON")
        sql.execute(
            "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'gone') "
            "WHERE name = 'chunks'"
        )
    log = reopened(tmp_path)
    assert [each[:3] for each in log.found()] == [(7, each, b"%d" % each) for each in (1, 3, 4, 5)]
    log.log.close()


def test_another_format(tmp_path: Path) -> None:
    fill(tmp_path)
    run(tmp_path, f"PRAGMA user_version={FORMAT + 1}")
    text = f"has format {FORMAT + 1}, this Leveret knows {OLDEST_FORMAT} to {FORMAT}; use the version that wrote it"
    check_refused(tmp_path, text)


@pytest.mark.parametrize("number", [0, -1, 1 << 30])
def test_an_impossible_format(tmp_path: Path, number: int) -> None:
    expected = fill(tmp_path)
    run(tmp_path, f"PRAGMA user_version={number}")
    check_salvaged(tmp_path, expected)


@pytest.mark.parametrize("page_bytes", [4096, 16384])
def test_a_file_of_another_program(tmp_path: Path, page_bytes: int) -> None:
    run(tmp_path, f"PRAGMA page_size={page_bytes}", "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    if page_bytes == 4096:  # all that is left of ours may be in other pages
        with pytest.raises(StoreError, match="another program has made it with pages of 4096 bytes and not 16384"):
            ChunkLog(open_database(tmp_path), lambda: None)
        (there,) = tmp_path.glob(FILE_NAME)
    else:
        log = reopened(tmp_path)
        assert (log.log.load(), log.found()) == ([], [])
        log.log.close()
        (there,) = kept(tmp_path)
    with closing(sqlite3.connect(there)) as sql:
        assert sql.execute("SELECT a FROM t").fetchall() == [(1,)]


def test_texts_that_are_not_utf_8(tmp_path: Path) -> None:
    fill(tmp_path / "data")
    (tmp_path / "other").mkdir()
    with (
        closing(sqlite3.connect(tmp_path / "data" / FILE_NAME)) as source,
        closing(sqlite3.connect(tmp_path / "other" / FILE_NAME)) as target,
    ):
        target.execute("PRAGMA encoding='UTF-16le'")
        target.executescript("\n".join(source.iterdump()))
        target.execute(f"PRAGMA user_version={FORMAT}")
    directory = tmp_path / "other"
    check_refused(directory, "has its texts in UTF-16le, not UTF-8: another program has written it")


@pytest.mark.parametrize("settings", ["PRAGMA page_size=4096", "PRAGMA auto_vacuum=NONE", "PRAGMA auto_vacuum=FULL"])
def test_a_file_that_another_program_made_anew(tmp_path: Path, settings: str) -> None:
    expected = fill(tmp_path)
    run(tmp_path, "PRAGMA journal_mode=DELETE", settings, "VACUUM")
    assert check(tmp_path, lambda done, total: None).problems == []
    for _ in range(2):
        log = reopened(tmp_path)
        assert [each[:3] for each in log.found()] == [each[:3] for each in expected]
        log.log.close()
    assert kept(tmp_path) == []


def test_pages_of_another_size_that_are_damaged(tmp_path: Path) -> None:
    fill(tmp_path)
    run(tmp_path, "PRAGMA journal_mode=DELETE", "PRAGMA page_size=4096", "VACUUM", "CREATE VIEW v AS SELECT 1")
    with pytest.raises(StoreError, match="another program has made it with pages of 4096 bytes and not 16384"):
        ChunkLog(open_database(tmp_path), lambda: None)
    assert kept(tmp_path) == []
    assert not list(tmp_path.glob(f"{FILE_NAME}.salvag*"))


def test_a_file_without_a_map_of_its_pages_that_is_damaged(tmp_path: Path) -> None:
    expected = fill(tmp_path)
    run(tmp_path, "PRAGMA journal_mode=DELETE", "PRAGMA auto_vacuum=NONE", "VACUUM", "CREATE VIEW v AS SELECT 1")
    check_salvaged(tmp_path, expected)


def test_a_header_that_denies_the_map(tmp_path: Path) -> None:
    expected = fill(tmp_path)
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.seek(52)
        file.write(bytes(4))
    check_salvaged(tmp_path, expected)


def test_space_that_cannot_be_given_back_is_tried_once(tmp_path: Path) -> None:
    fill(tmp_path)
    run(tmp_path, "PRAGMA journal_mode=DELETE", "PRAGMA auto_vacuum=NONE", "VACUUM")
    database = Database(tmp_path)
    run_in(database, f"INSERT INTO chunks VALUES (9, x'00', zeroblob({FREE_PAGES * 3 * 16384}))")
    run_in(database, "DELETE FROM chunks WHERE id = 9")
    assert not database.tidy(True)
    database.close()


def run_in(database: Database, statement: str) -> None:
    """A statement of the one who has the file."""
    database._sql.execute(statement)


def test_a_tree_that_leads_in_a_circle_ends(tmp_path: Path) -> None:
    """Two inner pages that have each other below them often: a walk through all would never end."""
    fill(tmp_path)
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path)) as sql:
        root = sql.execute("SELECT rootpage FROM sqlite_master WHERE name = 'chunks'").fetchone()[0]
        pages = sql.execute("PRAGMA page_count").fetchone()[0]
    count = 1000
    content = bytearray(path.read_bytes())
    cells = b"".join(pages.to_bytes(4, "big") + bytes((0x80 | key >> 7, key & 0x7F)) for key in range(128, 128 + count))
    start = 16384 - len(cells)
    pointers = b"".join((start + 6 * at).to_bytes(2, "big") for at in range(count))
    head = b"\x05" + bytes(2) + count.to_bytes(2, "big") + start.to_bytes(2, "big") + b"\0" + pages.to_bytes(4, "big")
    for number in (root, pages):
        page = (head + pointers).ljust(start, b"\0") + cells
        content[(number - 1) * 16384 : number * 16384] = page
    path.write_bytes(content)
    assert check(tmp_path, lambda done, total: None).is_broken
    log = reopened(tmp_path)
    log.found()
    log.log.close()
