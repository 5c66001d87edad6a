"""A backlog larger than its budget: what rests in the log comes back in order, whatever else happens to it."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from leveret.store.database import FILE_NAME
from leveret.wire.methods import BasicNack, QueuePurge, QueuePurgeOk
from tests.brokers.run import START_MS, Run
from tests.clients.socketless import Got, held_bytes, turn

pytestmark = pytest.mark.usefixtures("load_bytes")

LIMIT = 1_500_000
COUNT = 3000
PADDING = b" " + b"x" * 1000


class Backlog(Run):
    """A broker with a small budget."""

    def __init__(self, directory: Path, wall_ms: int = START_MS) -> None:
        super().__init__(directory, 5_000, wall_ms)
        self.broker.budget.limit = LIMIT

    def fill(self, queue: str, first: int = 0, count: int = COUNT, **properties: object) -> None:
        """Publish numbered messages, in commits of some hundred."""
        for number in range(first, first + count):
            self.publish(queue, b"%d" % number + PADDING, **properties)  # type: ignore[arg-type]
            if number % 500 == 499:
                self.safe()
        self.safe()

    def safe(self) -> None:
        """Wait until everything so far is on disk."""
        turn(self.broker)
        while self.log._is_writing:
            self.wait_for_commit()
            turn(self.broker)

    def number(self, queue: str, no_ack: bool = True) -> int:
        """Fetch a message; its number."""
        return number(self.get(queue, no_ack))

    def numbers(self, queue: str) -> list[int]:
        """Fetch everything."""
        return [self.number(queue) for _ in range(self.ready(queue))]

    def at_rest(self, queue: str) -> int:
        """How many messages are not in memory."""
        ready = self.broker.vhosts["/"].queues[queue].ready
        return len(ready) - len(ready.items())


def number(got: Got) -> int:
    """The number of a message."""
    assert got.body is not None
    assert got.body.endswith(PADDING)
    return int(got.body.split()[0])


@pytest.fixture
def backlog(tmp_path: Path) -> Backlog:
    """A broker with the queue q."""
    backlog = Backlog(tmp_path)
    backlog.queue("q")
    return backlog


def test_memory_stays_within_the_budget(backlog: Backlog) -> None:
    backlog.fill("q")
    assert backlog.at_rest("q") > COUNT / 2
    assert backlog.broker.budget.used <= LIMIT
    assert backlog.ready("q") == COUNT
    assert backlog.numbers("q") == list(range(COUNT))
    assert held_bytes(backlog.broker) == 0
    backlog.end()


def test_the_longest_lines_go_first(backlog: Backlog) -> None:
    backlog.queue("short")
    backlog.fill("short", count=100)
    backlog.fill("q")
    assert backlog.at_rest("short") == 0
    assert backlog.at_rest("q") > 0
    backlog.end()


def test_what_was_taken_comes_back_to_its_place(backlog: Backlog) -> None:
    backlog.fill("q")
    taken = [backlog.get("q", no_ack=False) for _ in range(400)]
    assert [number(got) for got in taken] == list(range(400))
    backlog.peer.send(BasicNack(300, multiple=True, requeue=True))
    assert backlog.numbers("q") == [*range(300), *range(400, COUNT)]
    backlog.end()


def test_transient_messages_keep_their_place(backlog: Backlog) -> None:
    for start in range(0, COUNT, 300):
        backlog.fill("q", start, 290)
        backlog.fill("q", start + 290, 10, delivery_mode=1)
    assert backlog.at_rest("q") > COUNT / 2
    assert backlog.numbers("q") == list(range(COUNT))
    backlog.end()


def test_priorities(backlog: Backlog) -> None:
    backlog.queue("p", x_max_priority=2)
    for priority, first in ((0, 0), (2, 1000), (0, 2000)):
        backlog.fill("p", first, 1000, priority=priority)
    assert backlog.at_rest("p") > 1000
    assert backlog.numbers("p") == [*range(1000, 2000), *range(1000), *range(2000, 3000)]
    backlog.end()


def test_time_to_live(backlog: Backlog) -> None:
    backlog.queue("ttl", x_message_ttl=1000)
    backlog.fill("ttl", 0, 1500)
    backlog.pass_ms(600)
    backlog.fill("ttl", 1500, 1500)
    assert backlog.at_rest("ttl") > 1000
    backlog.pass_ms(399)
    assert backlog.ready("ttl") == 3000
    backlog.pass_ms(1)
    assert backlog.ready("ttl") == 1500
    assert backlog.numbers("ttl") == list(range(1500, 3000))
    backlog.end()


def test_length_limits_and_dead_letters(backlog: Backlog) -> None:
    backlog.queue("short", x_max_length=2500, x_dead_letter_exchange="", x_dead_letter_routing_key="q")
    backlog.fill("short")
    while len(backlog.broker.worklist):
        backlog.safe()
    backlog.safe()
    assert (backlog.ready("short"), backlog.ready("q")) == (2500, 500)
    assert backlog.numbers("q") == list(range(500))
    assert backlog.numbers("short") == list(range(500, COUNT))
    backlog.end()


def test_purge(backlog: Backlog, tmp_path: Path) -> None:
    backlog.fill("q")
    assert backlog.at_rest("q") > 0
    assert backlog.peer.call(QueuePurge("q"), QueuePurgeOk).message_count == COUNT
    assert (backlog.ready("q"), held_bytes(backlog.broker)) == (0, 0)
    backlog.fill("q", COUNT, 10)
    backlog.end()
    backlog = Backlog(tmp_path)
    assert backlog.numbers("q") == list(range(COUNT, COUNT + 10))
    backlog.end()


def test_a_deleted_queue_leaves_nothing(backlog: Backlog, tmp_path: Path) -> None:
    backlog.fill("q")
    backlog.broker.vhosts["/"].delete_queue("q", False, False, 0)
    backlog.broker.finish()
    assert held_bytes(backlog.broker) == 0
    backlog.end()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql:
        assert sql.execute("SELECT count(*) FROM chunks").fetchone() == (0,)


def test_restart(backlog: Backlog, tmp_path: Path) -> None:
    backlog.fill("q")
    taken = [backlog.number("q", no_ack=False) for _ in range(20)]
    assert taken == list(range(20))
    backlog.end()
    backlog = Backlog(tmp_path)
    backlog.fill("q", COUNT, 1000)
    assert backlog.at_rest("q") > COUNT / 2
    found = [backlog.get("q") for _ in range(COUNT + 1000)]
    assert [number(got) for got in found] == list(range(COUNT + 1000))
    flags = [getattr(got.method, "redelivered", None) for got in found]
    assert flags == [True] * 20 + [False] * (COUNT + 980)
    backlog.end()


def test_a_chunk_that_cannot_be_read_costs_its_messages_only(
    backlog: Backlog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backlog.fill("q")
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as sql:
        sql.execute("UPDATE chunks SET data = x'00' WHERE id = (SELECT max(id) - 1 FROM chunks)")
    found: list[int] = []
    with caplog.at_level(logging.ERROR, "leveret.store"):
        while backlog.ready("q"):
            found.append(backlog.number("q"))
    assert found == sorted(set(found))
    assert COUNT - 600 < len(found) < COUNT
    assert "messages cannot be read, and are set aside: chunk" in caplog.text
    backlog.end()


def test_transient_messages_rest_in_the_log_until_the_restart(backlog: Backlog, tmp_path: Path) -> None:
    backlog.fill("q", 0, 10)
    backlog.fill("q", 10, COUNT, delivery_mode=1)
    assert backlog.at_rest("q") > COUNT / 2
    assert backlog.broker.budget.used <= LIMIT + LIMIT // 5
    assert [backlog.number("q") for _ in range(1000)] == list(range(1000))
    backlog.fill("q", COUNT + 10, 10)
    backlog.safe()
    backlog.log.close()
    again = Backlog(tmp_path)
    assert again.ready("q") == 10
    assert again.numbers("q") == list(range(COUNT + 10, COUNT + 20))
    again.safe()
    again.log.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql:
        assert sql.execute("SELECT count(*) FROM chunks").fetchone()[0] == 0


def test_transient_messages_of_a_queue_that_is_deleted_leave_the_log(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path)
    backlog.broker.vhosts["/"].make_queue("q", False, 0, False, {})
    backlog.fill("q", delivery_mode=1)
    assert backlog.at_rest("q") > COUNT / 2
    assert [backlog.number("q") for _ in range(600)] == list(range(600))
    backlog.broker.vhosts["/"].delete_queue("q", False, False, 0)
    backlog.log.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql:
        assert sql.execute("SELECT count(*) FROM chunks").fetchone()[0] == 0
        assert sql.execute("SELECT count(*) FROM delivered").fetchone()[0] == 0


def test_transient_messages_that_rest_are_purged_and_die(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path)
    backlog.queue("letters")
    backlog.queue("q", x_dead_letter_exchange="", x_dead_letter_routing_key="letters", x_message_ttl=1000)
    backlog.fill("q", delivery_mode=1)
    assert backlog.at_rest("q") > COUNT / 2
    backlog.pass_ms(2000)
    backlog.safe()
    for _ in range(100):
        backlog.pass_ms(1)
        backlog.safe()
    assert (backlog.ready("q"), backlog.ready("letters")) == (0, COUNT)
    assert [backlog.number("letters") for _ in range(500)] == list(range(500))
    assert backlog.broker.vhosts["/"].queues["letters"].purge() == COUNT - 500
    backlog.safe()
    backlog.log.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql:
        assert sql.execute("SELECT count(*) FROM chunks").fetchone()[0] == 0


def test_a_queue_that_is_deleted_while_its_messages_are_on_their_way_to_rest(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path)
    backlog.broker.vhosts["/"].make_queue("q", False, 0, False, {})
    for number in range(COUNT):
        backlog.publish("q", b"%d" % number + PADDING, delivery_mode=1)
    backlog.broker.settle()  # they are sent to the log, which has written none of them
    backlog.broker.vhosts["/"].delete_queue("q", False, False, 0)
    backlog.safe()
    backlog.log.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql:
        assert sql.execute("SELECT count(*) FROM chunks").fetchone()[0] == 0
