"""The tables of a cluster: made once, whoever makes them, and upgraded; a newer version is refused."""

from __future__ import annotations

import re
import threading

import pytest

from leveret.cluster import schema
from leveret.cluster.database import connect
from leveret.cluster.errors import ClusterError
from leveret.cluster.schema import NAMES, SHARDS, VERSION, Meta, Outcome
from tests.postgres.server import Pair


def tables(url: str) -> list[tuple[object, ...]]:
    """All columns of the schema."""
    with connect(url) as connection:
        return connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
            " WHERE table_schema = 'leveret' ORDER BY 1, ordinal_position"
        ).fetchall()


def test_there_are_tables(database_url: str) -> None:
    with connect(database_url) as connection:
        assert schema.read(connection) is None
        assert schema.create(connection) is Outcome.CREATED
        found = schema.read(connection)
        assert found is not None
        assert found.version == VERSION
        assert len(found.cluster) == 32
        assert schema.require(connection) == found
        shards = connection.execute("SELECT shard FROM shards WHERE node IS NULL AND is_clean ORDER BY 1").fetchall()
        assert shards == [(number,) for number in range(SHARDS)]
        assert connection.execute("SELECT one, value FROM revision").fetchall() == [(1, 0)]
        compression = connection.execute(
            "SELECT attcompression FROM pg_attribute WHERE attrelid = 'chunks'::regclass AND attname = 'data'"
        ).fetchone()
        assert compression == ("l" if schema.has_lz4(connection) else "",)
    assert {row[0] for row in tables(database_url)} == set(NAMES)


def test_making_them_again_changes_nothing(database_url: str) -> None:
    with connect(database_url) as connection:
        schema.create(connection)
        before = schema.read(connection), tables(database_url)
        connection.execute("UPDATE revision SET value = 7")
        assert schema.create(connection) is Outcome.PRESENT
        assert (schema.read(connection), tables(database_url)) == before
        assert connection.execute("SELECT value FROM revision").fetchall() == [(7,)]


@pytest.mark.parametrize("has_schema", [False, True])
def test_many_make_them_at_once(database_url: str, has_schema: bool) -> None:
    outcomes: list[Outcome] = []
    ready = threading.Barrier(6)

    def make() -> None:
        with connect(database_url) as connection:
            ready.wait()
            outcomes.append(schema.create(connection))

    if has_schema:
        with connect(database_url) as connection:
            connection.execute("CREATE SCHEMA leveret")
    threads = [threading.Thread(target=make) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(outcomes) == [Outcome.CREATED, *[Outcome.PRESENT] * 5]


def test_a_newer_version_is_refused(database_url: str) -> None:
    with connect(database_url) as connection:
        schema.create(connection)
        connection.execute("UPDATE meta SET version = %s", (VERSION + 1,))
        text = f"have version {VERSION + 1}, this Leveret knows versions up to {VERSION}: use the newer Leveret"
        with pytest.raises(ClusterError, match=text):
            schema.create(connection)
        with pytest.raises(ClusterError, match=text):
            schema.require(connection)


UPGRADES = (
    *schema.UPGRADES,
    ("ALTER TABLE leveret.nodes ADD COLUMN zone text", "UPDATE leveret.nodes SET zone = 'here'"),
    ("ALTER TABLE leveret.nodes ADD COLUMN rack text",),
)


def test_an_older_version_is_upgraded(database_url: str) -> None:
    with connect(database_url) as connection:
        schema.create(connection)
        before = schema.read(connection)
        assert before is not None
        connection.execute("INSERT INTO nodes VALUES (1, 'a', 'here', 0, true)")
        assert "upgrade them with `leveret cluster init`" in schema.unusable(before, VERSION + 2)
        assert schema.create(connection, UPGRADES) is Outcome.UPGRADED
        assert schema.read(connection) == Meta(VERSION + 2, before.cluster)
        assert connection.execute("SELECT zone, rack FROM nodes").fetchall() == [("here", None)]
        assert schema.create(connection, UPGRADES) is Outcome.PRESENT


def test_version_1_is_upgraded(database_url: str) -> None:
    with connect(database_url) as connection:
        schema.create(connection, schema.UPGRADES[:0])
        before = schema.read(connection)
        assert before is not None
        assert before.version == 1
        connection.execute("INSERT INTO nodes VALUES (1, 'a', 'here', 5, true)")
        connection.execute("UPDATE shards SET node = 1, is_clean = false WHERE shard = 7")
        assert schema.create(connection) is Outcome.UPGRADED
        assert schema.require(connection) == Meta(VERSION, before.cluster)
        query = "SELECT id, name, address, session, alive, is_draining, now() - since < '1 min' FROM nodes"
        assert connection.execute(query).fetchall() == [(1, "a", "here", 5, True, False, True)]
        assert connection.execute("SELECT shard FROM shards WHERE node = 1 AND NOT is_clean").fetchall() == [(7,)]
        secret = connection.execute("SELECT secret FROM meta").fetchall()
        assert re.fullmatch("[0-9a-f]{64}", str(secret[0][0]))
        assert schema.create(connection) is Outcome.PRESENT
        assert connection.execute("SELECT secret FROM meta").fetchall() == secret


def test_each_cluster_has_its_own_secret(postgres: Pair, database_url: str) -> None:
    name = postgres.new_database()
    secrets = set()
    for url in (database_url, postgres.primary.url(name)):
        with connect(url) as connection:
            schema.create(connection)
            secrets.update(connection.execute("SELECT secret FROM meta").fetchall())
    assert len(secrets) == 2
    postgres.drop(name)


def test_a_new_one_is_as_an_upgraded_one(postgres: Pair, database_url: str) -> None:
    name = postgres.new_database()
    other = postgres.primary.url(name)
    with connect(database_url) as upgraded, connect(other) as new:
        schema.create(upgraded)
        schema.create(upgraded, UPGRADES)
        assert schema.create(new, UPGRADES) is Outcome.CREATED
    assert tables(database_url) == tables(other)
    postgres.drop(name)


def test_a_failed_upgrade_leaves_what_was(database_url: str) -> None:
    with connect(database_url) as connection:
        schema.create(connection)
        before = schema.read(connection), tables(database_url)
        with pytest.raises(ClusterError, match="refused a statement about the tables of Leveret"):
            schema.create(connection, (*UPGRADES, ("ALTER TABLE leveret.nothing ADD COLUMN a int",)))
        assert (schema.read(connection), tables(database_url)) == before


def test_without_a_schema_nothing_can_start(database_url: str) -> None:
    with connect(database_url) as connection, pytest.raises(ClusterError, match="create them with `leveret cluster"):
        schema.require(connection)


def test_a_damaged_one_is_refused(database_url: str) -> None:
    with connect(database_url) as connection:
        schema.create(connection)
        connection.execute("DELETE FROM meta")
        for use in (schema.create, schema.read):
            with pytest.raises(ClusterError, match=r"leveret\.meta is empty"):
                use(connection)


def test_missing_rights(postgres: Pair) -> None:
    name = postgres.new_database("postgres")
    with connect(postgres.primary.url(name)) as connection, pytest.raises(ClusterError, match="lacks a right"):
        schema.create(connection)
    with connect(postgres.primary.url(name, "postgres")) as connection:
        connection.execute("CREATE SCHEMA leveret AUTHORIZATION leveret")  # which is all that Leveret needs
    with connect(postgres.primary.url(name)) as connection:
        assert schema.create(connection) is Outcome.CREATED
    postgres.drop(name)


def test_a_standby_is_refused(postgres: Pair, database: str) -> None:
    url = postgres.standby.url(database)
    with connect(url, may_be_standby=True) as connection, pytest.raises(ClusterError, match="name the primary"):
        schema.create(connection)
