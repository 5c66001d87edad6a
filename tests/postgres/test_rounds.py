"""The statements of rounds: in PostgreSQL, and as the tests of ownership have them in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from psycopg import errors

from leveret.cluster import schema
from leveret.cluster.database import Connection, connect
from leveret.cluster.ownership import Rounds, Shard, View
from leveret.cluster.rounds import PostgresRounds, leave
from leveret.cluster.schema import SHARDS
from tests.cluster.rows import Rows


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A connection to a prepared database."""
    with connect(database_url) as found:
        schema.create(found)
        yield found


@pytest.fixture
def postgres_rounds(database_url: str, connection: Connection) -> Iterator[PostgresRounds]:
    """The statements, in a prepared database."""
    found = PostgresRounds(lambda: connect(database_url, purpose="tests"))
    yield found
    found.close()


@pytest.fixture(params=["memory", "postgres"])
def rounds(request: pytest.FixtureRequest) -> Rounds:
    """The statements, in memory and in a prepared database."""
    if request.param == "memory":
        return Rows(SHARDS)
    found: PostgresRounds = request.getfixturevalue("postgres_rounds")
    return found


def owners(view: View) -> dict[int | None, list[int]]:
    """The shards by their owners."""
    found: dict[int | None, list[int]] = {}
    for shard in view.shards:
        found.setdefault(shard.node, []).append(shard.number)
    return found


def test_nodes_enter_and_beat(rounds: Rounds) -> None:
    first, second = rounds.enter("a", "a:1"), rounds.enter("b", None)
    assert second > first
    assert rounds.beat(first)
    assert rounds.beat(first)
    assert not rounds.beat(77)
    view = rounds.look()
    assert [(node.id, node.name, node.address, node.beat) for node in view.living()] == [
        (first, "a", "a:1", 2),
        (second, "b", None, 0),
    ]
    assert not any(node.is_draining for node in view.living())
    assert view.shards == [Shard(number, None, True) for number in range(SHARDS)]
    assert view.free() == view.shards


def test_a_node_is_dead_once(rounds: Rounds) -> None:
    first, second = rounds.enter("a", ""), rounds.enter("b", "")
    rounds.beat(second)
    assert not rounds.declare_dead(second, 0)
    assert rounds.beat(second)
    assert rounds.declare_dead(second, 2)
    assert not rounds.declare_dead(second, 2)
    assert not rounds.beat(second)
    assert [node.id for node in rounds.look().living()] == [first]


def test_what_is_free_is_taken(rounds: Rounds) -> None:
    first, second = rounds.enter("a", ""), rounds.enter("b", "")
    seen = rounds.look().shards
    assert rounds.take(first, seen[:3]) == {0, 1, 2}
    assert rounds.take(second, seen[2:5]) == {3, 4}
    assert rounds.look().shards[:6] == [
        *(Shard(number, first, False) for number in (0, 1, 2)),
        *(Shard(number, second, False) for number in (3, 4)),
        Shard(5, None, True),
    ]
    assert rounds.take(second, seen[4:7], least=3) == set()
    assert rounds.take(second, seen[5:7], least=2, keeps_clean=True) == {5, 6}
    assert rounds.look().shards[6] == Shard(6, second, True)
    assert rounds.take(second, [Shard(6, second, True)]) == {6}
    assert rounds.look().shards[6] == Shard(6, second, False)


def test_what_is_not_as_it_was_seen_is_not_taken(rounds: Rounds) -> None:
    first, second, third = (rounds.enter(name, "") for name in "abc")
    rounds.take(first, rounds.look().shards[:4])
    seen = rounds.look().shards
    assert rounds.take(third, seen[:4]) == set()  # of a node that lives
    assert rounds.declare_dead(first, 0)
    assert rounds.take(second, seen[:2]) == {0, 1}
    assert rounds.take(third, [Shard(2, None, False), Shard(3, first, True), *seen[:2]]) == set()
    assert rounds.take(third, seen[:4]) == {2, 3}
    assert rounds.take(first, rounds.look().shards[4:]) == set()  # by a node that is dead
    assert owners(rounds.look())[None] == list(range(4, SHARDS))


def test_dead_nodes_that_own_nothing_are_forgotten(rounds: Rounds) -> None:
    first, second, third = (rounds.enter(name, "") for name in "abc")
    rounds.take(first, rounds.look().shards[:1])
    for each in (first, second):
        rounds.declare_dead(each, 0)
    rounds.prune(third)
    assert list(rounds.look().nodes) == [first, third]
    rounds.take(third, rounds.look().shards[:1])
    rounds.prune(third)
    assert list(rounds.look().nodes) == [third]
    assert rounds.enter("d", "") > third


def test_nodes_that_enter_at_once_get_ids_of_their_own(database_url: str, connection: Connection) -> None:
    found: list[int] = []
    ready = threading.Barrier(6)

    def enter() -> None:
        each = PostgresRounds(lambda: connect(database_url))
        ready.wait()
        found.append(each.enter("x", ""))
        each.close()

    threads = [threading.Thread(target=enter) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [1, 2, 3, 4, 5, 6]


def test_a_statement_that_waits_looks_again(postgres_rounds: PostgresRounds, connection: Connection) -> None:
    """Another node, which has entered since this statement began, takes a shard while this one waits for the row."""
    rounds = postgres_rounds
    first = rounds.enter("a", "")
    rounds._opened().execute("SET lock_timeout = 0")
    seen = rounds.look().shards
    taken: list[set[int]] = []
    with connection.transaction():
        connection.execute("SELECT 1 FROM shards WHERE shard = 0 FOR UPDATE")
        thread = threading.Thread(target=lambda: taken.append(rounds.take(first, seen[:2])))
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        connection.execute("INSERT INTO nodes (id, name, address, session, alive) VALUES (2, 'b', '', 1, true)")
        connection.execute("UPDATE shards SET node = 2, is_clean = false WHERE shard = 0")
    thread.join()
    assert taken == [{1}]


def test_no_statement_waits_long_for_a_lock(postgres_rounds: PostgresRounds, connection: Connection) -> None:
    rounds = postgres_rounds
    first, second = rounds.enter("a", ""), rounds.enter("b", "")
    with connection.transaction():
        connection.execute("SELECT 1 FROM nodes WHERE id = %s FOR SHARE", (second,))
        with pytest.raises(errors.LockNotAvailable):
            rounds.declare_dead(second, 0)
        assert rounds.beat(first)
    assert rounds.beat(second)
    assert rounds.declare_dead(second, 1)


def test_a_node_that_leaves_gives_up_its_own(postgres_rounds: PostgresRounds, connection: Connection) -> None:
    rounds = postgres_rounds
    first, second = rounds.enter("a", ""), rounds.enter("b", "")
    rounds.take(first, rounds.look().shards[:4])
    rounds.take(second, rounds.look().shards[4:])
    for queue in (1, 2, 5, 6, 257):
        connection.execute("INSERT INTO delivered VALUES (%s, %s, 10)", (queue % SHARDS, queue))
    assert leave(connection, first, {1: 11, 3: 13, 6: 16}, [])
    rows = connection.execute("SELECT shard, queue, position FROM delivered ORDER BY queue").fetchall()
    assert rows == [(1, 1, 11), (3, 3, 13), (5, 5, 10), (6, 6, 10)]
    view = rounds.look()
    assert view.shards[:4] == [Shard(number, None, True) for number in range(4)]
    assert owners(view)[second] == list(range(4, SHARDS))
    assert [node.id for node in view.living()] == [second]
    assert not leave(connection, first, {1: 12}, [])
    assert leave(connection, second, None, [5])
    assert [shard.number for shard in rounds.look().shards if shard.is_clean] == [0, 1, 2, 3, 5]
    assert connection.execute("SELECT shard, queue, position FROM delivered ORDER BY queue").fetchall() == rows
    assert connection.execute("SELECT count(*) FROM beats").fetchone() == (0,)
