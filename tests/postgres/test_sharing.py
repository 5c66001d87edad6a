"""Definitions and shards that several nodes share, in a real PostgreSQL."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest

from leveret.cluster import feed as feed_module
from leveret.cluster import heads as heads_module
from leveret.cluster import schema
from leveret.cluster.database import Connection, connect
from leveret.cluster.feed import Change, Feed
from leveret.cluster.loader import Batch, Loader
from leveret.core.message.log import Resting
from tests.postgres.server import eventually
from tests.postgres.test_store import PATIENCE_S, Node

OTHER = 99  # the id of another node

PUT = """
WITH changed AS (UPDATE leveret.revision SET value = value + 1 RETURNING value)
INSERT INTO leveret.definitions (kind, key, value, revision, place) SELECT %s, %s, %s, value, value FROM changed
ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, revision = excluded.revision"""


def put(url: str, key: str, value: bytes | None) -> None:
    """Set a definition, as another node does."""
    with psycopg.connect(url) as connection:
        connection.execute(PUT, ("queue", key.encode(), value))


def connect_for(url: str, purpose: str) -> Connection:
    """Connect as a node does."""
    return connect(url, purpose=purpose)


def add_node(url: str) -> None:
    """Another node, which lives."""
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO leveret.nodes (id, name, session, alive) VALUES (%s, 'b', 1, true)", (OTHER,))


# -- definitions


def test_a_definition_that_another_node_has_created_first_stays_as_it_is(database_url: str) -> None:
    node = Node(database_url)
    put(database_url, "a", b"theirs")
    put(database_url, "b", b"the same")
    put(database_url, "c", b"old")
    put(database_url, "c", None)
    revision = {}
    for key, value in ("a", b"mine"), ("b", b"the same"), ("c", b"new"), ("d", b"new"):
        revision[key] = node.log.put("queue", key, value, True)
    node.log.flush()
    node.wait(lambda: node.heard.revision)
    assert node.heard.conflicts == [("queue", "a", b"theirs", revision["a"])]
    node.log.close()
    again = Node(database_url)
    found = {key: value for _, key, value in again.log.load()}
    assert found == {"a": b"theirs", "b": b"the same", "c": b"new", "d": b"new"}
    again.log.close()


def test_a_definition_that_is_changed_and_not_created_replaces_any(database_url: str) -> None:
    node = Node(database_url)
    put(database_url, "a", b"theirs")
    node.log.put("queue", "a", b"mine")
    node.log.put("queue", "b", b"first", True)
    node.log.put("queue", "b", b"second")
    node.log.put("queue", "c", b"short-lived", True)
    node.log.delete("queue", "c")
    node.log.flush()
    node.wait(lambda: node.heard.revision)
    assert node.heard.conflicts == []
    assert {key: value for _, key, value in node.log.load()} == {"a": b"mine", "b": b"second"}
    node.log.close()


class Follower:
    """A feed, and what it has told. changed: by key, the latest value."""

    def __init__(self, url: str, revision: int = 0) -> None:
        self._arrived = threading.Condition()
        self.changes: list[Change] = []
        self.complete: list[Change] | None = None  # the last time that it told of all definitions
        self.revision = revision
        self.feed = Feed(functools.partial(connect_for, url), "b follows", revision, lambda: 0, self._take)
        self.feed.begin()

    def _take(self) -> None:
        news = self.feed.take()
        assert news is not None
        with self._arrived:
            self.changes += news.changes
            if news.is_complete:
                self.complete = news.changes
            self.revision = news.revision
            self._arrived.notify_all()

    def wait(self, revision: int) -> None:
        """Wait until the changes up to a revision are there."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: self.revision >= revision, PATIENCE_S)


@pytest.fixture
def followed(database_url: str) -> Iterator[Follower]:
    """A feed of a prepared database."""
    with connect(database_url) as connection:
        schema.create(connection)
    follower = Follower(database_url)
    yield follower
    follower.feed.close()


def test_a_feed_tells_of_all_changes_in_order(
    followed: Follower, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "STEP", 3)
    node = Node(database_url)
    for number in range(10):
        node.log.put("queue", f"own {number}", b"%d" % number, True)
    node.log.flush()
    put(database_url, "theirs", b"1")
    node.log.delete("queue", "own 3")
    node.log.flush()
    node.wait(lambda: node.heard.revision >= 11)
    put(database_url, "last", b"\xff")
    followed.wait(13)
    latest = {key: value for _, key, value in followed.changes}
    own: dict[str, bytes | None] = {f"own {number}": b"%d" % number for number in range(10)}
    assert latest == {**own, "own 3": None, "theirs": b"1", "last": b"\xff"}
    assert followed.changes[-1] == ("queue", "last", b"\xff")
    node.log.close()


def test_a_change_is_told_without_polling(
    followed: Follower, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(database_url, "a", b"1")
    followed.wait(1)
    monkeypatch.setattr(feed_module, "POLL_S", 3600.0)
    put(database_url, "b", b"1")  # the current wait ends by itself
    followed.wait(2)
    node = Node(database_url)
    node.log.put("queue", "c", b"1", True)
    node.log.flush()
    node.wait(lambda: node.heard.revision)
    followed.wait(3)
    node.log.close()
    with psycopg.connect(database_url) as connection:
        connection.execute("NOTIFY leveret")  # so that the feed looks whether it is to end
        followed.feed._is_closing.set()


def test_a_feed_goes_on_after_its_connection_broke(followed: Follower, database_url: str) -> None:
    put(database_url, "a", b"1")
    followed.wait(1)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'leveret b follows'"
        )
    put(database_url, "b", b"1")
    followed.wait(2)
    assert followed.changes[0] == ("queue", "a", b"1")
    assert followed.changes[-1] == ("queue", "b", b"1")


def test_a_feed_tells_of_all_that_is_left_when_the_database_has_forgotten_something(
    followed: Follower, database_url: str
) -> None:
    for key in "a", "b", "c":
        put(database_url, key, b"1")
    put(database_url, "c", None)
    followed.wait(4)
    assert followed.complete is None
    with psycopg.connect(database_url) as connection:  # as after a fail-over
        connection.execute("DELETE FROM leveret.definitions WHERE key = 'b'")
        connection.execute("UPDATE leveret.revision SET value = 1")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'leveret b follows'"
        )
    eventually(lambda: followed.complete == [("queue", "a", b"1")], "all that is left is told")
    put(database_url, "d", b"1")
    eventually(lambda: followed.changes[-1] == ("queue", "d", b"1"), "later changes are told")


# -- shards


def loaded(
    shards: list[int], opened: Callable[[str], Connection], tell: Callable[[], None] = lambda: None
) -> list[Batch]:
    """What a loader finds. tell: called for each batch."""
    arrived = threading.Event()

    def notify() -> None:
        tell()
        arrived.set()

    loader = Loader(opened, "b loads", lambda heads: None, notify)
    loader.load(shards, True)
    batches: list[Batch] = []
    while not batches or not batches[-1].is_last:
        assert arrived.wait(PATIENCE_S)
        arrived.clear()
        while (batch := loader.take()) is not None:
            batches.append(batch)
    loader.close()
    return batches


def owners(url: str) -> dict[int, tuple[int, bool]]:
    """The owner of each shard, and whether it was given up properly."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT shard, node, is_clean FROM leveret.shards").fetchall()
    return {shard: (node, is_clean) for shard, node, is_clean in rows}


def test_a_released_shard_belongs_to_the_other_node_with_all_of_its_changes(database_url: str) -> None:
    node = Node(database_url)
    assert node.recovered() == []
    node.written(3, queue_id=7)
    node.written(2, queue_id=8)
    node.log.remove(7, 1)
    node.log.delivered(7, 2)
    node.log.delivered(8, 4)
    add_node(database_url)
    node.log.release([7], OTHER)
    node.log.flush()
    node.wait(lambda: owners(database_url)[7][0] == OTHER)
    found = owners(database_url)
    assert found[7] == (OTHER, True)
    assert {owner for shard, owner in found.items() if shard != 7} == {found[0]}
    batches = loaded([7], functools.partial(connect_for, database_url))
    assert [sorted(batch.marks.items()) for batch in batches] == [[(7, 2)]] * len(batches)
    labels = [label for batch in batches for chunk in batch.found for label in chunk.head.labels]
    places = [(place.queue_id, place.position) for label in labels for place in label.places]
    assert places == [(7, 2), (7, 3)]
    node.written(1, queue_id=8)
    node.log.close()


def test_a_log_takes_a_shard_while_it_runs(database_url: str) -> None:
    node = Node(database_url)
    node.recovered()
    node.written(5, queue_id=7)
    node.log.delivered(7, 2)
    add_node(database_url)
    node.log.release([7], OTHER)
    node.log.flush()
    node.wait(lambda: owners(database_url)[7][0] == OTHER)
    with psycopg.connect(database_url) as connection:  # it comes back
        connection.execute("UPDATE leveret.shards SET node = %s WHERE shard = 7", (node.store._member.node,))
    node.log.gain([7])
    found: list[Resting] = []
    for batch in loaded([7], functools.partial(connect_for, database_url)):
        found += [each for each in node.log.absorb(batch.found, batch.marks, True) if isinstance(each, Resting)]
    node.log.absorbed([7])
    assert [(each.queue_id, each.last) for each in found] == [(7, 5)]
    node.log.remove(7, 1)
    last = node.append(1, queue_id=7)
    node.wait(lambda: node.heard.durable.get(7) == last)
    node.log.close()
    again = Node(database_url)
    assert [each.position for each in again.recovered() if not isinstance(each, Resting)] == [2, 3, 4, 5, 6]
    again.log.close()


def test_a_loader_goes_on_after_its_connection_broke(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(database_url)
    for _ in range(3):
        node.written(1, queue_id=7)
    node.log.close()
    monkeypatch.setattr(heads_module, "CHUNKS", heads_module.CHUNKS.replace("LIMIT 100", "LIMIT 1"))
    connections: list[Connection] = []

    def opened(purpose: str) -> Connection:
        connections.append(connect_for(database_url, purpose))
        return connections[-1]

    batches = loaded([7], opened, lambda: connections[0].close())
    chunks = [chunk.chunk_id for batch in batches for chunk in batch.found]
    assert len(chunks) == len(set(chunks)) == 3
    assert len(connections) == 2
