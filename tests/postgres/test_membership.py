"""Nodes that share the shards of a cluster, and nodes that need all of them."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from leveret.cluster import schema
from leveret.cluster.database import Connection, connect
from leveret.cluster.errors import ClusterError
from leveret.cluster.membership import BEAT_S, CERTAIN_S, Listener, Membership
from leveret.cluster.ownership import DEAD_BEATS
from leveret.cluster.schema import SHARDS
from tests.postgres.server import Pair, eventually

ALL = [(shard, True) for shard in range(SHARDS)]


class Node(Listener):
    """A node that hands over at once what it is asked for. serves: shards that it owns, and whether they were clean."""

    def __init__(self, url: str, name: str) -> None:
        self.connection = connect(url)
        self.serves: dict[int, bool] = {}
        self.lost = ""
        self.member = Membership(name, f"{name}:1", lambda purpose: connect(url, purpose=purpose))

    def start(self) -> Node:
        """Enter, and begin."""
        self.serves.update(self.member.enter())
        self.member.keep(self.on_lost)
        self.member.begin(self)
        return self

    def on_lost(self, reason: str) -> None:
        """Remember."""
        self.lost = reason
        self.serves.clear()

    def on_gained(self, shards: list[tuple[int, bool]]) -> None:
        """Remember."""
        assert self.serves.keys().isdisjoint(shard for shard, _ in shards)
        self.serves.update(shards)

    def on_hand_over(self, shards: dict[int, int]) -> None:
        """As a commit does."""
        for shard in shards:
            del self.serves[shard]
        moved = self.connection.execute(
            "UPDATE shards SET node = m.node, is_clean = true FROM unnest(%s::int[], %s::bigint[]) m(shard, node)"
            " WHERE shards.shard = m.shard AND shards.node = %s",
            (list(shards), list(shards.values()), self.member.node),
        )
        assert moved.rowcount == len(shards)

    def end(self) -> None:
        """Stop, and leave."""
        self.member.stop()
        with contextlib.suppress(psycopg.Error):  # the database was killed
            self.member.leave(self.connection, {})
        self.connection.close()


class Cluster:
    """Starts nodes, and ends those that live."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.nodes: list[Node] = []

    def start(self, *names: str) -> list[Node]:
        """Start nodes one after the other, and wait until each has its share."""
        for name in names:
            node = Node(self.url, name)
            self.nodes.append(node)
            node.start()
            eventually(self.is_even, f"'{name}' has its share")
        return self.nodes[-len(names) :]

    def is_even(self) -> bool:
        """Whether the shards are spread over the nodes."""
        counts = [len(node.serves) for node in self.nodes if not node.member._is_over.is_set()]
        return sum(counts) == SHARDS and max(counts) - min(counts) <= 1


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A connection to a prepared database."""
    with connect(database_url) as found:
        schema.create(found)
        yield found


@pytest.fixture
def cluster(database_url: str, connection: Connection) -> Iterator[Cluster]:
    """A cluster without nodes."""
    found = Cluster(database_url)
    yield found
    for node in found.nodes:
        node.end()


def exclusive(url: str, name: str = "x") -> Membership:
    """A node that needs all shards."""
    return Membership(name, "", lambda purpose: connect(url, purpose=purpose))


def test_the_first_node_has_all_at_once(cluster: Cluster, connection: Connection) -> None:
    node = Node(cluster.url, "a")
    cluster.nodes.append(node)
    began_s = time.monotonic()
    assert node.member.enter() == ALL
    assert began_s < node.member.beat_s < time.monotonic()
    assert node.member.owned == set(range(SHARDS))
    assert node.member.was_clean
    assert node.member.is_certain()
    assert connection.execute("SELECT count(*) FROM shards WHERE is_clean").fetchone() == (0,)
    assert connection.execute("SELECT name, address FROM nodes").fetchall() == [("a", "a:1")]


def test_nodes_share_and_inherit(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "leveret.cluster")
    first, second, third = cluster.start("a", "b", "c")
    assert set(second.serves.values()) == set(third.serves.values()) == {True}
    of_third = set(third.serves)
    third.member.stop()
    stopped_s = time.monotonic()
    eventually(cluster.is_even, "the others have the shards")
    assert time.monotonic() - stopped_s < (DEAD_BEATS + 4) * BEAT_S
    assert {shard for node in (first, second) for shard, clean in node.serves.items() if not clean} == of_third
    second.end()
    cluster.nodes.remove(second)
    eventually(cluster.is_even, "the first has all")
    text = caplog.text
    for words in (
        "joins the cluster as node 'b'",
        f"hands 128 shards to node 'b' ({second.member.node})",
        f"takes 128 shards of node 'a' ({first.member.node})",
        f"node 'c' ({third.member.node}) is dead",
        f" shards of node 'b' ({second.member.node})",
    ):
        assert words in text
    assert text.count("is dead") == 1


def test_nodes_that_start_at_once(cluster: Cluster) -> None:
    nodes = [Node(cluster.url, name) for name in "abc"]
    cluster.nodes += nodes
    threads = [threading.Thread(target=node.start) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(cluster.is_even, "all have a share")


def test_the_heir_of_a_killed_node_has_all_before_it_begins(cluster: Cluster) -> None:
    (first,) = cluster.start("a")
    first.member.stop()
    began_s = time.monotonic()
    heir = Node(cluster.url, "b")
    cluster.nodes.append(heir)
    assert heir.member.enter() == [(shard, False) for shard in range(SHARDS)]
    assert DEAD_BEATS * BEAT_S <= time.monotonic() - began_s < 10


def test_a_node_drains(cluster: Cluster, connection: Connection, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "leveret.cluster")
    first, second = cluster.start("a", "b")
    connection.execute("UPDATE nodes SET is_draining = true WHERE name = 'a'")
    eventually(lambda: len(second.serves) == SHARDS, "the other one has all")
    assert first.serves == {}
    connection.execute("UPDATE nodes SET is_draining = false")
    eventually(cluster.is_even, "both have a share")
    assert "this node drains: it hands its shards to others" in caplog.text
    assert "this node drains no more" in caplog.text


def test_a_node_that_was_declared_dead_serves_nothing(cluster: Cluster, connection: Connection) -> None:
    first, _ = cluster.start("a", "b")
    connection.execute("DELETE FROM beats WHERE node = %s", (first.member.node,))
    eventually(lambda: first.lost, "it notices")
    assert first.lost == "another node has declared it dead"
    eventually(cluster.is_even, "the other one has all")


def test_a_database_that_stands_still_moves_nothing(cluster: Cluster, postgres: Pair) -> None:
    first, second = cluster.start("a", "b")
    before = dict(first.serves), dict(second.serves)
    for _ in range(2):
        postgres.primary.pause()
        time.sleep(CERTAIN_S + 2 * BEAT_S)
        assert not first.member.is_certain()
        postgres.primary.resume()
        eventually(first.member.is_certain, "it beats again")
    postgres.primary.kill()
    postgres.primary.start()
    eventually(lambda: first.member.is_certain() and second.member.is_certain(), "both beat again")
    time.sleep(2 * BEAT_S)
    assert (first.serves, second.serves) == before


def test_beats_go_on_while_a_dead_node_holds_a_lock(cluster: Cluster, connection: Connection) -> None:
    first, second = cluster.start("a", "b")
    with connection.transaction():
        connection.execute("SELECT 1 FROM nodes WHERE id = %s FOR SHARE", (second.member.node,))
        second.member.stop()
        for _ in range(12):
            time.sleep(BEAT_S)
            assert first.member.is_certain()
        assert len(first.serves) == SHARDS // 2
    eventually(cluster.is_even, "the heir has all")


# -- nodes that need all shards


def test_one_that_needs_all_is_refused_while_others_live(cluster: Cluster, database_url: str) -> None:
    cluster.start("a")
    with pytest.raises(ClusterError, match="node 'a' uses this database; stop it first"):
        exclusive(database_url).join(waits=False)
    cluster.nodes.pop().end()
    member = exclusive(database_url)
    member.join(waits=False)
    assert member.owned == set(range(SHARDS))
    member.stop()
    with connect(database_url) as connection:
        assert member.leave(connection, None)


def test_one_that_shares_waits_for_one_that_needs_all(
    cluster: Cluster, database_url: str, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    member = exclusive(database_url)
    member.join(waits=False, only_reads=True)
    member.keep(print)
    node = Node(database_url, "a")
    cluster.nodes.append(node)
    thread = threading.Thread(target=node.start)
    thread.start()
    thread.join(2 * DEAD_BEATS * BEAT_S)
    assert thread.is_alive()
    assert "node 'x' uses this database: this node waits to take its place" in caplog.text
    member.stop()
    assert member.leave(connection, None)
    thread.join()
    assert node.serves == dict(ALL)
