"""What is wrong with a server: each fault made on a real one where that is possible, and the finding about it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from leveret.cluster import schema
from leveret.cluster.checks import Facts, Finding, Level, check, judge, look, needed_standbys
from leveret.cluster.database import CONNECTIONS, connect
from leveret.cluster.schema import NAMES, VERSION, Meta
from leveret.cluster.url import parse
from tests.postgres.server import ADMINISTRATOR, STANDBY, USER, Pair


@pytest.fixture
def url(database_url: str) -> str:
    """The URL of a database with the tables of Leveret."""
    with connect(database_url) as connection:
        schema.create(connection)
    return database_url


@pytest.fixture
def admin_url(postgres: Pair, url: str, database: str) -> str:
    """The same, for the administrator, who sees everything."""
    return postgres.primary.url(database, ADMINISTRATOR)


def findings(url: str, may_be_standby: bool = False) -> list[Finding]:
    """All findings of a server."""
    place = parse(url)
    with connect(place, may_be_standby=may_be_standby) as connection:
        return check(connection, place)


def only(found: list[Finding]) -> Finding:
    """The one finding that there is, beside the note that the user sees nothing of standbys."""
    found = [each for each in found if "may not see which standbys" not in each.text]
    assert len(found) == 1, found
    assert found[0].advice
    return found[0]


@contextlib.contextmanager
def role(postgres: Pair, database: str, name: str, value: str) -> Iterator[None]:
    """A setting of the role `leveret` inside a block, in one database."""
    postgres.primary.ask(f"ALTER ROLE {USER} IN DATABASE {database} SET {name} = '{value}'")
    yield
    postgres.primary.ask(f"ALTER ROLE {USER} IN DATABASE {database} RESET ALL")


def test_nothing_is_wrong(admin_url: str) -> None:
    assert findings(admin_url) == []


# -- crashes and confirms


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
def test_a_crash_of_the_machine(name: str, postgres: Pair, url: str) -> None:
    with postgres.primary.having(**{name: "off"}):
        found = only(findings(url))
    assert (found.check, found.level) == ("crash safety", Level.ERROR)
    assert found.text.startswith(f"{name} is off: when its machine crashes")
    assert f"set {name} = on" in found.advice


@pytest.mark.parametrize(
    ("value", "level", "text"),
    [
        ("off", Level.ERROR, "messages are confirmed before they are on a disk"),
        ("local", Level.ERROR, "messages are confirmed before they are on a standby"),
        ("remote_write", Level.NOTE, "messages are confirmed before a standby has them on its disk"),
    ],
)
def test_commits_that_promise_less(
    value: str, level: Level, text: str, postgres: Pair, url: str, database: str
) -> None:
    with postgres.primary.having(synchronous_commit=value):
        found = only(findings(url))
    assert (found.check, found.level) == ("confirms", level)
    assert text in found.text
    with role(postgres, database, "synchronous_commit", value):
        assert only(findings(url)) == found


# -- standbys


def test_there_is_no_standby(postgres: Pair, url: str) -> None:
    with postgres.primary.having(synchronous_standby_names=""):
        found = only(findings(url))
    assert (found.check, found.level) == ("standbys", Level.WARNING)
    assert "what is confirmed is on one machine only" in found.text
    assert "Aurora" in found.advice


@pytest.mark.parametrize("is_administrator", [False, True])
def test_the_standby_is_away(is_administrator: bool, postgres: Pair, url: str, admin_url: str) -> None:
    postgres.standby.kill()
    found = only(findings(admin_url if is_administrator else url))
    assert (found.check, found.level, found.prevents_init) == ("standbys", Level.ERROR, True)
    assert found.text == f"synchronous_standby_names is '{STANDBY}', but none of them is connected"
    assert "until then each commit hangs" in found.advice


def test_the_standby_has_another_name(postgres: Pair, admin_url: str) -> None:
    with postgres.primary.having(synchronous_standby_names="other"):
        assert only(findings(admin_url)).text == "synchronous_standby_names is 'other', but none of them is connected"


def test_one_of_two_standbys_is_away(postgres: Pair, url: str, admin_url: str) -> None:
    with postgres.primary.having(synchronous_standby_names=f"FIRST 2 ({STANDBY}, other)"):
        for each in (url, admin_url):
            assert "but only 1 of them is connected" in only(findings(each)).text
    with postgres.primary.having(synchronous_standby_names=f"ANY 1 ({STANDBY}, other)"):
        assert findings(admin_url) == []


def test_who_may_see_standbys(postgres: Pair, url: str) -> None:
    found = findings(url)
    assert [(each.check, each.level) for each in found] == [("standbys", Level.NOTE)]
    assert 'GRANT pg_read_all_stats TO "leveret"' in found[0].advice
    postgres.primary.ask(f"GRANT pg_read_all_stats TO {USER}")
    assert findings(url) == []
    postgres.primary.ask(f"REVOKE pg_read_all_stats FROM {USER}")


@pytest.mark.parametrize(
    ("names", "count"),
    [("a", 1), ("a, b", 1), ("*", 1), ("2 (a, b, c)", 2), ("FIRST 3 (a,b,c)", 3), (" any 2(a,b)", 2), ("first1", 1)],
)
def test_how_many_standbys_commits_wait_for(names: str, count: int) -> None:
    assert needed_standbys(names) == count


# -- reading and writing


def test_a_standby(postgres: Pair, url: str, database: str) -> None:
    found = only(findings(postgres.standby.url(database), may_be_standby=True))
    assert (found.check, found.level, found.prevents_init) == ("read-only", Level.ERROR, True)
    assert found.text == "the server is a standby, and accepts no writes"


def test_a_role_that_may_only_read(postgres: Pair, url: str, database: str) -> None:
    with role(postgres, database, "default_transaction_read_only", "on"):
        found = only(findings(url, may_be_standby=True))
    assert (found.check, found.level, found.prevents_init) == ("read-only", Level.ERROR, True)
    assert "transactions of user 'leveret' are read-only" in found.text


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_an_encoding(encoding: str, postgres: Pair) -> None:
    name = postgres.new_database(encoding=encoding, template="template0")
    with connect(postgres.primary.url(name)) as connection:
        schema.create(connection)
    found = only(findings(postgres.primary.url(name)))
    assert (found.check, found.level, found.prevents_init) == ("encoding", Level.ERROR, True)
    assert found.text == f"the encoding of database '{name}' is {encoding}"
    postgres.drop(name)


def test_there_are_no_tables(database_url: str) -> None:
    found = only(findings(database_url))
    assert (found.check, found.level, found.prevents_init) == ("tables", Level.ERROR, False)
    assert found.advice == "create them with `leveret cluster init`"


def test_tables_of_another_version(url: str) -> None:
    with connect(url) as connection:
        connection.execute("UPDATE meta SET version = %s", (VERSION + 1,))
        found = only(findings(url))
        assert f"version {VERSION + 1}, this Leveret knows versions up to {VERSION}" in found.text
        connection.execute("UPDATE meta SET version = %s", (VERSION - 1,))
        found = only(findings(url))
        assert f"version {VERSION - 1}, this Leveret needs {VERSION}" in found.text
        assert found.advice == "upgrade them with `leveret cluster init`"


def test_a_table_is_missing(url: str) -> None:
    with connect(url) as connection:
        connection.execute("DROP TABLE chunks")
    assert only(findings(url)).text == "there is no table leveret.chunks: the schema is damaged"


def test_the_right_to_create(postgres: Pair) -> None:
    name = postgres.new_database(ADMINISTRATOR)
    found = findings(postgres.primary.url(name))
    assert [each.check for each in found if each.level is Level.ERROR] == ["rights", "tables"]
    assert found[0].prevents_init
    assert found[0].text == f"user 'leveret' may not create the tables of Leveret in database '{name}'"
    postgres.primary.ask("CREATE SCHEMA leveret", database=name)
    assert "may not use the schema leveret" in only(findings(postgres.primary.url(name))).text
    postgres.primary.ask("GRANT USAGE ON SCHEMA leveret TO leveret", database=name)
    assert [each.check for each in findings(postgres.primary.url(name))][:2] == ["rights", "tables"]
    postgres.primary.ask("GRANT CREATE ON SCHEMA leveret TO leveret", database=name)
    assert only(findings(postgres.primary.url(name))).check == "tables"
    postgres.drop(name)


def test_rights_on_tables(postgres: Pair) -> None:
    name = postgres.new_database(ADMINISTRATOR)
    with connect(postgres.primary.url(name, ADMINISTRATOR)) as connection:
        schema.create(connection)
        connection.execute("GRANT USAGE ON SCHEMA leveret TO leveret")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA leveret TO leveret")
        found = [each for each in findings(postgres.primary.url(name)) if each.level is Level.ERROR]
        assert [each.text for each in found] == [
            f"user 'leveret' lacks INSERT, UPDATE, DELETE on the table leveret.{table}" for table in NAMES
        ]
        connection.execute("GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA leveret TO leveret")
        found = [each for each in findings(postgres.primary.url(name)) if each.level is not Level.NOTE]
        assert [each.text for each in found] == [
            "user 'leveret' does not own the tables of Leveret, so that it cannot vacuum them, and they grow"
        ]
    postgres.drop(name)


# -- sessions


def test_connections(postgres: Pair, url: str, database: str) -> None:
    for limit, expected in ((2, Level.ERROR), (8, Level.WARNING)):
        postgres.primary.ask(f"ALTER DATABASE {database} CONNECTION LIMIT {limit}")
        found = only(findings(url))
        assert (found.check, found.level) == ("connections", expected)
        assert found.text.startswith(f"{limit} connections are free, and each node needs 3")
        with connect(url):
            assert f"{limit - 1} connections are free" in only(findings(url)).text
    postgres.primary.ask(f"ALTER DATABASE {database} CONNECTION LIMIT -1")
    postgres.primary.ask(f"ALTER ROLE {USER} CONNECTION LIMIT 8")
    assert "too few for 3 more nodes" in only(findings(url)).text
    with connect(url) as connection:
        connection.execute(
            "INSERT INTO nodes VALUES (1, 'a', '', 0, true), (2, 'b', '', 0, true), (3, 'c', '', 0, false)"
        )
        connection.execute("UPDATE nodes SET alive = false WHERE id = 2")
        assert "too few for 2 more nodes" not in str(findings(url))
    postgres.primary.ask(f"ALTER ROLE {USER} CONNECTION LIMIT -1")


def test_max_connections(postgres: Pair, url: str) -> None:
    postgres.primary.stop()
    postgres.primary.start(max_connections="10")  # of which 3 are for superusers
    postgres.wait_synchronous()
    found = only(findings(url))
    postgres.primary.stop()
    assert (found.check, found.level) == ("connections", Level.WARNING)
    assert found.text == "7 connections are free, and each node needs 3: too few for 3 more nodes"


@pytest.mark.parametrize("name", ["statement_timeout", "lock_timeout", "idle_session_timeout"])
def test_timeouts(name: str, postgres: Pair, url: str, database: str) -> None:
    with role(postgres, database, name, "30s"):
        found = only(findings(url))
    assert (found.check, found.level) == ("timeouts", Level.NOTE)
    assert found.text == f"{name} is 30000 ms for user 'leveret'; Leveret's sessions switch it off"


def test_isolation(postgres: Pair, url: str, database: str) -> None:
    with role(postgres, database, "default_transaction_isolation", "serializable"):
        found = only(findings(url))
    assert (found.check, found.level) == ("isolation", Level.NOTE)
    assert "default_transaction_isolation is 'serializable'" in found.text


def test_this_machine(url: str, postgres: Pair, database: str) -> None:
    local = f"postgresql:///{database}?host={postgres.directory}&port={postgres.primary.port}&user={USER}"
    for each in (url, local):
        with connect(each) as connection:
            assert look(connection, parse(each)).is_this_machine


# -- what no server here has


SOUND = Facts(meta=Meta(VERSION, "a"), tables=dict.fromkeys(NAMES, ()))


@pytest.mark.parametrize(
    ("facts", "name", "level", "text"),
    [
        ({"version": 120_011}, "version", Level.ERROR, "PostgreSQL 12.11 is too old: Leveret needs 13 or newer"),
        ({"engine": "CockroachDB"}, "version", Level.WARNING, "the server is CockroachDB, with which Leveret is not"),
        ({"has_lz4": False}, "lz4", Level.NOTE, "the server cannot compress with lz4"),
        ({"isolation": "serializable"}, "isolation", Level.ERROR, "transactions are serializable, although"),
        ({"is_this_machine": False}, "TLS", Level.WARNING, "leaves this machine, and is not encrypted"),
        ({"is_this_machine": False, "has_tls": True}, "TLS", Level.NOTE, "the certificate of the server is not"),
        ({"free": 2, "alive": 7}, "connections", Level.ERROR, "no node can start"),
        ({"free": 5, "alive": 1}, "connections", Level.WARNING, "too few for 2 more nodes"),
    ],
)
def test_other_servers(facts: dict[str, object], name: str, level: Level, text: str) -> None:
    found = only(judge(Facts(**{**vars(SOUND), **facts})))
    assert (found.check, found.level) == (name, level)
    assert text in found.text


def test_sound_servers() -> None:
    for facts in (
        {},
        {"is_this_machine": False, "has_tls": True, "is_verified": True},
        {"free": CONNECTIONS, "alive": 5},
        {"free": None},
    ):
        assert judge(Facts(**{**vars(SOUND), **facts})) == []


def test_errors_come_first() -> None:
    facts = Facts(**{**vars(SOUND), "has_lz4": False, "is_this_machine": False, "encoding": "LATIN1"})
    assert [each.level for each in judge(facts)] == [Level.ERROR, Level.WARNING, Level.NOTE]
