"""A broker on a damaged file: it starts, whatever is left, and serves what is left."""

from __future__ import annotations

import random
import shutil
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from leveret.core.access.user import Credential
from leveret.store.database import FILE_NAME
from leveret.store.rows import pack_value
from leveret.store.schema import PAGE_BYTES
from leveret.wire.methods import BasicGetOk, QueueBind
from tests.brokers.run import START_MS, Run
from tests.clients.socketless import turn

QUEUES = [f"queue-{number}" for number in range(60)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with many definitions, and two messages in each queue."""
    directory = tmp_path_factory.mktemp("whole")
    run = Run(directory, 0, START_MS)
    run.broker.make_defaults("guest", Credential("x", "y"))
    rng = random.Random(5)
    for name in QUEUES:
        run.queue(name, x_dead_letter_exchange="", x_dead_letter_routing_key="somewhere-else-" * 8)
        run.peer.send(QueueBind(name, "amq.topic", "*." + name))
        turn(run.broker)
    for number, name in enumerate(QUEUES * 2):
        part = rng.randbytes(2000)
        run.publish(name, zlib.crc32(part).to_bytes(4, "big") + part)
        if number % 4 == 0:  # a chunk
            run.commit()
    run.end()
    return directory


def drain(run: Run) -> dict[str, list[bytes]]:
    """The bodies of all messages, by queue; their checksums are right."""
    found: dict[str, list[bytes]] = {}
    for name in list(run.broker.vhosts["/"].queues):
        while isinstance((got := run.get(name)).method, BasicGetOk):
            assert got.body is not None
            assert zlib.crc32(got.body[4:]).to_bytes(4, "big") == got.body[:4]
            found.setdefault(name, []).append(got.body)
    return found


def spoil(path: Path, offset: int, content: bytes) -> None:
    """Write over a part of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def test_whatever_page_is_damaged(whole: Path, tmp_path: Path) -> None:
    rng = random.Random(3)
    count = (whole / FILE_NAME).stat().st_size // PAGE_BYTES
    shutil.copytree(whole, tmp_path / "whole")
    run = Run(tmp_path / "whole", 0, START_MS + 1000)
    sent = sorted(body for bodies in drain(run).values() for body in bodies)
    assert len(sent) == 2 * len(QUEUES)
    run.log.close()
    lost = salvaged = made = 0
    for number in range(count):
        directory = tmp_path / str(number)
        shutil.copytree(whole, directory)
        size = rng.choice((PAGE_BYTES, 500, 20))
        for offset in (0, rng.randrange(PAGE_BYTES - size + 1)):
            spoil(directory / FILE_NAME, number * PAGE_BYTES + offset, rng.randbytes(size))
        run = Run(directory, 0, START_MS + 1000)
        assert not run.broker.is_new
        found = drain(run)
        assert {body for bodies in found.values() for body in bodies} <= set(sent)
        lost += len(sent) - sum(len(bodies) for bodies in found.values())
        made += sum(name.startswith("salvaged.") for name in found)
        salvaged += len(list(directory.glob(f"{FILE_NAME}.damaged-*")))
        run.publish("queue-1", b"more")
        run.end()
        run = Run(directory, 0, START_MS + 2000)
        assert len(list(directory.glob(f"{FILE_NAME}.damaged-*"))) <= 1
        run.log.close()
    assert lost <= len(sent) * 1.3  # each page is damaged once; some messages need two
    assert salvaged > 5
    assert made > 20


def test_the_queue_of_messages_is_lost(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql, sql:
        sql.execute('DELETE FROM definitions WHERE key = \'["/", "queue-7"]\'')
        key = '["/", "queue-8"]'
        sql.execute("UPDATE definitions SET value = ? WHERE key = ?", (pack_value("queue", key, b"\xff"), key))
    run = Run(tmp_path, 0, START_MS + 1000)
    told = run.broker.explanations
    assert sum("the definition of a queue is lost; its messages are in queue 'salvaged." in text for text in told) == 2
    assert any(text.startswith("queue 'queue-8' in virtual host '/' cannot be used and is set aside") for text in told)
    names = [name for name in run.broker.vhosts["/"].queues if name.startswith("salvaged.")]
    assert [run.ready(name) for name in names] == [2, 2]
    run.end()
    run = Run(tmp_path, 0, START_MS + 2000)
    assert [run.ready(name) for name in names] == [2, 2]
    assert "queue-7" not in run.broker.vhosts["/"].queues
    run.log.close()


@pytest.mark.parametrize("kept", ["vhost", "defaults"])
def test_a_virtual_host_and_the_first_user_are_lost(whole: Path, tmp_path: Path, kept: str) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql, sql:
        sql.execute("DELETE FROM definitions WHERE kind IN ('vhost', 'defaults', 'user') AND kind != ?", (kept,))
    run = Run(tmp_path, 0, START_MS + 1000)
    text = {
        "defaults": "the definition of virtual host '/' is lost; it is created again",
        "vhost": "definitions are lost; if no users are left, add one: leveret users add",
    }
    assert text[kept] in run.broker.explanations
    assert not run.broker.is_new  # nobody may log in with a password that everybody knows
    assert {run.ready(name) for name in QUEUES} == {2}
    run.end()
    run = Run(tmp_path, 0, START_MS + 2000)
    assert not any("is lost" in text for text in run.broker.explanations)
    run.log.close()


def test_transient_messages_that_were_paged_get_no_queue(tmp_path: Path) -> None:
    run = Run(tmp_path, 0, START_MS)
    run.queue("q")
    run.publish("q", b"kept")
    run.log.append(-7, 1, run.broker.vhosts["/"].queues["q"].ready.first().message, 0)
    run.commit()
    run.end()
    for _ in range(2):
        run = Run(tmp_path, 0, START_MS)
        assert list(run.broker.logged) == [run.broker.vhosts["/"].queues["q"].queue_id]
        run.end()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql:
        assert sql.execute("SELECT count(*) FROM gone").fetchone() == (1,)
