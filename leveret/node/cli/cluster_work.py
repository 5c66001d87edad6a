"""The work of `leveret cluster`. Imports psycopg, which is an extra: cluster.py imports this file when it is needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer

from leveret.cluster import checks, database, schema
from leveret.cluster.checks import Facts, Finding, Level
from leveret.cluster.database import Connection
from leveret.cluster.errors import ClusterError, NotPrimary
from leveret.cluster.schema import Outcome
from leveret.cluster.url import DatabaseUrl, parse
from leveret.node.cli.output import refuse, show_findings
from leveret.node.printable import complain, say, say_json

COLOURS: dict[str, str] = {Level.NOTE: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}


def init(url: str, password_file: str | None) -> None:
    """Create or upgrade the tables, unless the server cannot work. Says what else is wrong with it."""
    with _refusing():
        place = parse(url)
        with database.connect(place, database.find_password(password_file), "cluster init") as connection:
            found = checks.check(connection, place)
            preventing = [each for each in found if each.prevents_init]
            if preventing:
                refuse(f"{preventing[0].text}: {preventing[0].advice}")
            outcome = schema.create(connection)
            meta = schema.require(connection)
    for each in found:
        if each.level is not Level.NOTE and each.check != checks.TABLES:
            complain("warning", f"{each.text}; {each.advice}")
    what = f"the tables of cluster {meta.cluster} in {place}"
    if outcome is Outcome.CREATED:
        say(f"Created {what}.")
    elif outcome is Outcome.UPGRADED:
        say(f"Upgraded {what} to version {meta.version}.")
    else:
        say(f"Nothing to do: {what} exist, in version {meta.version}.")


def check(url: str, password_file: str | None, as_json: bool) -> None:
    """Print what is wrong with a server. Raises: typer.Exit 1 if there is an error."""
    with _refusing():
        place = parse(url)
        with _any_server(place, database.find_password(password_file)) as connection:
            facts = checks.look(connection, place)
    found = checks.judge(facts)
    if as_json:
        say_json([_as_row(each) for each in found])
    else:
        _print(facts, place, found)
    if any(each.level is Level.ERROR for each in found):
        raise typer.Exit(1)


def _any_server(place: DatabaseUrl, password: str | None) -> Connection:
    """A connection to the server that accepts writes, or to one that can say why none does."""
    try:
        return database.connect(place, password, "cluster check")
    except NotPrimary:
        return database.connect(place, password, "cluster check", may_be_standby=True)


def _as_row(finding: Finding) -> dict[str, str]:
    return {"check": finding.check, "level": finding.level, "text": finding.text, "advice": finding.advice}


def _print(facts: Facts, place: DatabaseUrl, found: list[Finding]) -> None:
    version = "" if facts.meta is None else f", tables in version {facts.meta.version}"
    say(f"{facts.name}, {place}{version}: {_counted(found)}")
    show_findings([(each.level, each.check, each.text, each.advice) for each in found], COLOURS)


def _counted(found: list[Finding]) -> str:
    """Findings in numbers, such as `1 error, 2 notes`."""
    counts = {level: sum(each.level is level for each in found) for level in Level}
    return ", ".join(f"{n} {level}{'s' if n > 1 else ''}" for level, n in counts.items() if n) or "no problem found"


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """End the command with the reason and status 1 if the database cannot be used."""
    try:
        yield
    except ClusterError as error:
        refuse(str(error))
