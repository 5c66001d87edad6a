"""What the log on disk makes of what is no longer needed: rows, notes, free pages."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.queue.entry import FAILURE
from leveret.store.database import FILE_NAME, FREE_PAGES, Database
from leveret.store.group import CHUNK_BYTES
from leveret.store.index import SPARSE_KEPT
from leveret.store.reader import read_head, read_messages
from leveret.store.schema import PAGE_BYTES, connect

from .test_logs import PATIENCE_S, Log, message, reopened
from .test_troubles import UNWRITABLE


def rows(directory: Path) -> tuple[int, int, int]:
    """Chunks, notes of what is gone, and bytes of all chunks."""
    with closing(sqlite3.connect(directory / FILE_NAME)) as sql:
        chunks, size = sql.execute(
            "SELECT count(*), coalesce(sum(length(head) + length(data)), 0) FROM chunks"
        ).fetchone()
        return chunks, sql.execute("SELECT count(*) FROM gone").fetchone()[0], size


def filled(directory: Path, count: int, size: int = 1000) -> Log:
    """A log with one group of messages for queue 1."""
    log = Log(directory)
    fill(log, 1, count, size)
    return log


def fill(log: Log, first: int, count: int, size: int = 1000) -> None:
    """One group of messages for queue 1."""
    for position in range(first, first + count):
        log.log.append(1, position, message(bytes(size)), 0)
    log.flush()


def test_a_chunk_goes_with_its_last_message(tmp_path: Path) -> None:
    log = filled(tmp_path, 10)
    for position in range(1, 11):
        log.log.remove(1, position)
        log.flush()
    log.log.close()
    assert rows(tmp_path) == (0, 0, 0)


def test_notes_of_one_commit_are_one_row(tmp_path: Path) -> None:
    log = filled(tmp_path, 100)
    for position in range(1, 41):
        log.log.remove(1, position)
    log.flush()
    log.log.close()
    chunks, notes, _ = rows(tmp_path)
    assert (chunks, notes) == (1, 1)


def thinned(log: Log, count: int) -> None:
    """Leave 10 messages of each of the first chunks, of 100 each; the first chunk is there already."""
    for first in range(101, 100 * count, 100):
        fill(log, first, 100)
    for first in range(1, 100 * count, 100):
        for position in range(first, first + 90):
            log.log.remove(1, position)
            if position % 10 == 0:
                log.flush()


def test_chunks_of_which_little_is_left_are_written_anew(tmp_path: Path) -> None:
    log = filled(tmp_path, 100)
    thinned(log, SPARSE_KEPT + 5)
    log.log.close()
    chunks, notes, size = rows(tmp_path)
    assert chunks == SPARSE_KEPT + 5
    assert size < (SPARSE_KEPT * 100 + 5 * 30) * 1100
    assert notes <= SPARSE_KEPT * 9 + 5 * 2
    log = reopened(tmp_path)
    left = [at for at in range(1, 100 * (SPARSE_KEPT + 5) + 1) if (at - 1) % 100 >= 90]
    assert [position for _, position, _, _ in log.found()] == left
    log.log.close()


def test_no_chunk_is_written_anew_that_is_emptied_in_order(tmp_path: Path) -> None:
    log = filled(tmp_path, 100)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql:
        sql.execute("CREATE TRIGGER never BEFORE UPDATE ON chunks BEGIN SELECT raise(ABORT, 'written anew'); END")
    for position in range(1, 101):
        log.log.remove(1, position)
        log.flush()
    log.log.close()
    assert rows(tmp_path) == (0, 0, 0)


def test_a_chunk_that_is_written_anew_while_it_is_read(tmp_path: Path) -> None:
    log = filled(tmp_path, 100)
    with closing(connect(tmp_path / FILE_NAME, 0)) as sql:
        sql.execute("BEGIN")
        head = read_head(sql, 1)
        thinned(log, SPARSE_KEPT + 1)
        messages = read_messages(sql, 1, head, head.labels)
        assert (len(messages.found), messages.damage) == (100, "")
        sql.execute("ROLLBACK")
        assert read_head(sql, 1).count == 10
    log.log.close()


def test_a_dropped_queue_is_one_note_for_each_chunk(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for position in range(1, 31):
        shared = message(b"shared")
        log.log.append(1, position, shared, 0)
        log.log.append(2, position, shared, 0)
    log.flush()
    log.log.drop(1)
    log.flush()
    log.log.close()
    assert rows(tmp_path)[:2] == (1, 1)
    log = reopened(tmp_path)
    assert [(queue, position) for queue, position, _, _ in log.found()] == [(2, at) for at in range(1, 31)]
    log.log.drop(2)
    log.log.close()
    assert rows(tmp_path) == (0, 0, 0)


def test_the_disk_gets_its_space_back(tmp_path: Path) -> None:
    log = filled(tmp_path, 24, CHUNK_BYTES)
    for position in range(1, 25):
        log.log.remove(1, position)
    log.flush()
    deadline = time.monotonic() + PATIENCE_S
    while (tmp_path / FILE_NAME).stat().st_size > 6 << 20:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    log.log.close()


def test_it_takes_few_steps(tmp_path: Path) -> None:
    log = filled(tmp_path, 24, CHUNK_BYTES)
    log.log.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as sql:
        sql.execute("DELETE FROM chunks")
    database = Database(tmp_path)
    steps = 0
    while database.tidy(False):
        steps += 1
    database.close()
    assert steps == 24 * CHUNK_BYTES // PAGE_BYTES // FREE_PAGES  # all but the last FREE_PAGES


@pytest.mark.parametrize("failures", [1, 2])
def test_what_is_gone_stays_gone_when_a_commit_fails(tmp_path: Path, failures: int) -> None:
    log = filled(tmp_path, 20)
    log.log.remove(1, 1)
    for position in range(21, 21 + failures):
        log.log.append(1, position, message(b"refused"), 0, UNWRITABLE)
        log.flush()
    log.log.remove(1, 2)
    log.log.append(1, 23, message(b"taken"), 0)
    log.flush()
    log.log.close()
    assert log.heard.refused == [(1, [position]) for position in range(21, 21 + failures)]
    log = reopened(tmp_path)
    assert [position for _, position, _, _ in log.found()] == [*range(3, 21), 23]
    log.log.close()


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sets(st.integers(1, 3), min_size=1)),
        st.tuples(st.sampled_from(["remove", "count"]), st.integers(0, 200)),
        st.tuples(st.just("drop"), st.integers(1, 3)),
        st.tuples(st.sampled_from(["flush", "reopen"]), st.none()),
    ),
    max_size=120,
)


def counted(log: Log) -> dict[tuple[int, int], tuple[bytes, int]]:
    """What is there, and how often it came back; of these, half count as failures."""
    found = log.recovered()
    assert all(each.counts // FAILURE == (each.counts % FAILURE + 1) // 2 for each in found)
    return {(each.queue_id, each.position): (each.message.body(), each.counts % FAILURE) for each in found}


@given(operations=OPERATIONS)
def test_nothing_is_lost_and_nothing_comes_back(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, object]]
) -> None:
    directory = tmp_path_factory.mktemp("log")
    log = Log(directory)
    there: dict[tuple[int, int], tuple[bytes, int]] = {}  # body, and how often it came back
    position = 0
    for name, argument in operations:
        if name == "append":
            position += 1
            body = b"%d" % position
            shared = message(body)
            assert isinstance(argument, set)
            for queue in sorted(argument):
                log.log.append(queue, position, shared, 0)
                there[queue, position] = body, 0
        elif name == "remove" and there:
            assert isinstance(argument, int)
            place = list(there)[argument % len(there)]
            log.log.remove(*place)
            del there[place]
        elif name == "count" and there:
            assert isinstance(argument, int)
            place = list(there)[argument % len(there)]
            body, count = there[place]
            log.log.counted(*place, (count // 2 + 1) * FAILURE + count + 1)
            there[place] = body, count + 1
        elif name == "drop":
            assert isinstance(argument, int)
            log.log.drop(argument)
            there = {place: each for place, each in there.items() if place[0] != argument}
        elif name == "flush":
            log.log.flush()
        elif name == "reopen":
            log.log.close()
            log = reopened(directory)
            assert counted(log) == there
    log.log.close()
    log = reopened(directory)
    assert counted(log) == there
    log.log.close()
    assert rows(directory)[0] <= len(there)


def test_what_is_deleted_is_not_overwritten(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for position in range(1, 101):  # a chunk each
        log.log.append(1, position, message(bytes(100_000)), 0)
        log.flush()
    log.log.close()
    log = reopened(tmp_path)
    assert len(log.found()) == 100
    for position in range(1, 101):
        log.log.remove(1, position)
    log.flush()
    assert (tmp_path / f"{FILE_NAME}-wal").stat().st_size < 7_500_000  # of 10
    log.log.close()
