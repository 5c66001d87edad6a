"""`leveret cluster`, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from leveret.cluster.database import PASSWORD, PASSWORD_FILE, connect
from leveret.cluster.schema import VERSION
from tests.brokers.process import free_port
from tests.clients.command_line import good, leveret, process, refused
from tests.postgres.server import ADMINISTRATOR, HOST, WITH_PASSWORD, Pair

SECRET = "sEcr3t"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (PASSWORD, PASSWORD_FILE, "PGPASSWORD", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def guarded(postgres: Pair, database: str) -> Iterator[str]:
    """The URL of a database, for a user with a password who may create tables there."""
    postgres.primary.ask(f"CREATE ROLE secretive LOGIN PASSWORD '{SECRET}' IN ROLE {WITH_PASSWORD}")
    postgres.primary.ask(f"GRANT CREATE ON DATABASE {database} TO secretive")
    yield postgres.primary.url(database, "secretive")
    postgres.primary.ask("DROP OWNED BY secretive CASCADE", database=database)
    postgres.primary.ask("DROP OWNED BY secretive")
    postgres.primary.ask("DROP ROLE secretive")


def test_init_and_check(postgres: Pair, database: str) -> None:
    url = postgres.primary.url(database, ADMINISTRATOR)
    before = leveret("cluster", "check", url)
    assert before.returncode == 1
    assert "error    tables: the database has no tables of Leveret; create them with `leveret cluster" in before.stdout
    created = good(process("cluster", "init", url))
    with connect(url) as connection:
        row = connection.execute("SELECT cluster FROM meta").fetchone()
    assert row is not None
    what = f"the tables of cluster {row[0]} in database '{database}' at {HOST}:{postgres.primary.port}"
    assert created == f"Created {what}.\n"
    assert good(leveret("cluster", "init", url)) == f"Nothing to do: {what} exist, in version {VERSION}.\n"
    after = good(leveret("cluster", "check", url))
    assert after.startswith("PostgreSQL ")
    assert after.endswith(f", tables in version {VERSION}: no problem found\n")
    assert json.loads(good(leveret("cluster", "check", url, "--json"))) == []


def test_what_check_finds(postgres: Pair, database: str) -> None:
    url = postgres.primary.url(database, ADMINISTRATOR)
    good(leveret("cluster", "init", url))
    with postgres.primary.having(fsync="off", synchronous_standby_names=""):
        shown, told = leveret("cluster", "check", url), leveret("cluster", "check", url, "--json")
    assert (shown.returncode, shown.stderr) == (1, "")
    first, *lines = shown.stdout.splitlines()
    assert first.endswith(": 1 error, 1 warning")
    assert [line.split(":")[0] for line in lines] == ["error    crash safety", "warning  standbys"]
    assert told.returncode == 1
    rows = json.loads(told.stdout)
    assert [(row["check"], row["level"]) for row in rows] == [("crash safety", "error"), ("standbys", "warning")]
    assert all(row["text"] and row["advice"] for row in rows)


def test_warnings_are_no_failure(postgres: Pair, database_url: str) -> None:
    with postgres.primary.having(synchronous_standby_names=""):
        created = leveret("cluster", "init", database_url)
        checked = leveret("cluster", "check", database_url)
    assert created.returncode == 0
    assert created.stdout.startswith("Created ")
    assert created.stderr.startswith("warning: synchronous_standby_names is empty")
    assert created.stderr.count("\n") == 1
    assert checked.returncode == 0


def test_init_does_not_hang_without_the_standby(postgres: Pair, database_url: str) -> None:
    postgres.standby.kill()
    assert "none of them is connected: start the standby" in refused(leveret("cluster", "init", database_url))


def test_a_standby(postgres: Pair, database: str) -> None:
    url = postgres.standby.url(database)
    assert "it accepts no writes: it is a standby" in refused(leveret("cluster", "init", url))
    checked = leveret("cluster", "check", url)
    assert checked.returncode == 1
    assert "read-only: the server is a standby" in checked.stdout


def test_a_newer_version(database_url: str) -> None:
    good(leveret("cluster", "init", database_url))
    with connect(database_url) as connection:
        connection.execute("UPDATE meta SET version = 99")
    assert "have version 99, this Leveret knows" in refused(leveret("cluster", "init", database_url))
    assert "tables: the tables of Leveret in the database have ver" in leveret("cluster", "check", database_url).stdout


@pytest.mark.parametrize("word", ["init", "check"])
def test_passwords(word: str, guarded: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    shown = [
        leveret("cluster", word, guarded.replace("secretive@", f"secretive:{SECRET}@")),
        leveret("cluster", word, f"{guarded}?password={SECRET}"),
        leveret("cluster", word, guarded, LEVERET_CLUSTER_PASSWORD=f"{SECRET}!"),
        leveret("cluster", word, guarded, "--password-file", str(tmp_path / "nothing")),
    ]
    for each, text in zip(
        shown, ["must not contain", "must not contain", "refused the login", "cannot read"], strict=True
    ):
        assert text in refused(each)
        assert SECRET not in each.shown
    for options, env in (
        (("--password-file", str(file)), {}),
        ((), {PASSWORD_FILE: str(file)}),
        ((), {PASSWORD: SECRET}),
        ((), {"PGPASSWORD": SECRET}),
    ):
        result = leveret("cluster", word, guarded, *options, **env)
        assert result.stdout
        assert result.stderr == ""
        assert SECRET not in result.shown


@pytest.mark.parametrize("word", ["init", "check"])
def test_there_is_no_server(word: str) -> None:
    url = f"postgresql://leveret@{HOST}:{free_port()}/leveret"
    assert "connection refused; start PostgreSQL there" in refused(leveret("cluster", word, url))
    assert "not given as a URL of PostgreSQL" in refused(leveret("cluster", word, "leveret"))


@pytest.mark.parametrize("word", ["init", "check"])
def test_the_driver_is_missing(word: str, tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("raise ModuleNotFoundError(\"No module named 'psycopg'\", name='psycopg')")
    path = f"{tmp_path}:{Path(__file__).parents[2]}"
    result = process("cluster", word, "postgresql://h/d", PYTHONPATH=path)
    assert refused(result) == "the client of PostgreSQL is not installed: pip install 'leveret[cluster]'"


def test_other_commands_do_not_load_it() -> None:
    code = "import sys, leveret.node.cli, leveret.node.run; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "leveret.node.cli.cluster" in loaded
    assert [name for name in loaded if name.startswith(("psycopg", "leveret.cluster"))] == []


def test_help() -> None:
    assert " cluster " in good(leveret("--help"))
    text = good(leveret("cluster", "--help"))
    assert "Create the tables" in text
    assert "Check whether" in text
    assert "$ leveret cluster init postgresql://" in good(leveret("cluster", "init", "--help"))


def test_the_doctor_looks_at_the_database(postgres: Pair, database: str) -> None:
    url = postgres.primary.url(database)
    missing = _database_of(leveret("doctor", "--json", LEVERET_CLUSTER=url).stdout)
    assert ["the database has no tables of Leveret" in each["text"] for each in missing if each["status"] != "ok"] == [
        True
    ]
    good(leveret("cluster", "init", url))
    fine = leveret("doctor", "--json", LEVERET_CLUSTER=url).stdout
    assert {each["status"] for each in _database_of(fine)} == {"ok"}
    assert not {"data directory", "file system", "disk space"} & {each["check"] for each in json.loads(fine)}
    away = leveret("doctor", "--json", LEVERET_CLUSTER=f"postgresql://leveret@{HOST}:{free_port()}/leveret").stdout
    assert {each["status"] for each in _database_of(away)} == {"problem"}


def _database_of(output: str) -> list[dict[str, str]]:
    return [each for each in json.loads(output) if each["check"] == "database"]
