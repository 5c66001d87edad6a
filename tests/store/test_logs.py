"""The contract of MessageLog and DefinitionLog, kept by the logs in memory, on disk and in PostgreSQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import pytest

from leveret.core.message.log import LogListener, MessageLog, Recovered
from leveret.core.message.message import Message, address
from leveret.store.chunk_log import LOAD_BYTES, ChunkLog
from leveret.store.chunk_store import StoreError
from leveret.store.database import FILE_NAME
from leveret.store.group import MANY_REMOVED
from leveret.store.memory import MemoryLog
from leveret.store.rescue.salvage import open_database
from leveret.store.rows import SUM
from leveret.wire.content import make_content
from tests.brokers.remote import RemoteLog
from tests.postgres.stores import open_store

PATIENCE_S = 60


def message(body: bytes) -> Message:
    """A persistent message."""
    return Message(address("x", "key"), make_content(b"\x10\x00\x02", body), True)


class Heard(LogListener):
    """Remembers what a log told."""

    def __init__(self) -> None:
        self.durable: dict[int, int] = {}
        self.refused: list[tuple[int, list[int]]] = []
        self.revision = 0
        self.behind: list[bool] = []
        self.conflicts: list[tuple[str, str, bytes, int]] = []

    def on_durable(self, queue_id: int, position: int) -> None:
        """Remember."""
        self.durable[queue_id] = position

    def on_refused(self, queue_id: int, positions: list[int], reason: str, again: bool) -> None:
        """Remember."""
        self.refused.append((queue_id, positions))

    def on_fetched(self, queue_id: int) -> None:
        """Not by these logs, which answer at once."""
        raise AssertionError

    def on_lost(self, queue_id: int, reason: str) -> None:
        """Not by these logs, which are nobody else's."""
        raise AssertionError

    def on_definitions_durable(self, revision: int) -> None:
        """Remember."""
        self.revision = revision

    def on_conflict(self, kind: str, key: str, value: bytes, revision: int) -> None:
        """Remember."""
        assert self.revision < revision
        self.conflicts.append((kind, key, value, revision))

    def on_behind(self, is_behind: bool) -> None:
        """Remember."""
        self.behind.append(is_behind)

    def fail(self, doing: str, error: Exception) -> None:
        """A test's listener does not fail."""
        raise error


class Log:
    """A log, its listener, and a way to wait for it. place: a directory, the URL of a database, or None for memory."""

    def __init__(self, place: Path | str | None, load_bytes: int = LOAD_BYTES) -> None:
        self.heard = Heard()
        self._done: SimpleQueue[None] = SimpleQueue()
        self.log: MemoryLog | ChunkLog
        if place is None:
            self.log = MemoryLog()
        else:
            store = open_database(place) if isinstance(place, Path) else open_store(place)
            self.log = ChunkLog(store, lambda: self._done.put(None), load_bytes)
        self.messages: MessageLog = self.log
        self.log.listener = self.heard

    def flush(self) -> None:
        """Flush, and wait until the news is told."""
        self.messages.flush()
        if isinstance(self.messages, RemoteLog):
            self.messages.commit()
        if isinstance(self.messages, ChunkLog):
            self.wait()

    def wait(self) -> None:
        """Wait until a group is written, and tell the news."""
        self._done.get(timeout=PATIENCE_S)
        self.disk.on_committed()

    @property
    def disk(self) -> ChunkLog:
        """The log, which is one on disk."""
        assert isinstance(self.log, ChunkLog)
        return self.log

    def recovered(self) -> list[Recovered]:
        """What recover() gives, when all of it is loaded."""
        found: list[Recovered] = []
        for each in self.messages.recover():
            assert isinstance(each, Recovered)
            found.append(each)
        return found

    def found(self) -> list[tuple[int, int, bytes, bool]]:
        """What recover() gives, by queue; queue, position, body, redelivered."""
        each = [(r.queue_id, r.position, r.message.body(), r.redelivered) for r in self.recovered()]
        return sorted(each, key=lambda entry: entry[0])


@pytest.fixture(params=["disk", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a log can keep what the next one finds."""
    if request.param == "disk":
        return tmp_path
    return str(request.getfixturevalue("database_url"))


@pytest.fixture(params=["memory", "disk", "postgres"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Log:
    """A log that a broker may have."""
    if request.param == "postgres":
        return Log(request.getfixturevalue("database_url"))
    return Log(None if request.param == "memory" else tmp_path)


@pytest.fixture(params=["memory", "disk", "postgres", "remote"])
def any_log(request: pytest.FixtureRequest, tmp_path: Path) -> Log:
    """A log that a queue may have."""
    if request.param == "postgres":
        return Log(request.getfixturevalue("database_url"))
    log = Log(tmp_path if request.param == "disk" else None)
    if request.param == "remote":
        log.messages = RemoteLog(log.heard)
    return log


def reopened(place: Path | str) -> Log:
    """The log of a place, as the next broker finds it."""
    return Log(place)


def test_a_new_log_is_empty(any_log: Log) -> None:
    assert any_log.found() == []
    assert any_log.log.load() == []
    any_log.messages.close()


def test_what_is_appended_becomes_durable(any_log: Log) -> None:
    any_log.messages.append(1, 1, message(b"a"), 0)
    any_log.messages.append(1, 2, message(b"b"), 0)
    any_log.messages.append(2, 1, message(b"c"), 0)
    assert any_log.heard.durable == {}
    any_log.flush()
    assert any_log.heard.durable == {1: 2, 2: 1}
    any_log.messages.close()


def test_what_is_removed_before_the_flush_counts_as_durable(any_log: Log) -> None:
    any_log.messages.append(1, 1, message(b"a"), 0)
    any_log.messages.remove(1, 1)
    any_log.flush()
    assert any_log.heard.durable == {1: 1}
    any_log.messages.close()


def test_nothing_is_told_of_a_dropped_queue(any_log: Log) -> None:
    any_log.messages.append(1, 1, message(b"a"), 0)
    any_log.messages.append(2, 1, message(b"a"), 0)
    any_log.messages.drop(1)
    any_log.flush()
    assert any_log.heard.durable == {2: 1}
    any_log.messages.close()


def test_definitions_have_revisions(log: Log) -> None:
    first = log.log.put("queue", "a", b"1")
    second = log.log.delete("queue", "never there")
    assert second > first > 0
    log.flush()
    assert log.heard.revision == second
    log.log.close()


def test_a_flush_without_work_tells_nothing(log: Log) -> None:
    log.log.delivered(1, 1)
    log.log.flush()
    assert (log.heard.durable, log.heard.revision) == ({}, 0)
    log.log.close()


# -- what only a log with a directory can do


def test_messages_survive_in_order(place: Path | str) -> None:
    log = Log(place)
    shared = message(b"shared")
    for position in (1, 2, 3):
        log.log.append(1, position, message(b"%d" % position), 0)
    log.log.append(1, 4, shared, 0)
    log.log.append(2, 1, shared, 0)
    log.flush()
    log.log.append(1, 5, message(b"5"), 0)
    log.log.remove(1, 2)
    log.flush()
    log.log.close()
    log = reopened(place)
    assert log.found() == [
        (1, 1, b"1", False),
        (1, 3, b"3", False),
        (1, 4, b"shared", False),
        (1, 5, b"5", False),
        (2, 1, b"shared", False),
    ]
    log.log.close()


def test_address_and_persistence_survive(place: Path | str) -> None:
    log = Log(place)
    log.log.append(1, 1, message(b"a"), 0)
    log.log.close()
    log = reopened(place)
    (found,) = log.recovered()
    assert (found.message.address.exchange, found.message.address.routing_key) == ("x", "key")
    assert found.message.content == message(b"a").content
    assert found.message.persistent
    log.log.close()


def test_deadlines_and_deaths_survive(place: Path | str) -> None:
    log = Log(place)
    letter = Message(address("x", "key", ("cc",), ("bcc",)), message(b"a").content, True, True)
    log.log.append(1, 1, letter, 1_700_000_000_000)
    log.log.append(2, 1, letter, 0)
    log.log.append(1, 2, message(b"b"), 5)
    log.log.append(2, 2, message(b"c"), 6)
    log.log.remove(2, 2)
    log.flush()
    log.log.close()
    log = reopened(place)
    found = {(each.queue_id, each.position): each for each in log.recovered()}
    assert {place: each.deadline_ms for place, each in found.items()} == {
        (1, 1): 1_700_000_000_000,
        (2, 1): 0,
        (1, 2): 5,
    }
    first = found[1, 1].message
    assert (first.address.copies, first.address.hidden, first.has_died) == (("cc",), ("bcc",), True)
    assert not found[1, 2].message.has_died
    log.log.close()


def test_after_a_clean_end_only_what_was_delivered_is_redelivered(place: Path | str) -> None:
    log = Log(place)
    for position in (1, 2, 3):
        log.log.append(1, position, message(b""), 0)
    log.flush()
    log.log.delivered(1, 2)
    log.log.delivered(1, 1)
    log.log.close()
    log = reopened(place)
    assert [again for _, _, _, again in log.found()] == [True, True, False]
    log.log.close()


def test_a_message_delivered_again_later_does_not_take_the_flag_from_others(place: Path | str) -> None:
    log = reopened(place)
    for position, body in ((1, b"a"), (2, b"b"), (3, b"c")):
        log.log.append(1, position, message(body), 0)
    log.log.delivered(1, 2)
    log.flush()
    log.log.delivered(1, 1)  # it was requeued; another group
    log.log.close()
    again = reopened(place)
    assert again.found() == [(1, 1, b"a", True), (1, 2, b"b", True), (1, 3, b"c", False)]
    again.log.close()


def test_after_an_unclean_end_everything_may_be_a_repetition(tmp_path: Path) -> None:
    log = Log(tmp_path / "live")
    log.log.append(1, 1, message(b"a"), 0)
    log.flush()
    copy = tmp_path / "copy"  # what a power cut would leave
    copy.mkdir()
    for path in (tmp_path / "live").glob(FILE_NAME + "*"):
        (copy / path.name).write_bytes(path.read_bytes())
    log.log.close()
    for directory, redelivered in ((copy, True), (copy, True), (tmp_path / "live", False)):
        again = reopened(directory)
        assert again.found() == [(1, 1, b"a", redelivered)]
        again.log.close()


def test_a_start_that_gives_up_leaves_the_doubt_to_the_next_one(tmp_path: Path) -> None:
    log = Log(tmp_path / "live")
    for position in (1, 2):
        log.log.append(1, position, message(b"a"), 0)
        log.flush()
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (tmp_path / "live").glob(FILE_NAME + "*"):
        (copy / path.name).write_bytes(path.read_bytes())
    log.log.close()
    first = reopened(copy)
    next(iter(first.log.recover()))  # and no further
    first.log.close()
    again = reopened(copy)
    assert again.found() == [(1, 1, b"a", True), (1, 2, b"a", True)]
    again.log.close()


def test_removed_and_dropped_messages_stay_away(place: Path | str) -> None:
    log = Log(place)
    shared = message(b"shared")
    for queue_id in (1, 2, 3):
        log.log.append(queue_id, 1, shared, 0)
        log.log.append(queue_id, 2, message(b"own"), 0)
    log.flush()
    log.log.remove(1, 1)
    log.flush()
    log.log.drop(2)
    log.flush()
    log.log.close()
    log = reopened(place)
    expected = [(1, 2, b"own", False), (3, 1, b"shared", False), (3, 2, b"own", False)]
    assert log.found() == expected
    log.log.remove(1, 2)
    log.log.drop(3)
    log.log.close()
    log = reopened(place)
    assert log.found() == []
    log.log.close()


def test_large_messages_take_several_chunks(place: Path | str) -> None:
    log = Log(place)
    bodies = [bytes((number,)) * 700_000 for number in range(5)]
    for position, body in enumerate(bodies, 1):
        log.log.append(1, position, message(body), 0)
    log.flush()
    log.log.remove(1, 2)
    log.log.remove(1, 1)
    log.flush()
    log.log.close()
    log = reopened(place)
    assert [body for _, _, body, _ in log.found()] == bodies[2:]
    log.log.close()


def test_definitions_survive(place: Path | str) -> None:
    log = Log(place)
    log.log.put("exchange", "b", b"1")
    log.log.put("queue", "a", b"\x00\xff")
    log.log.put("queue", "gone", b"")
    log.flush()
    log.log.put("exchange", "b", b"2")
    log.log.delete("queue", "gone")
    log.flush()
    log.log.close()
    log = reopened(place)
    assert log.log.load() == [("exchange", "b", b"2"), ("queue", "a", b"\x00\xff")]
    log.log.close()


def test_a_directory_serves_one_broker(tmp_path: Path) -> None:
    log = Log(tmp_path)
    with pytest.raises(StoreError, match="in use by another broker"):
        ChunkLog(open_database(tmp_path), lambda: None)
    log.log.append(1, 1, message(b"a"), 0)
    log.log.close()
    log = reopened(tmp_path)
    assert log.found() == [(1, 1, b"a", False)]
    log.log.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    content = b"not a database, but long enough to look like one" * 100
    (tmp_path / FILE_NAME).write_bytes(content)
    log = Log(tmp_path)
    assert (log.log.load(), log.found()) == ([], [])
    log.log.close()
    (aside,) = tmp_path.glob(f"{FILE_NAME}.damaged-*")
    assert aside.read_bytes() == content


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot use data directory"):
        ChunkLog(open_database(tmp_path / "file"), lambda: None)


def test_removals_alone_are_left_for_what_comes_next(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for position in (1, 2, 3):
        log.log.append(1, position, message(b"%d" % position), 0)
    log.flush()
    log.log.remove(1, 1)
    assert log.log.flush_urgent()
    log.log.remove(1, 2)
    log.log.append(1, 4, message(b"4"), 0)
    assert not log.log.flush_urgent()
    log.wait()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql:
        assert sql.execute("SELECT count(*), length(places) FROM gone").fetchall() == [(1, 2 * 16 + SUM)]
    log.log.remove(1, 3)
    log.log.close()
    log = reopened(tmp_path)
    assert [body for _, _, body, _ in log.found()] == [b"4"]
    log.log.close()


@pytest.mark.parametrize("what", ["definition", "dropped queue", "many"])
def test_what_is_not_left(tmp_path: Path, what: str) -> None:
    log = Log(tmp_path)
    for position in range(1, MANY_REMOVED + 1):
        log.log.append(1, position, message(b""), 0)
    log.flush()
    if what == "many":
        for position in range(1, MANY_REMOVED):
            log.log.remove(1, position)
        assert log.log.flush_urgent()
        log.log.remove(1, MANY_REMOVED)
    elif what == "definition":
        log.log.remove(1, 1)
        log.log.put("queue", "a", b"1")
    else:
        log.log.drop(1)
        assert log.log.flush_urgent()
        log.log.delete("queue", "a")
    assert not log.log.flush_urgent()
    log.wait()
    log.log.close()
