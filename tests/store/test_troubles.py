"""A log that cannot write, and one that cannot write as fast as it is asked to."""

from __future__ import annotations

import shutil
from pathlib import Path

from leveret.core.turn.alarms import BEHIND_BYTES
from tests.store.test_logs import Log, message, reopened

UNWRITABLE = 256  # a priority that fits into no chunk


def test_a_group_that_cannot_be_written_is_refused_and_its_definitions_are_tried_again(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.log.append(1, 1, message(b"before"), 0)
    log.flush()
    log.log.append(1, 2, message(b"a"), 0, UNWRITABLE)
    log.log.append(1, 3, message(b"b"), 0)
    revision = log.log.put("queue", "a", b"1")
    log.log.remove(1, 1)
    log.flush()
    assert log.heard.refused == [(1, [2, 3])]
    assert log.heard.durable == {1: 3}  # behind what was refused, all is settled
    assert log.heard.revision == 0
    log.flush()
    assert log.heard.revision == revision
    log.log.close()
    log = reopened(tmp_path)
    assert log.found() == []
    assert log.log.load() == [("queue", "a", b"1")]
    log.log.close()


def test_it_says_how_much_could_not_be_written_until_something_can(tmp_path: Path) -> None:
    log = Log(tmp_path)
    assert log.disk.failed_bytes == 0
    log.log.append(1, 1, message(b"x" * 5000), 0, UNWRITABLE)
    log.flush()
    assert 5000 < log.disk.failed_bytes < 6000
    log.log.append(1, 2, message(b""), 0)
    log.flush()
    assert log.disk.failed_bytes == 0
    log.log.close()


def test_without_anything_to_write_a_trial_counts(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.log.append(1, 1, message(b""), 0, UNWRITABLE)
    log.flush()
    assert log.disk.failed_bytes > 0
    log.disk.try_again()
    assert log.disk.failed_bytes == 0
    log.log.close()


def test_a_trial_writes_what_is_left(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.log.append(1, 1, message(b""), 0, UNWRITABLE)
    revision = log.log.put("queue", "a", b"1")
    log.flush()
    log.disk.try_again()
    assert log.disk.failed_bytes > 0  # nobody knows yet
    log.wait()
    assert log.disk.failed_bytes == 0
    assert log.heard.revision == revision
    log.log.close()


def test_it_says_when_too_much_waits_and_when_half_of_it_is_written(tmp_path: Path) -> None:
    log = Log(tmp_path)
    piece = message(bytes(BEHIND_BYTES // 8))
    for position in range(1, 6):
        log.log.append(1, position, piece, 0)
        log.log.append(2, position, piece, 0)  # kept once
        log.log.append(1, 100 + position, message(b""), 0)
    log.log.flush()
    assert log.heard.behind == []
    for position in range(6, 10):
        log.log.append(3, position, piece, 0)
        log.log.append(3, 100 + position, message(b""), 0)
    log.log.flush()
    assert log.heard.behind == [True]
    log.wait()  # five of nine are written
    assert log.heard.behind == [True]
    log.wait()
    assert log.heard.behind == [True, False]
    log.log.close()


class Move:
    """A message that goes from queue 1 to queue 2, in a group that cannot be written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = Log(directory)
        self.log.log.append(1, 1, message(b"a"), 0)
        self.log.flush()
        self.log.heard.durable.clear()
        self.log.log.append(2, 1, message(b"refused"), 0)
        self.log.log.transfer(True)
        self.log.log.append(2, 2, message(b"a"), 0)
        self.log.log.remove(1, 1)
        self.log.log.transfer(False)
        self.log.log.append(2, 3, message(b"refused"), 0, UNWRITABLE)

    def after_a_crash(self) -> list[tuple[int, int, bytes]]:
        """What is found if the process ends now: queue, position, body."""
        copy = self.directory / "copy"
        copy.mkdir()
        for file in self.directory.glob("leveret.db*"):
            (copy / file.name).write_bytes(file.read_bytes())
        log = reopened(copy)
        found = [(queue, position, body) for queue, position, body, _ in log.found()]
        log.log.close()
        shutil.rmtree(copy)
        return found


def test_what_is_moved_is_in_one_place_when_it_cannot_be_written_and_when_it_can(tmp_path: Path) -> None:
    move = Move(tmp_path)
    log = move.log
    log.flush()
    assert log.heard.refused == [(2, [1, 3])]
    assert log.heard.durable.get(2, 0) < 2
    assert move.after_a_crash() == [(1, 1, b"a")]
    log.log.append(2, 4, message(b"later"), 0)
    log.flush()
    assert log.heard.durable[2] == 4
    assert move.after_a_crash() == [(2, 2, b"a"), (2, 4, b"later")]
    log.log.remove(2, 2)
    log.flush()
    assert move.after_a_crash() == [(2, 4, b"later")]
    log.log.close()


def test_what_was_moved_may_be_removed_before_it_can_be_written(tmp_path: Path) -> None:
    move = Move(tmp_path)
    log = move.log
    log.log.flush()
    log.log.remove(2, 2)
    log.log.append(2, 4, message(b"later"), 0)
    log.wait()
    log.flush()
    assert move.after_a_crash() == [(2, 4, b"later")]
    log.log.close()


def test_what_was_moved_is_not_written_for_a_queue_that_is_gone(tmp_path: Path) -> None:
    move = Move(tmp_path)
    log = move.log
    log.log.flush()
    log.log.drop(2)
    log.wait()
    log.flush()
    assert move.after_a_crash() == []
    log.log.close()
