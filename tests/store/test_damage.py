"""Damage in the file: it costs the messages that it hits, once, and what is damaged is kept."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from leveret.core.message.log import Recovered, Resting, Unreadable
from leveret.store.chunk import MAX_CHUNK, MAX_POSITION
from leveret.store.chunk_log import LOAD_BYTES, PROGRESS_S
from leveret.store.chunk_store import StoreError
from leveret.store.database import FILE_NAME
from leveret.store.index import SPARSE_KEPT
from leveret.store.reader import Reader
from leveret.store.rescue.maintenance import check
from leveret.store.schema import PAGE_BYTES
from tests.brokers.shortage import no_descriptors

from .test_logs import Log, message, reopened

BODY = 50_000  # three pages and a bit


def body(position: int) -> bytes:
    """A body that occurs nowhere else."""
    return b"<%d>" % position + bytes((position,)) * BODY


def written(directory: Path, count: int, together: int) -> None:
    """A clean end after so many messages of queue 1, so many in a chunk."""
    log = Log(directory)
    for position in range(1, count + 1):
        log.log.append(1, position, message(body(position)), 0)
        if position % together == 0:
            log.flush()
    log.log.close()


def spoil(directory: Path, position: int, filling: bytes = b"\xff", chain: bool = False) -> None:
    """Overwrite a page that has nothing but a piece of one body.

    chain: also what SQLite knows of the page elsewhere, so that it cannot find those behind it.
    """
    path = directory / FILE_NAME
    content = path.read_bytes()
    at = (content.index(b"<%d>" % position) // PAGE_BYTES + 1) * PAGE_BYTES
    assert content[at + 4 : at + PAGE_BYTES - 4] == bytes((position,)) * (PAGE_BYTES - 8)
    content = content[:at] + filling * PAGE_BYTES + content[at + PAGE_BYTES :]
    if chain:
        entry = PAGE_BYTES + 5 * (at // PAGE_BYTES - 2)  # the second page has five bytes for each from the third on
        content = content[:entry] + bytes(10) + content[entry + 10 :]
    path.write_bytes(content)


def spoil_content(directory: Path, position: int) -> None:
    """Change a byte in the middle of a body, which only a checksum can tell."""
    path = directory / FILE_NAME
    content = bytearray(path.read_bytes())
    content[content.index(b"<%d>" % position) + 100] ^= 1
    path.write_bytes(content)


def aside(directory: Path) -> list[tuple[int, int]]:
    """Chunks that are set aside, and whether nothing in them is wanted."""
    with closing(sqlite3.connect(directory / FILE_NAME)) as sql:
        return sql.execute("SELECT chunk, spent FROM aside ORDER BY chunk").fetchall()


def chunks(directory: Path) -> list[int]:
    """All chunks in the file."""
    with closing(sqlite3.connect(directory / FILE_NAME)) as sql:
        return [row[0] for row in sql.execute("SELECT id FROM chunks ORDER BY id")]


def read(log: Log) -> list[int]:
    """The positions of all messages that can be read; each has its body."""
    found: list[int] = []
    for each in log.log.recover():
        messages = [each] if isinstance(each, Recovered) else log.log.fetch(1, each.positions())
        for one in messages:
            assert one.message.body() == body(one.position)
            found.append(one.position)
    return found


LOADS = pytest.mark.parametrize("load_bytes", [0, LOAD_BYTES])


@LOADS
def test_a_changed_byte_costs_its_message(tmp_path: Path, load_bytes: int) -> None:
    written(tmp_path, 9, 3)
    spoil_content(tmp_path, 5)
    log = Log(tmp_path, load_bytes)
    assert read(log) == [1, 2, 3, 4, 6, 7, 8, 9]
    log.log.close()
    assert aside(tmp_path) == [(2, 0)]


@LOADS
@pytest.mark.parametrize("filling", [b"\xff", b"\x00"])
@pytest.mark.parametrize("chain", [False, True])
def test_a_lost_page_costs_its_message_and_at_worst_those_behind_it_in_its_chunk(
    tmp_path: Path, load_bytes: int, filling: bytes, chain: bool
) -> None:
    written(tmp_path, 9, 3)
    spoil(tmp_path, 5, filling, chain)
    log = Log(tmp_path, load_bytes)
    assert read(log) == [1, 2, 3, 4, *([] if chain else [6]), 7, 8, 9]
    log.log.close()
    assert aside(tmp_path) == [(2, 0)]


@LOADS
def test_what_was_lost_is_told_once_and_kept(tmp_path: Path, load_bytes: int, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path, 9, 3)
    spoil_content(tmp_path, 5)
    log = Log(tmp_path, load_bytes)
    read(log)
    assert "messages cannot be read, and are set aside: chunk 2, queue id 1, position 5:" in caplog.text
    log.log.append(1, 10, message(body(10)), 0)
    log.flush()
    log.log.close()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        log = Log(tmp_path, load_bytes)
        assert read(log) == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert "cannot be read" not in caplog.text
    assert "damaged chunks set aside: 1; run leveret check for details" in caplog.text
    for position in (1, 2, 3, 4, 6, 7, 8, 9, 10):
        log.log.remove(1, position)
    log.log.close()
    assert chunks(tmp_path) == [2]
    assert aside(tmp_path) == [(2, 1)]
    log = reopened(tmp_path)
    assert read(log) == []
    log.log.close()
    assert chunks(tmp_path) == [2]


@LOADS
def test_a_damaged_head_costs_its_chunk(tmp_path: Path, load_bytes: int, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path, 9, 3)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql, sql:
        head = bytearray(sql.execute("SELECT head FROM chunks WHERE id = 2").fetchone()[0])
        head[20] ^= 1
        sql.execute("UPDATE chunks SET head = ? WHERE id = 2", (bytes(head),))
    for expected in ("messages of chunk 2 cannot be read", ""):
        caplog.clear()
        log = Log(tmp_path, load_bytes)
        assert read(log) == [1, 2, 3, 7, 8, 9]
        assert ("cannot be read" in caplog.text) is bool(expected)
        assert expected in caplog.text
        log.log.close()
    assert aside(tmp_path) == [(2, 1)]
    assert chunks(tmp_path) == [1, 2, 3]


def test_a_chunk_that_cannot_be_deleted_does_not_stop_a_commit(tmp_path: Path) -> None:
    written(tmp_path, 6, 3)
    spoil(tmp_path, 2, chain=True)
    log = Log(tmp_path, 0)
    for _ in log.log.recover():
        pass
    for position in range(1, 7):
        log.log.remove(1, position)
    log.log.append(1, 7, message(body(7)), 0)
    log.flush()
    assert (log.heard.durable, log.heard.refused) == ({1: 7}, [])
    log.log.append(1, 8, message(body(8)), 0)
    log.flush()
    assert (log.heard.durable, log.heard.refused) == ({1: 8}, [])
    log.log.close()
    assert (chunks(tmp_path), aside(tmp_path)) == ([1, 3, 4], [(1, 1)])
    log = reopened(tmp_path)
    assert read(log) == [7, 8]
    log.log.close()


def test_a_chunk_that_cannot_be_written_anew_does_not_stop_a_commit(tmp_path: Path) -> None:
    last = 20 * (SPARSE_KEPT + 1)  # so many chunks of which little is left: the first of them is written anew
    written(tmp_path, last, 20)
    spoil(tmp_path, 18, chain=True)
    log = Log(tmp_path, 0)
    for resting in log.log.recover():
        assert isinstance(resting, Resting)
    for position in range(1, last):
        if position % 20 < 18:
            log.log.remove(1, position)
    log.log.remove(1, last)
    log.log.append(1, last + 1, message(body(last + 1)), 0)
    log.flush()
    assert (log.heard.durable, log.heard.refused) == ({1: last + 1}, [])
    log.log.close()
    assert aside(tmp_path) == [(1, 0)]
    log = reopened(tmp_path)
    left = [position for position in range(21, last) if position % 20 >= 18]  # the first ones were on the lost page
    assert read(log) == [*left, last + 1]
    log.log.close()


def test_check_tells_what_is_damaged_and_what_is_set_aside(tmp_path: Path) -> None:
    written(tmp_path, 9, 3)
    spoil_content(tmp_path, 5)
    before = check(tmp_path, lambda done, total: None)
    assert (before.messages, before.chunks) == (8, 3)
    assert before.problems == ["chunk 2: 1 of 3 messages: checksum does not match"]
    log = reopened(tmp_path)
    read(log)
    log.log.close()
    after = check(tmp_path, lambda done, total: None)
    assert (after.messages, after.chunks) == (8, 3)
    (problem,) = after.problems
    assert problem.startswith("chunk 2: set aside on 20")
    assert problem.endswith(" UTC: checksum does not match")


def test_few_messages_are_read_alone(tmp_path: Path) -> None:
    written(tmp_path, 20, 20)
    spoil(tmp_path, 12)
    log = Log(tmp_path, 0)
    (resting,) = log.log.recover()
    assert isinstance(resting, Resting)
    assert (resting.queue_id, resting.level, resting.last, resting.size) == (
        1,
        0,
        20,
        sum(map(len, map(body, range(1, 21)))),
    )
    places = resting.positions()
    found = log.log.fetch(1, places[8:16] + places[64:72])
    assert [(each.position, each.message.body()) for each in found] == [(2, body(2)), (9, body(9))]
    log.log.close()
    assert aside(tmp_path) == []


def test_a_note_of_what_is_gone_that_is_damaged_brings_messages_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log(tmp_path)
    for position in (1, 2, 3):
        log.log.append(1, position, message(b"%d" % position), 0)
    log.flush()
    log.log.delivered(1, 2)
    log.log.remove(1, 2)
    log.log.close()
    flip(tmp_path, "gone", "places")
    assert check(tmp_path, lambda done, total: None).problems == ["the removals from chunk 1: checksum does not match"]
    log = reopened(tmp_path)
    assert log.found() == [(1, 1, b"1", True), (1, 2, b"2", True), (1, 3, b"3", False)]
    assert "the removals from chunk 1 cannot be read, so removed messages come back" in caplog.text
    log.log.close()


def test_a_damaged_definition_is_left_out(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.log.put("queue", "a", b"first")
    log.log.put("queue", "b", b"second")
    log.log.close()
    flip(tmp_path, "definitions", "value")
    assert check(tmp_path, lambda done, total: None).problems == ["the definition of queue a: checksum does not match"]
    log = reopened(tmp_path)
    assert log.log.load() == [("queue", "b", b"second")]
    assert log.log.damaged() == [("queue", "a", "checksum does not match")]
    log.log.close()


def flip(directory: Path, table: str, column: str) -> None:
    """Change a bit in the first row of a table."""
    with closing(sqlite3.connect(directory / FILE_NAME)) as sql, sql:
        value = bytearray(sql.execute(f"SELECT {column} FROM {table} LIMIT 1").fetchone()[0])
        value[0] ^= 1
        sql.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = (SELECT min(rowid) FROM {table})", (bytes(value),))


@LOADS
def test_a_queue_that_is_dropped_without_a_look_at_the_messages(tmp_path: Path, load_bytes: int) -> None:
    log = Log(tmp_path)
    for queue_id, position in ((1, 1), (2, 1), (1, 2)):
        log.log.append(queue_id, position, message(body(queue_id)), 0)
        log.flush()
    log.log.close()
    log = Log(tmp_path)
    log.log.drop(1)
    log.log.close()
    for _ in range(2):
        log = Log(tmp_path, load_bytes)
        found = [(each.queue_id, isinstance(each, Recovered)) for each in log.log.recover()]
        assert found == [(2, load_bytes > 0)]
        log.log.close()
    assert chunks(tmp_path) == [2]


def test_what_only_cannot_be_read_now_is_not_given_up(tmp_path: Path) -> None:
    written(tmp_path, 3, 3)
    log = Log(tmp_path, 0)
    (resting,) = log.log.recover()
    assert isinstance(resting, Resting)
    assert len(log.log.fetch(1, resting.positions())) == 3
    with no_descriptors():
        assert len(log.log.fetch(1, resting.positions())) == 3  # what it needs is open
    log.disk._reader.close()
    with no_descriptors(), pytest.raises(Unreadable, match="3 messages cannot be read now: unable to open database"):
        log.log.fetch(1, resting.positions())
    assert len(log.log.fetch(1, resting.positions())) == 3
    log.log.close()
    assert aside(tmp_path) == []
    log = reopened(tmp_path)
    assert read(log) == [1, 2, 3]
    log.log.close()


def test_a_start_that_cannot_read_gives_nothing_up(tmp_path: Path) -> None:
    written(tmp_path, 3, 3)
    log = Log(tmp_path)
    reader = log.disk._reader
    assert isinstance(reader, Reader)
    assert reader._sql is not None
    reader._sql.close()
    with pytest.raises(StoreError, match=r"cannot read the messages in .*leveret\.db"):
        read(log)
    log.log.close()
    assert aside(tmp_path) == []
    log = reopened(tmp_path)
    assert read(log) == [1, 2, 3]
    log.log.close()


def test_a_long_start_says_how_far_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path, 3, 1)
    log = Log(tmp_path, 0)
    found = log.log.recover()
    next(found)
    time.sleep(PROGRESS_S)
    assert len(list(found)) == 2
    assert "starting: 1 of 3 chunks of messages are read" in caplog.text
    assert "2 of 3" not in caplog.text
    log.log.close()


def change(directory: Path, statement: str, *values: object) -> None:
    """Change the file behind everybody's back."""
    with closing(sqlite3.connect(directory / FILE_NAME)) as sql, sql:
        assert sql.execute(statement, values).rowcount


def bodies(log: Log) -> list[bytes]:
    """The bodies of all messages of queue 1, in order; each has another position."""
    found = log.recovered() if log.disk._load_bytes else []
    for each in log.log.recover() if not log.disk._load_bytes else ():
        found += [each] if isinstance(each, Recovered) else log.log.fetch(1, each.positions())
    positions = [each.position for each in found]
    assert positions == sorted(set(positions))
    assert positions[-1] <= MAX_POSITION
    return [each.message.body() for each in found]


@LOADS
@pytest.mark.parametrize("chunk_id", [-(1 << 63), -5, 0, 9, MAX_CHUNK - 1, MAX_CHUNK, (1 << 63) - 1])
def test_a_chunk_with_another_id(tmp_path: Path, load_bytes: int, chunk_id: int) -> None:
    written(tmp_path, 9, 3)
    change(tmp_path, "UPDATE chunks SET id = ? WHERE id = 2", chunk_id)
    log = Log(tmp_path, load_bytes)
    order = [1, 2, 3, 7, 8, 9, 4, 5, 6]
    assert bodies(log) == list(map(body, order))
    log.log.append(1, 20, message(body(20)), 0)
    log.flush()
    assert log.heard.durable == {1: 20}
    log.log.close()
    log = Log(tmp_path, load_bytes)
    assert bodies(log) == list(map(body, [*order, 20]))
    log.log.remove(1, 10)  # where the first of those is now that were in the chunk
    log.log.close()
    log = Log(tmp_path, load_bytes)
    assert bodies(log) == list(map(body, [1, 2, 3, 7, 8, 9, 5, 6, 20]))
    log.log.close()


def test_what_is_not_in_its_place_is_told_and_flagged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path, 3, 1)
    change(tmp_path, "UPDATE chunks SET id = 9 WHERE id = 1")
    log = Log(tmp_path)
    assert log.found() == [(1, 2, body(2), False), (1, 3, body(3), False), (1, 4, body(1), True)]
    assert "chunk 9 is out of order: its messages are moved to the end of their queues" in caplog.text
    log.log.close()
    caplog.clear()
    log = reopened(tmp_path)
    assert [each[:3] for each in log.found()] == [(1, 2, body(2)), (1, 3, body(3)), (1, 4, body(1))]
    assert not caplog.text
    log.log.close()
    assert chunks(tmp_path) == [2, 3, 10]


def test_a_chunk_that_is_not_in_its_place_and_damaged(tmp_path: Path) -> None:
    written(tmp_path, 4, 2)
    spoil_content(tmp_path, 1)
    change(tmp_path, "UPDATE chunks SET id = 9 WHERE id = 1")
    for _ in range(2):
        log = Log(tmp_path)
        assert [each[1:3] for each in log.found()] == [(3, body(3)), (4, body(4)), (5, body(2))]
        log.log.close()
        assert (chunks(tmp_path), aside(tmp_path)) == ([2, 9, 10], [(9, 1)])


def test_what_comes_back_does_not_take_the_place_of_others(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.log.append(1, 1, message(b"acked"), 0)
    log.log.append(2, 1, message(b"other"), 0)
    log.flush()
    log.log.remove(1, 1)
    log.log.close()
    log = reopened(tmp_path)
    assert [each[:3] for each in log.found()] == [(2, 1, b"other")]
    log.log.append(1, 1, message(b"new"), 0)  # the queue was empty, so it begins anew
    log.log.close()
    flip(tmp_path, "gone", "places")
    for _ in range(2):
        log = reopened(tmp_path)
        found = [each[:3] for each in log.found()]
        assert found == [(1, 1, b"acked"), (1, 2, b"new"), (2, 1, b"other")]
        log.log.close()


@pytest.mark.parametrize("position", [MAX_POSITION + 1, (1 << 63) - 1])
def test_positions_that_leave_no_room_for_others(tmp_path: Path, position: int) -> None:
    log = Log(tmp_path)
    log.log.append(1, 1, message(body(1)), 0)
    log.flush()
    log.log.append(1, position - 1, message(body(2)), 0)
    log.log.append(1, position, message(body(3)), 0)
    log.log.append(2, position, message(body(1)), 0)
    log.log.close()
    for _ in range(2):
        log = Log(tmp_path)
        assert [each[:3] for each in log.found()] == [
            (1, 1, body(1)),
            (1, 2, body(2)),
            (1, 3, body(3)),
            (2, 1, body(1)),
        ]
        log.log.close()


def test_a_definition_under_a_kind_that_is_no_text_goes_when_it_is_put_again(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.log.put("queue", "a", b"first")
    log.log.put("queue", "b", b"second")
    log.log.put("queue", "c", b"third")
    log.log.close()
    change(tmp_path, "UPDATE definitions SET kind = CAST(kind AS BLOB) WHERE key != 'c'")
    log = reopened(tmp_path)
    assert log.log.load() == [("queue", "c", b"third")]
    what = "bytes instead of a text"
    assert log.log.damaged() == [("queue", "a", what), ("queue", "b", what)]
    log.log.put("queue", "a", b"again")
    log.log.delete("queue", "b")
    log.log.close()
    log = reopened(tmp_path)
    assert sorted(log.log.load()) == [("queue", "a", b"again"), ("queue", "c", b"third")]
    assert log.log.damaged() == []
    log.log.close()
    assert check(tmp_path, lambda done, total: None).problems == []


@LOADS
@pytest.mark.parametrize("column", ["head", "data"])
def test_a_chunk_whose_column_is_of_another_type_while_the_broker_runs(
    tmp_path: Path, load_bytes: int, column: str
) -> None:
    last = 20 * (SPARSE_KEPT + 1)  # so many chunks of which little is left: the first of them is written anew
    written(tmp_path, last, 20)
    log = Log(tmp_path, load_bytes)
    for _ in log.log.recover():
        pass
    change(tmp_path, f"UPDATE chunks SET {column} = 7 WHERE id = 1")
    assert log.log.fetch(1, (20).to_bytes(8, "big"), only_looks=True) == []
    for position in range(1, last):
        if position % 20 < 18:
            log.log.remove(1, position)
    log.log.remove(1, last)
    log.log.append(1, last + 1, message(body(1)), 0)
    log.flush()
    assert (log.heard.durable, log.heard.refused) == ({1: last + 1}, [])
    log.log.close()
    assert aside(tmp_path) == [(1, 0)]
    log = reopened(tmp_path)
    left = [position for position in range(21, last) if position % 20 >= 18]
    assert [each[1] for each in log.found()] == [*left, last + 1]
    log.log.close()
