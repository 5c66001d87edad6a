"""`leveret cluster status`, `drain` and `undrain`, as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from leveret.cluster import schema
from leveret.cluster.database import Connection, connect
from leveret.cluster.rounds import PostgresRounds
from leveret.cluster.status import read_status
from tests.clients.command_line import good, leveret, refused
from tests.postgres.server import ADMINISTRATOR, Pair


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """A connection to a database with three nodes: a and b share the shards but two, c is dead."""
    with connect(database_url) as found:
        schema.create(found)
        rounds = PostgresRounds(lambda: connect(database_url))
        a, b, c = (rounds.enter(name, f"{name}:1") for name in "abc")
        shards = rounds.look().shards
        rounds.take(a, shards[:100])
        rounds.take(b, shards[100:254])
        rounds.take(c, shards[254:255])
        rounds.declare_dead(c, 0)
        rounds.beat(a)
        rounds.close()
        yield found


def test_status(connection: Connection, database_url: str, postgres: Pair, database: str) -> None:
    found = read_status(connection)
    assert [(node.name, node.id, node.is_alive, node.beat, node.shards) for node in found.nodes] == [
        ("a", 1, True, 1, 100),
        ("b", 2, True, 0, 154),
        ("c", 3, False, None, 1),
    ]
    assert not any(node.is_draining for node in found.nodes)
    assert all(timedelta() <= datetime.now(UTC) - node.since < timedelta(minutes=5) for node in found.nodes)
    assert found.free == 2
    assert found.server.startswith("PostgreSQL ")
    assert found.standbys is None  # the user may not see them
    assert found.chunk_bytes
    with connect(postgres.primary.url(database, ADMINISTRATOR)) as other:
        assert read_status(other).standbys == ("standby",)


def test_the_table(connection: Connection, database_url: str, postgres: Pair, database: str) -> None:
    first, head, *rows = good(leveret("cluster", "status", database_url)).splitlines()
    assert first.startswith("PostgreSQL ")
    assert ": 2 free shards; messages take " in first
    assert head.split("\t") == ["name", "id", "alive", "draining", "since", "beat", "shards"]
    assert [row.split("\t")[:4] + row.split("\t")[5:] for row in rows] == [
        ["a", "1", "yes", "no", "1", "100"],
        ["b", "2", "yes", "no", "0", "154"],
        ["c", "3", "no", "no", "", "1"],
    ]
    shown = json.loads(good(leveret("cluster", "status", postgres.primary.url(database, ADMINISTRATOR), "--json")))
    assert shown["synchronous_standbys"] == ["standby"]
    assert shown["free_shards"] == 2
    assert [node["name"] for node in shown["nodes"]] == ["a", "b", "c"]
    assert good(leveret("cluster", "status", postgres.standby.url(database))).startswith(first.partition(";")[0][:10])


def test_drain(connection: Connection, database_url: str) -> None:
    def draining() -> list[str]:
        return [node.name for node in read_status(connection).nodes if node.is_draining]

    assert good(leveret("cluster", "drain", database_url, "a")) == "Node 'a' hands its shards to other nodes.\n"
    assert draining() == ["a"]
    assert "no other node can take them" in good(leveret("cluster", "drain", database_url, "b"))
    assert good(leveret("cluster", "undrain", database_url, "a")) == "Node 'a' takes shards again.\n"
    assert draining() == ["b"]
    for word in ("drain", "undrain"):
        told = refused(leveret("cluster", word, database_url, "c"))
        assert told == "there is no node 'c' that could drain: the living nodes are 'a', 'b'"
    connection.execute("UPDATE nodes SET alive = false")
    assert refused(leveret("cluster", "drain", database_url, "a")).endswith("that could drain: no node lives")


def test_a_database_of_an_earlier_version(database_url: str) -> None:
    with connect(database_url) as connection:
        schema.create(connection, schema.UPGRADES[:0])
    for words in (("status", database_url), ("drain", database_url, "a")):
        assert "upgrade them with `leveret cluster init`" in refused(leveret("cluster", *words))


def test_missing_rights(connection: Connection, database_url: str, postgres: Pair, database: str) -> None:
    postgres.primary.ask("CREATE ROLE reader LOGIN")
    try:
        connection.execute("GRANT USAGE ON SCHEMA leveret TO reader")
        connection.execute("GRANT SELECT ON meta TO reader")
        url = postgres.primary.url(database, "reader")
        for words in (("status", url), ("drain", url, "a")):
            assert "permission denied for table nodes" in refused(leveret("cluster", *words))
    finally:
        postgres.primary.ask("DROP OWNED BY reader", database=database)
        with psycopg.connect(postgres.primary.url("postgres", ADMINISTRATOR), autocommit=True) as administrator:
            administrator.execute("DROP ROLE reader")
