"""How often a message came back: in the log, and after a restart."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from leveret.core.message.log import Recovered, Resting
from leveret.core.queue.entry import FAILURE
from leveret.store.chunk_log import LOAD_BYTES
from leveret.store.database import FILE_NAME
from leveret.store.group import MANY_REMOVED
from leveret.store.index import SPARSE_KEPT
from leveret.store.memory import Kept, MemoryLog
from leveret.store.rescue.maintenance import check
from leveret.store.rescue.salvage import read_damaged
from leveret.store.snapshot import Snapshot

from .test_damage import flip
from .test_logs import Log, message
from .test_space import fill, filled, thinned
from .test_troubles import UNWRITABLE

Counts = dict[int, tuple[int, int]]
LOADS = pytest.mark.parametrize("load_bytes", [LOAD_BYTES, 0])


def both(failures: int, acquired: int) -> int:
    """Counts as QueueEntry has them."""
    return failures * FAILURE + acquired


def parts(counts: int) -> tuple[int, int]:
    """Failures and deliveries."""
    return divmod(counts, FAILURE)


def counts(directory: Path, load_bytes: int = LOAD_BYTES) -> Counts:
    """Failures and deliveries, by position in queue 1, as the next broker finds them; zeros are left out."""
    log = Log(directory, load_bytes)
    found: list[Recovered] = []
    for each in log.log.recover():
        found += log.log.fetch(each.queue_id, each.positions()) if isinstance(each, Resting) else [each]
    log.log.close()
    return {each.position: parts(each.counts) for each in found if each.queue_id == 1 and each.counts}


def rows(directory: Path) -> list[int]:
    """The chunks that have counts."""
    with closing(sqlite3.connect(directory / FILE_NAME)) as sql:
        return [chunk_id for (chunk_id,) in sql.execute("SELECT chunk FROM counts ORDER BY chunk")]


@LOADS
@pytest.mark.parametrize("is_clean", [True, False])
def test_counts_survive(tmp_path: Path, load_bytes: int, is_clean: bool) -> None:
    log = filled(tmp_path / "data", 5)
    log.log.append(1, 6, message(b"in the same commit"), 0)
    log.log.counted(1, 6, both(1, 1))
    log.log.counted(1, 2, both(1, 1))
    log.log.counted(1, 4, both(0, 1))
    log.flush()
    log.log.counted(1, 2, both(2, 3))
    log.log.counted(1, 5, both(1, 1))
    log.log.counted(1, 5, both(1, 2))
    log.flush()
    directory = tmp_path / "data"
    if not is_clean:
        directory = tmp_path / "killed"
        shutil.copytree(tmp_path / "data", directory)
    log.log.close()
    expected = {2: (2, 3), 4: (0, 1), 5: (1, 2), 6: (1, 1)}
    for _ in range(2):
        assert counts(directory, load_bytes) == expected
    assert rows(directory) == [1]  # the other chunk was written with them


def test_a_message_in_several_queues_has_counts_in_each(tmp_path: Path) -> None:
    log = Log(tmp_path)
    shared = message(b"shared")
    for queue_id in (1, 2, 3):
        log.log.append(queue_id, 1, shared, 0)
    log.log.counted(1, 1, both(1, 1))
    log.flush()
    log.log.counted(3, 1, both(2, 2))
    log.log.close()
    log = Log(tmp_path)
    assert {each.queue_id: parts(each.counts) for each in log.recovered()} == {1: (1, 1), 2: (0, 0), 3: (2, 2)}
    log.log.close()


def test_counts_go_with_their_chunk(tmp_path: Path) -> None:
    log = filled(tmp_path, 2)
    log.log.counted(1, 1, both(1, 1))
    log.flush()
    assert rows(tmp_path) == [1]
    log.log.remove(1, 1)
    log.log.counted(1, 2, both(1, 1))
    log.log.remove(1, 2)
    log.log.append(1, 3, message(b"behind"), 0)
    log.flush()
    assert rows(tmp_path) == []
    log.log.close()
    assert counts(tmp_path) == {}


def test_counts_of_an_earlier_run_go_with_their_chunk(tmp_path: Path) -> None:
    log = filled(tmp_path, 2)
    log.log.counted(1, 1, both(1, 1))
    log.log.close()
    log = Log(tmp_path)
    assert len(log.recovered()) == 2
    log.log.drop(1)
    log.log.close()
    assert rows(tmp_path) == []


def test_a_chunk_that_is_written_anew_has_its_counts(tmp_path: Path) -> None:
    log = filled(tmp_path, 100)
    for position in (1, 95):
        log.log.counted(1, position, both(3, 4))
    log.flush()
    thinned(log, SPARSE_KEPT + 1)
    log.log.close()
    assert rows(tmp_path) == []
    assert counts(tmp_path) == {95: (3, 4)}


def test_one_message_that_comes_back_forever_takes_one_small_row(tmp_path: Path) -> None:
    log = filled(tmp_path, 10)
    for number in range(1, 50):
        log.log.counted(1, 1, both(0, number))
        log.flush()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql:
        assert sql.execute("SELECT count(*), max(length(places)) FROM counts").fetchone() == (1, 28)
    log.log.close()
    assert counts(tmp_path) == {1: (0, 49)}


@pytest.mark.parametrize("failures", [1, 2])
def test_counts_are_written_when_a_commit_has_failed(tmp_path: Path, failures: int) -> None:
    log = filled(tmp_path, 3)
    log.log.counted(1, 1, both(1, 1))
    for position in range(4, 4 + failures):
        log.log.append(1, position, message(b"refused"), 0, UNWRITABLE)
        log.log.counted(1, position, both(1, 1))
        log.flush()
    log.log.counted(1, 2, both(1, 1))
    log.flush()
    log.log.close()
    assert counts(tmp_path) == {1: (1, 1), 2: (1, 1)}


def test_nobody_waits_for_counts(tmp_path: Path) -> None:
    log = filled(tmp_path, MANY_REMOVED)
    for position in range(1, MANY_REMOVED):
        log.log.counted(1, position, both(1, 1))
    assert log.log.flush_urgent()
    log.log.counted(1, MANY_REMOVED, both(1, 1))
    assert not log.log.flush_urgent()
    log.wait()
    assert not log.log.flush_urgent()
    log.log.counted(1, 1, both(2, 2))
    assert log.log.flush_urgent()
    log.log.append(1, MANY_REMOVED + 1, message(b"urgent"), 0)
    assert not log.log.flush_urgent()
    log.wait()
    log.log.close()
    assert counts(tmp_path)[1] == (2, 2)


def test_counts_of_what_is_not_there_do_no_harm(tmp_path: Path) -> None:
    log = filled(tmp_path, 3)
    log.log.counted(1, 9, both(1, 1))
    log.log.counted(2, 1, both(1, 1))
    log.log.remove(1, 2)
    log.log.counted(1, 2, both(1, 1))
    log.flush()
    log.log.close()
    assert counts(tmp_path) == {}


def test_damaged_counts_cost_only_the_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = filled(tmp_path, 3)
    log.log.counted(1, 1, both(1, 1))
    log.log.close()
    flip(tmp_path, "counts", "places")
    assert check(tmp_path, lambda done, total: None).problems == [
        "the delivery counts of chunk 1: checksum does not match"
    ]
    log = Log(tmp_path)
    assert [(each.position, each.counts) for each in log.recovered()] == [(1, 0), (2, 0), (3, 0)]
    assert "the delivery counts of chunk 1 cannot be read" in caplog.text
    log.log.counted(1, 2, both(5, 5))
    log.log.close()
    assert counts(tmp_path) == {2: (5, 5)}
    assert check(tmp_path, lambda done, total: None).problems == []


def test_what_is_salvaged_has_its_counts(tmp_path: Path) -> None:
    log = filled(tmp_path, 3)
    fill(log, 4, 3)
    log.log.counted(1, 1, both(1, 2))
    log.log.counted(1, 5, both(3, 4))
    log.log.remove(1, 2)
    log.flush()
    log.log.close()
    target = tmp_path / "salvaged"
    target.mkdir()
    assert read_damaged(tmp_path / FILE_NAME, target / FILE_NAME).lost_rows == 0
    assert counts(target) == {1: (1, 2), 5: (3, 4)}
    log = Log(target)
    assert [each.position for each in log.recovered()] == [1, 3, 4, 5, 6]
    log.log.close()


def test_a_snapshot_has_the_counts(tmp_path: Path) -> None:
    log = filled(tmp_path, 3)
    log.log.counted(1, 3, both(1, 2))
    log.log.close()
    with closing(Snapshot(tmp_path)) as snapshot:
        found = list(snapshot.messages(1, False, lambda done, total: None))
    assert [(each.position, parts(each.counts)) for each in found] == [(1, (0, 0)), (2, (0, 0)), (3, (1, 2))]


def test_a_log_in_memory_keeps_counts_for_the_next_broker() -> None:
    kept = Kept()
    log = MemoryLog(kept=kept)
    log.append(1, 1, message(b"a"), 0)
    log.counted(1, 1, both(2, 3))
    log.counted(1, 2, both(9, 9))
    (found,) = MemoryLog(kept=kept).recover()
    assert parts(found.counts) == (2, 3)
