"""Data directories of earlier formats: each opens with everything that is in it, and is of the newest format then.

tests/store/formats has one that a broker has closed, and one as kill -9 left it. Both have a fanout in two queues,
acked messages, a dead letter, priorities, deadlines, and a message of a quorum queue that came back twice.
"""

from __future__ import annotations

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from leveret.core.definition.form import QUEUE, read_table
from leveret.core.queue.browsing import TOP, Page
from leveret.core.queue.entry import QueueEntry
from leveret.store.chunk import FORMAT as CHUNK_FORMAT
from leveret.store.chunk_log import LOAD_BYTES
from leveret.store.chunk_store import StoreError
from leveret.store.database import FILE_NAME
from leveret.store.rescue.maintenance import backup, check
from leveret.store.rescue.salvage import read_damaged
from leveret.store.schema import FORMAT
from leveret.store.snapshot import Snapshot
from leveret.wire.methods import BasicGet, BasicGetOk, BasicReject
from tests.brokers.run import START_MS, Run

from .test_logs import Log, message

DIRECTORIES = Path(__file__).parent / "formats"
ENDS = pytest.mark.parametrize("end", ["clean", "unclean"])
LEVELS = [b"level 2", b"level 2", b"level 1", b"level 1", b"level 0", b"level 0"]
CONTENTS = {
    "plain": [b"plain 2", b"plain 3", b"plain 4", b"plain 5", b"to both"],
    "both": [b"to both"],
    "levels": LEVELS,
    "timed": [b"timed 0", b"timed 1", b"timed 2", b"soon"],
    "quorum": [b"quorum 0", b"quorum 1", b"quorum 2"],
    "dead": [b"died"],
}


def unpacked(tmp_path: Path, end: str) -> Path:
    """A data directory of format 4."""
    with tarfile.open(DIRECTORIES / f"format-4-{end}.tar.gz") as tar:
        tar.extractall(tmp_path / "data", filter="data")
    return tmp_path / "data"


def browsed(run: Run, name: str) -> list[QueueEntry]:
    """The ready messages of a queue."""
    page = Page(TOP, 0, -1, 1000, 1 << 30)
    run.broker.vhosts["/"].queues[name].browse(page)
    assert page.is_last
    return page.messages


def formats(directory: Path) -> tuple[int, set[int]]:
    """That of the file, and those of its chunks."""
    with closing(sqlite3.connect(directory / FILE_NAME)) as sql:
        number = sql.execute("PRAGMA user_version").fetchone()[0]
        return number, {head[0] for (head,) in sql.execute("SELECT substr(head, 1, 1) FROM chunks")}


@ENDS
@pytest.mark.parametrize("load_bytes", [LOAD_BYTES, 0])
def test_everything_of_format_4_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, load_bytes: int
) -> None:
    monkeypatch.setattr(Run, "load_bytes", load_bytes)
    directory = unpacked(tmp_path, end)
    assert formats(directory) == (4, {4})
    run = Run(directory, 100, START_MS + 500)
    assert formats(directory) == (FORMAT, {4})
    for name, bodies in CONTENTS.items():
        found = browsed(run, name)
        assert [stored.message.body() for stored in found] == bodies
        assert {int(stored.message.arrived_ms) for stored in found} == {0}
        if end == "unclean":
            assert all(stored.redelivered for stored in found)
    assert [stored.redelivered for stored in browsed(run, "quorum")] == [True, end == "unclean", end == "unclean"]
    (letter,) = browsed(run, "dead")
    assert letter.message.has_died
    headers = letter.message.properties().headers or {}
    assert (headers["own"].text, headers["x-first-death-queue"].text) == ("header", "dying")
    assert sorted({int(stored.level) for stored in browsed(run, "levels")}) == [0, 1, 2]
    run.pass_ms(499)
    assert run.ready("timed") == 4
    run.pass_ms(600_000 - 1000 + 1)
    assert run.ready("timed") == 0
    run.end()


@ENDS
def test_chunks_of_both_formats_live_side_by_side(tmp_path: Path, end: str) -> None:
    directory = unpacked(tmp_path, end)
    run = Run(directory, 100, START_MS + 500)
    run.publish("plain", b"new")
    run.commit()
    assert formats(directory) == (FORMAT, {4, CHUNK_FORMAT})
    run.end()
    run = Run(directory, 7, START_MS + 900)
    found = browsed(run, "plain")
    assert [stored.message.body() for stored in found] == [*CONTENTS["plain"], b"new"]
    assert [int(stored.message.arrived_ms) for stored in found] == [0, 0, 0, 0, 0, START_MS + 500]
    run.end()


def test_messages_of_format_4_are_counted_from_now_on(tmp_path: Path) -> None:
    directory = unpacked(tmp_path, "clean")
    run = Run(directory, 100, START_MS + 500)
    got = run.get("quorum", no_ack=False)
    assert isinstance(got.method, BasicGetOk)
    run.peer.send(BasicReject(got.method.delivery_tag, True))
    run.end()
    run = Run(directory, 100, START_MS + 600)
    run.peer.send(BasicGet("quorum", True))
    (again,) = run.peer.got()
    assert again.body == b"quorum 0"
    assert again.properties is not None
    assert again.properties.headers is not None
    assert again.properties.headers["x-delivery-count"].integer == 1
    run.end()


@ENDS
def test_who_only_reads_leaves_format_4_as_it_is(tmp_path: Path, end: str) -> None:
    directory = unpacked(tmp_path, end)
    report = check(directory, lambda done, total: None)
    assert (report.problems, report.messages) == ([], 20 if end == "unclean" else 19)  # the one that died
    with closing(Snapshot(directory)) as snapshot:
        (value,) = [value for kind, key, value in snapshot.load() if kind == QUEUE and '"plain"' in key]
        found = snapshot.messages(read_table(value)["id"].integer, False, lambda done, total: None)
        assert [each.message.body() for each in found] == CONTENTS["plain"]
    backup(directory, tmp_path / "copy", lambda done, total: None)
    assert formats(directory) == formats(tmp_path / "copy") == (4, {4})
    run = Run(tmp_path / "copy", 100, START_MS + 500)
    assert run.ready("plain") == 5
    run.end()


@ENDS
def test_what_is_salvaged_of_format_4_is_of_the_newest(tmp_path: Path, end: str) -> None:
    directory = unpacked(tmp_path, end)
    target = tmp_path / "salvaged"
    target.mkdir()
    found = read_damaged(directory / FILE_NAME, target / FILE_NAME)
    assert (found.definitions, found.chunks, found.lost_rows) == (9, 2, 0)
    assert formats(target) == (FORMAT, {4})
    run = Run(target, 100, START_MS + 500)
    assert {name: run.ready(name) for name in CONTENTS} == {name: len(bodies) for name, bodies in CONTENTS.items()}
    run.end()


def test_other_formats_are_refused(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.log.append(1, 1, message(b"a"), 0)
    log.log.close()
    for version in (3, FORMAT + 1):
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql:
            sql.execute(f"PRAGMA user_version={version}")
        text = f"has format {version}, this Leveret knows 4 to 5; use the version that wrote it"
        with pytest.raises(StoreError, match=text):
            Log(tmp_path)
        with pytest.raises(StoreError, match=text):
            check(tmp_path, lambda done, total: None)
