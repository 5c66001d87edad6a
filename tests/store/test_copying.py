"""A store copied to another: what is copied, in which order, and in pieces of which size."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from leveret.store.chunk_store import ChunkReader, ChunkStore, Found, StoreError
from leveret.store.copying import DELETED, WRITE_BYTES, WRITE_ENTRIES, Copy
from leveret.store.database import FILE_NAME
from leveret.store.group import Group
from leveret.store.rescue.salvage import open_database, open_to_read
from tests.store.test_logs import Log, message

Watch = Callable[[int, int], None]


def copied(source: Path, target: Path, tell: Watch = lambda done, total: None) -> Copy:
    """Copy a directory."""
    with closing(open_to_read(source)) as original:
        store = open_database(target)
        copy = Copy(original, store, "some command")
        delivered: dict[int, int] | None = None
        try:
            copy.run(tell)
            delivered = copy.delivered
        finally:
            store.close(delivered)
    return copy


def filled(directory: Path, chunks: int = 3, each: int = 4) -> None:
    """Messages of two queues, some of them delivered and removed, and paged out transient ones."""
    log = Log(directory)
    log.log.put("queue", "q", b"1")
    for number in range(chunks):
        for position in range(number * each + 1, (number + 1) * each + 1):
            shared = message(b"%d" % position)
            log.log.append(1, position, shared, 0)
            log.log.append(2, position, shared, 0)
            log.log.append(-1, position, message(b"transient"), 0)
        log.flush()
    log.log.counted(1, 3, 7)
    log.log.delivered(1, 5)
    log.log.remove(2, 1)
    log.log.close()


def found(directory: Path) -> list[tuple[int, int, bytes, bool]]:
    """What a broker finds."""
    log = Log(directory)
    messages = log.found()
    log.log.close()
    return messages


def rows(directory: Path) -> int:
    """The number of chunks."""
    with closing(sqlite3.connect(directory / FILE_NAME)) as sql:
        return int(sql.execute("SELECT count(*) FROM chunks").fetchone()[0])


def test_only_persistent_messages(tmp_path: Path) -> None:
    filled(tmp_path / "a")
    before = [each for each in found(tmp_path / "a") if each[0] > 0]
    copy = copied(tmp_path / "a", tmp_path / "b")
    assert (copy.queues, copy.messages, copy.problems) == (1, 23, [])
    assert found(tmp_path / "b") == before
    assert {each[3] for each in before} == {True, False}
    log = Log(tmp_path / "b")
    assert {each.counts for each in log.recovered() if (each.queue_id, each.position) == (1, 3)} == {7}
    log.log.close()
    assert rows(tmp_path / "b") == 1  # with what two queues share stored once


def test_the_source_stays_as_it_is(tmp_path: Path) -> None:
    filled(tmp_path / "a")
    before = (tmp_path / "a" / FILE_NAME).read_bytes()
    copied(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / FILE_NAME).read_bytes() == before


def test_a_chunk_that_is_not_in_its_place(tmp_path: Path) -> None:
    filled(tmp_path / "a")
    with closing(sqlite3.connect(tmp_path / "a" / FILE_NAME, isolation_level=None)) as sql:
        sql.execute("UPDATE chunks SET id = 9 WHERE id = 2")
    copy = copied(tmp_path / "a", tmp_path / "b")
    assert copy.problems == ["chunk 9: out of order; its messages are now the last of their queues"]
    bodies = [body for queue, _, body, _ in found(tmp_path / "b") if queue == 1]
    assert [int(body) for body in bodies] == [1, 2, 3, 4, 9, 10, 11, 12, 5, 6, 7, 8]
    assert all(again for _, _, _, again in found(tmp_path / "b"))


def test_a_copy_that_failed_is_refused_and_made_anew(tmp_path: Path) -> None:
    filled(tmp_path / "a", chunks=2 * DELETED, each=1)

    def fail(done: int, total: int) -> None:
        if done == total:
            raise StoreError("enough")

    with pytest.raises(StoreError, match="enough"):
        copied(tmp_path / "a", tmp_path / "b", fail)
    text = "the data directory contains an incomplete copy: run `some command` again, which starts it anew"
    log = Log(tmp_path / "b")
    with pytest.raises(StoreError, match=text):
        log.log.load()
    log.log.close()
    filled(tmp_path / "small", chunks=1)
    before = [each for each in found(tmp_path / "small") if each[0] > 0]
    copied(tmp_path / "small", tmp_path / "b")
    assert found(tmp_path / "b") == before
    log = Log(tmp_path / "b")
    assert [kind for kind, _, _ in log.log.load()] == ["queue"]
    log.log.close()
    assert rows(tmp_path / "b") == 1


def test_messages_without_definitions_are_not_overwritten(tmp_path: Path) -> None:
    filled(tmp_path / "a")
    log = Log(tmp_path / "b")
    log.log.append(1, 1, message(b"mine"), 0)
    log.log.close()
    with pytest.raises(StoreError, match="contains messages already"):
        copied(tmp_path / "a", tmp_path / "b")
    assert found(tmp_path / "b") == [(1, 1, b"mine", False)]


class Watched(ChunkStore):
    """An empty store that forgets. sizes: contents, entries and bytes of definitions of each group."""

    def __init__(self) -> None:
        super().__init__("the store")
        self.sizes: list[tuple[int, int, int]] = []

    def definitions(self) -> list[tuple[str, str, bytes]]:
        """None."""
        return []

    def chunks(self) -> Iterator[Found]:
        """None."""
        return iter(())

    def aside(self) -> int:
        """None."""
        return 0

    def delivered(self) -> dict[int, int]:
        """None."""
        return {}

    def write(self, group: Group) -> None:
        """Note its size."""
        defined = sum(len(value or b"") for _, _, value, _ in group.definitions)
        self.sizes.append((int(group.size), len(group.entries), defined))

    def reader(self, notify: Callable[[], None]) -> ChunkReader:
        """Nobody reads."""
        raise AssertionError

    def close(self, delivered: dict[int, int] | None = None) -> None:
        """Nothing to do."""


def test_groups_are_small(tmp_path: Path) -> None:
    log = Log(tmp_path / "a")
    for number in range(12):
        log.log.append(3, number + 1, message(bytes(WRITE_BYTES // 4)), 0)
        log.log.put("queue", str(number), bytes(WRITE_BYTES // 4))
    same = message(b"everywhere")
    for queue_id in range(10, WRITE_ENTRIES + 20):
        log.log.append(queue_id, 1, same, 0)
    log.log.close()
    target = Watched()
    with closing(open_to_read(tmp_path / "a")) as source:
        copy = Copy(source, target, "some command")
        copy.run(lambda done, total: None)
    assert (copy.queues, copy.messages) == (12, WRITE_ENTRIES + 10 + 12)
    assert max(size for size, _, _ in target.sizes) < WRITE_BYTES * 3 // 2
    assert max(defined for _, _, defined in target.sizes) < WRITE_BYTES * 3 // 2
    assert len(target.sizes) > 6
