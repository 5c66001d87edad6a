"""What is written together, and what is not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from leveret.store.chunk_log import GROUP_BYTES
from leveret.store.database import FILE_NAME
from leveret.store.rescue.maintenance import backup
from tests.store.test_logs import Log, message

BODY = bytes(GROUP_BYTES // 4)


def test_definitions_that_are_gathered_are_one_change(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.log.put("queue", "before", b"1")
    log.log.gather(True)
    log.log.gather(True)
    log.log.put("queue", "a", b"1")
    log.log.delete("queue", "before")
    log.flush()
    assert log.heard.revision == 1
    log.log.gather(False)
    log.log.flush()
    assert log.heard.revision == 1
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql:
        assert [key for (key,) in sql.execute("SELECT key FROM definitions")] == ["before"]
    log.log.gather(False)
    log.flush()
    assert log.heard.revision == 3
    log.log.close()
    again = Log(tmp_path)
    assert [key for _, key, _ in again.log.load()] == ["a"]
    again.log.close()


def kept(directory: Path, target: Path) -> tuple[list[str], list[tuple[int, int, bytes, bool]]]:
    """What is there after a power cut now: keys of definitions, and messages."""
    backup(directory, target, lambda done, total: None)
    log = Log(target)
    found = [key for _, key, _ in log.log.load()], log.found()
    log.log.close()
    return found


def test_messages_are_never_there_without_what_was_gathered_before_them(tmp_path: Path) -> None:
    log = Log(tmp_path / "live")
    log.log.append(7, 1, message(b"first"), 0)
    log.log.gather(True)
    log.log.append(7, 2, message(b"second"), 0)
    log.log.put("queue", "new", b"8")
    log.log.append(8, 1, message(b"in the new queue"), 0)
    log.log.append(7, 3, message(b"third"), 0)
    log.log.remove(7, 1)
    log.log.put("deduplication", "seen", b"third")
    log.flush()
    assert (log.heard.durable, log.heard.revision) == ({7: 2}, 0)
    log.log.flush()  # which has to wait, however often somebody asks
    assert not log.log.flush_urgent()
    assert kept(tmp_path / "live", tmp_path / "cut") == ([], [(7, 1, b"first", True), (7, 2, b"second", True)])
    log.log.gather(False)
    log.flush()
    assert (log.heard.durable, log.heard.revision) == ({7: 3, 8: 1}, 2)
    assert kept(tmp_path / "live", tmp_path / "later") == (
        ["new", "seen"],
        [(7, 2, b"second", True), (7, 3, b"third", True), (8, 1, b"in the new queue", True)],
    )
    log.log.close()


def test_what_comes_while_much_is_gathered_stays_with_it(tmp_path: Path) -> None:
    log = Log(tmp_path / "live")
    log.log.append(7, 1, message(b"first"), 0)
    log.log.flush()
    log.log.gather(True)
    log.log.put("queue", "new", b"8")
    for position in range(2, 10):  # more than one group has otherwise, while the first one is written
        log.log.append(7, position, message(BODY), 0)
        log.log.flush()
    log.wait()
    log.log.flush()
    assert (log.heard.durable, log.heard.revision) == ({7: 1}, 0)
    log.log.gather(False)
    log.flush()
    assert (log.heard.durable, log.heard.revision) == ({7: 9}, 1)
    log.log.close()


def test_what_comes_during_a_commit_follows_in_groups_of_some_size(tmp_path: Path) -> None:
    log = Log(tmp_path)
    count = 0
    for _ in range(5):
        for _ in range(6):
            count += 1
            log.log.append(7, count, message(BODY + b"%d" % count), 0)
        log.log.flush()
    assert len(log.disk._full) == 4
    log.log.remove(7, 8)  # in a group that waits
    log.log.remove(7, count)
    log.log.append(7, count + 1, message(b"last"), 0)
    commits = 0
    while log.heard.durable.get(7) != count + 1:
        log.wait()
        commits += 1
    assert commits >= 6
    log.log.close()
    again = Log(tmp_path)
    found = [each.position for each in again.recovered()]
    assert found == [each for each in range(1, count + 2) if each not in (8, count)]
    again.log.close()
