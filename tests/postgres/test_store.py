"""The store in PostgreSQL when things fail: connections, waits for the standby, this node, other nodes, rows."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import psycopg
import pytest

from leveret.cluster import store as store_module
from leveret.cluster.membership import BEAT_S
from leveret.cluster.ownership import DEAD_BEATS
from leveret.core.message.log import NotHereYet, Recovered, Resting
from leveret.store.chunk_log import LOAD_BYTES, ChunkLog
from leveret.store.group import CHUNK_BYTES
from leveret.store.index import SPARSE_KEPT
from tests.postgres.server import Pair, Server, eventually
from tests.postgres.stores import open_store
from tests.store.test_logs import Heard, message

PATIENCE_S = 30


class Listener(Heard):
    """Remembers also for which queues something was fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[int] = []

    def on_fetched(self, queue_id: int) -> None:
        """Remember."""
        self.fetched.append(queue_id)


class Node:
    """The log of a node, and what it was told. lost: why it has lost its place."""

    def __init__(self, url: str, name: str = "a", load_bytes: int = LOAD_BYTES) -> None:
        self.lost: SimpleQueue[str] = SimpleQueue()
        self.heard = Listener()
        self._done: SimpleQueue[None] = SimpleQueue()
        self.store = open_store(url, self.lost.put, name)
        self.log = ChunkLog(self.store, lambda: self._done.put(None), load_bytes)
        self.log.listener = self.heard
        self.next = 1

    def recovered(self) -> list[Recovered | Resting]:
        """What the last node has left."""
        return list(self.log.recover())

    def append(self, count: int = 1, size: int = 10, queue_id: int = 1) -> int:
        """Hand messages over. Returns: the position of the last one."""
        for _ in range(count):
            self.log.append(queue_id, self.next, message(bytes(size)), 0)
            self.next += 1
        self.log.flush()
        return self.next - 1

    def wait(self, holds: Callable[[], object]) -> None:
        """Tell what happens until something holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            self._done.get(timeout=max(0.01, deadline - time.monotonic()))
            self.log.on_committed()

    def written(self, count: int = 1, size: int = 10, queue_id: int = 1) -> int:
        """Append, and wait until all is safe. Returns: the position of the last one."""
        last = self.append(count, size, queue_id)
        self.wait(lambda: self.heard.durable.get(queue_id) == last)
        assert self.heard.refused == []
        return last

    def vanish(self) -> None:
        """Stop without a word, as a killed process does."""
        self.store._member.stop()
        self.store._connection.close()


def commits(server: Server) -> list[int]:
    """The processes of PostgreSQL that serve connections for commits."""
    rows = server.ask("SELECT pid FROM pg_stat_activity WHERE application_name LIKE '%%commits' AND state = 'active'")
    return [int(row[0]) for row in rows]


def waiting(server: Server) -> bool:
    """Whether a commit waits for the standby."""
    return bool(
        server.ask("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name LIKE '%%commits'")
    )


def positions(url: str) -> list[int]:
    """Of queue 1, as the next node finds them."""
    node = Node(url)
    found = [each.position for each in node.recovered() if isinstance(each, Recovered) and each.queue_id == 1]
    node.log.close()
    return found


def rows(url: str, table: str) -> int:
    """The number of rows of a table."""
    with psycopg.connect(url) as connection:
        found = connection.execute(f"SELECT count(*) FROM leveret.{table}").fetchone()
        assert found is not None
        return int(found[0])


# -- connections, and commits of unknown outcome


def test_a_commit_that_loses_its_connection_is_neither_lost_nor_doubled(database_url: str, postgres: Pair) -> None:
    node = Node(database_url)
    node.written()
    postgres.standby.pause()
    last = node.append(3)
    eventually(lambda: waiting(postgres.primary), "the commit waits for the standby")
    for process in commits(postgres.primary):
        postgres.primary.ask("SELECT pg_terminate_backend(%s)", process)
    time.sleep(0.3)
    assert node.heard.durable == {1: 1}
    postgres.standby.resume()
    node.wait(lambda: node.heard.durable == {1: last})
    node.log.close()
    assert positions(database_url) == [1, 2, 3, 4]


def test_a_commit_that_never_arrived_is_sent_again(database_url: str, postgres: Pair) -> None:
    node = Node(database_url)
    node.written()
    node.store._connection.close()
    assert node.written(3) == 4
    postgres.primary.kill()
    last = node.append(3)
    postgres.primary.start()
    node.wait(lambda: node.heard.durable == {1: last})
    assert node.heard.refused == []
    node.log.close()
    assert positions(database_url) == list(range(1, 8))


def test_removals_and_definitions_whose_outcome_is_unknown_are_applied_once(database_url: str, postgres: Pair) -> None:
    node = Node(database_url)
    node.written(4)
    for change in (
        lambda: node.log.remove(1, 2),
        lambda: node.log.put("queue", "a", b"1"),
        lambda: node.log.remove(1, 3),
    ):
        postgres.standby.pause()
        change()
        node.log.flush()
        eventually(lambda: waiting(postgres.primary), "the commit waits for the standby")
        for process in commits(postgres.primary):
            postgres.primary.ask("SELECT pg_terminate_backend(%s)", process)
        postgres.standby.resume()
        node.written()
    assert node.log.failed_bytes == 0
    node.log.close()
    again = Node(database_url)
    assert again.log.load() == [("queue", "a", b"1")]
    again.recovered()
    again.log.close()
    assert positions(database_url) == [1, 4, 5, 6, 7]


def test_a_cancelled_wait_for_the_standby_is_no_confirm(database_url: str, postgres: Pair) -> None:
    node = Node(database_url)
    node.written()
    postgres.standby.pause()
    last = node.append()
    eventually(lambda: waiting(postgres.primary), "the commit waits for the standby")
    for process in commits(postgres.primary):
        postgres.primary.ask("SELECT pg_cancel_backend(%s)", process)
    eventually(lambda: waiting(postgres.primary), "it waits again")
    node.log.on_committed()
    assert node.heard.durable == {1: 1}
    postgres.standby.resume()
    node.wait(lambda: node.heard.durable == {1: last})
    node.log.close()


def test_a_session_that_was_raised_late_does_not_end_the_node(database_url: str) -> None:
    node = Node(database_url)
    node.written()
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE leveret.nodes SET session = session + 1")
    node.append()
    node.wait(lambda: node.heard.durable == {1: 2})
    assert node.store._writer.session == 3
    node.log.close()
    assert positions(database_url) == [1, 2]


# -- what the server refuses


def test_what_the_server_refuses_is_refused_until_it_works(database_url: str) -> None:
    node = Node(database_url)
    node.written(2)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE leveret.chunks ADD CONSTRAINT full_disk CHECK (id < 0) NOT VALID")
        node.log.put("queue", "a", b"1")
        node.log.remove(1, 1)
        node.append()
        node.wait(lambda: node.heard.refused)
        assert node.heard.refused == [(1, [3])]
        assert node.log.failed_bytes > 0
        connection.execute("ALTER TABLE leveret.chunks DROP CONSTRAINT full_disk")
    node.log.try_again()
    node.wait(lambda: node.heard.revision)
    assert node.log.failed_bytes == 0
    node.log.close()
    again = Node(database_url)
    assert again.log.load() == [("queue", "a", b"1")]
    again.log.close()
    assert positions(database_url) == [2]


# -- other nodes


def test_a_dead_node_is_replaced_after_five_beats(database_url: str) -> None:
    node = Node(database_url, "first")
    node.written(3)
    node.log.delivered(1, 1)
    node.vanish()
    began_s = time.monotonic()
    heir = Node(database_url, "second")
    assert DEAD_BEATS * BEAT_S <= time.monotonic() - began_s < PATIENCE_S
    found = heir.recovered()
    assert [(each.position, each.redelivered) for each in found if isinstance(each, Recovered)] == [
        (1, True),
        (2, True),
        (3, True),
    ]
    heir.log.close()


def test_a_node_that_was_replaced_can_write_nothing(database_url: str) -> None:
    node = Node(database_url, "first")
    node.written(2)
    node.store._member.stop()  # it beats no more, and does not know it
    heir = Node(database_url, "second")
    heir.recovered()
    node.append()
    node.wait(lambda: node.heard.refused)
    assert "declared it dead" in node.lost.get(timeout=PATIENCE_S)
    node.log.close()
    heir.log.close()
    assert positions(database_url) == [1, 2]


def test_a_node_learns_from_its_beats_that_it_was_replaced(database_url: str) -> None:
    node = Node(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM leveret.beats")
    assert node.lost.get(timeout=PATIENCE_S) == "another node has declared it dead"
    node.log.close()


def test_a_database_that_stands_still_makes_nobody_suspect_another(database_url: str, postgres: Pair) -> None:
    node = Node(database_url, "first")
    heirs: SimpleQueue[Node] = SimpleQueue()
    thread = threading.Thread(target=lambda: heirs.put(Node(database_url, "second")))
    thread.start()
    for _ in range(2):
        time.sleep(3 * BEAT_S)
        postgres.primary.pause()
        time.sleep(2 * DEAD_BEATS * BEAT_S)
        postgres.primary.resume()
        node.written()
    assert heirs.empty()
    assert node.lost.empty()
    node.log.close()
    heir = heirs.get(timeout=PATIENCE_S)
    thread.join()
    assert len(heir.recovered()) == 2
    heir.log.close()


# -- rows


def test_messages_are_fetched_while_the_loop_goes_on(database_url: str) -> None:
    node = Node(database_url)
    node.written(10)
    node.written(10)
    node.log.counted(1, 5, 3)
    node.log.flush()
    node.log.close()
    node = Node(database_url, load_bytes=0)
    (first, second) = node.recovered()
    assert isinstance(first, Resting)
    assert isinstance(second, Resting)
    wanted = first.positions() + second.positions()
    with pytest.raises(NotHereYet):
        node.log.fetch(1, wanted)
    found: list[Recovered] = []

    def are_here() -> bool:
        with contextlib.suppress(NotHereYet):
            found.extend(node.log.fetch(1, wanted))
        return bool(found)

    node.wait(lambda: node.heard.fetched and are_here())
    assert [(each.position, each.counts) for each in found] == [(each, 3 * (each == 5)) for each in range(1, 21)]
    with pytest.raises(NotHereYet):  # it is read again, as rows may have changed
        node.log.fetch(1, wanted)
    node.log.close()


def test_messages_of_a_gained_shard_are_fetched_later(database_url: str) -> None:
    node = Node(database_url)
    node.written(10)
    node.written(10)
    node.log.delivered(1, 12)
    node.log.close()
    with psycopg.connect(database_url) as connection:  # the next node finds nothing at its start
        connection.execute("CREATE TABLE leveret.later AS SELECT * FROM leveret.chunks")
        connection.execute("DELETE FROM leveret.chunks")
    node = Node(database_url)
    marks = node.store.delivered()
    assert node.recovered() == []
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO leveret.chunks SELECT * FROM leveret.later")
    node.log.gain([1])
    wanted = b""
    for resting in node.log.absorb(list(node.store.chunks()), marks, True):
        assert isinstance(resting, Resting)
        wanted += resting.positions()
    node.log.absorbed([1])
    with pytest.raises(NotHereYet):
        node.log.fetch(1, wanted)
    node.wait(lambda: len(node.heard.fetched) == 2)
    found = node.log.fetch(1, wanted)
    assert [(each.position, each.redelivered) for each in found] == [(each, each <= 12) for each in range(1, 21)]
    node.next = 21
    node.written()
    node.log.remove(1, 1)
    node.log.close()
    assert positions(database_url) == list(range(2, 22))


def test_a_fetch_waits_for_a_database_that_is_away(database_url: str, postgres: Pair) -> None:
    node = Node(database_url)
    node.written(10)
    node.log.close()
    node = Node(database_url, load_bytes=0)
    (resting,) = node.recovered()
    assert isinstance(resting, Resting)
    postgres.primary.kill()
    with pytest.raises(NotHereYet):
        node.log.fetch(1, resting.positions())
    time.sleep(0.5)
    assert node.heard.fetched == []
    postgres.primary.start()
    node.wait(lambda: node.heard.fetched)
    assert len(node.log.fetch(1, resting.positions())) == 10
    node.log.close()


def test_a_chunk_with_few_messages_left_is_rewritten_and_then_deleted(database_url: str) -> None:
    node = Node(database_url)
    last = node.written(100)
    for _ in range(SPARSE_KEPT + 1):
        last = node.written(100)
    for position in range(1, last + 1):
        if position % 10:
            node.log.remove(1, position)
    node.log.counted(1, 10, 2)
    node.log.flush()
    node.wait(lambda: node.log.counters.commits == SPARSE_KEPT + 3)
    node.written(queue_id=2)
    left = list(range(10, last + 1, 10))
    assert rows(database_url, "gone") < SPARSE_KEPT + 2
    node.vanish()
    node = Node(database_url)
    found = [each for each in node.recovered() if isinstance(each, Recovered) and each.queue_id == 1]
    assert [each.position for each in found] == left
    assert found[0].counts == 2
    for position in left:
        node.log.remove(1, position)
    node.log.drop(2)
    node.log.close()
    assert [rows(database_url, table) for table in ("chunks", "gone", "counts")] == [0, 0, 0]


def test_queues_of_different_shards_share_no_chunk(database_url: str) -> None:
    node = Node(database_url)
    body = message(b"for all")
    for queue_id in (1, 2, 257, -1):
        node.log.append(queue_id, 1, body, 0)
    node.log.flush()
    node.wait(lambda: len(node.heard.durable) == 4)
    node.log.drop(-1)
    node.log.close()
    assert rows(database_url, "chunks") == 2
    node = Node(database_url)
    found = [each for each in node.recovered() if isinstance(each, Recovered)]
    assert sorted((each.queue_id, each.message.body()) for each in found) == [
        (each, b"for all") for each in (1, 2, 257)
    ]
    node.log.close()


@pytest.mark.parametrize("column", ["head", "data"])
def test_a_damaged_chunk_is_set_aside(database_url: str, column: str) -> None:
    node = Node(database_url)
    node.written(3)
    node.written(3)
    node.log.close()
    with psycopg.connect(database_url) as connection:
        middle = f"UPDATE leveret.chunks SET {column} = set_byte({column}, length({column}) / 2, 255) WHERE id = 1"
        connection.execute(middle)
    for _ in range(2):
        node = Node(database_url)
        found = [each.position for each in node.recovered() if isinstance(each, Recovered) and each.queue_id == 1]
        assert found[-3:] == [4, 5, 6]
        assert len(found) < 6
        node.written(queue_id=2)
        assert rows(database_url, "aside") == 1
        node.log.close()


def test_space_of_deleted_chunks_is_used_again(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "VACUUM_BYTES", 4 * CHUNK_BYTES)
    node = Node(database_url)

    def size() -> int:
        with psycopg.connect(database_url) as connection:
            row = connection.execute("SELECT pg_total_relation_size('leveret.chunks')").fetchone()
            assert row is not None
            return int(row[0])

    sizes: list[int] = []
    for _ in range(12):
        last = node.written(4, CHUNK_BYTES // 4 * 3)
        for position in range(last - 3, last + 1):
            node.log.remove(1, position)
        node.log.flush()
        node.written(queue_id=2)
        if node.store._vacuum is not None:
            node.store._vacuum.join()
        sizes.append(size())
    assert sizes[-1] <= 1.2 * max(sizes[:6])
    node.log.close()


def test_the_end_does_not_wait_for_a_database_that_is_gone(
    database_url: str, postgres: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LEAVE_S", 0.5)
    node = Node(database_url)
    node.written()
    postgres.primary.kill()
    node.append()
    node.log.close()
    postgres.primary.start()
    assert positions(database_url) == [1]
