"""The work of `leveret cluster`. Imports psycopg, which is an extra: cluster.py imports this file when it is needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer

from leveret.cluster import checks, database, schema, status
from leveret.cluster.checks import Facts, Finding, Level
from leveret.cluster.database import Connection
from leveret.cluster.errors import ClusterError, NotPrimary
from leveret.cluster.schema import Outcome
from leveret.cluster.status import NodeStatus, Status
from leveret.cluster.url import DatabaseUrl, parse
from leveret.node.cli.output import refuse, show, show_findings
from leveret.node.printable import complain, say, say_json

COLOURS: dict[str, str] = {Level.NOTE: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}

NODE_COLUMNS = ["name", "id", "alive", "draining", "since", "beat", "shards"]


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
        with _any_server(place, password_file, "cluster check") as connection:
            facts = checks.look(connection, place)
    found = checks.judge(facts)
    if as_json:
        say_json([_as_row(each) for each in found])
    else:
        _print(facts, place, found)
    if any(each.level is Level.ERROR for each in found):
        raise typer.Exit(1)


def show_status(url: str, password_file: str | None, as_json: bool) -> None:
    """Print nodes, shards and facts about the database."""
    with _refusing():
        place = parse(url)
        with _any_server(place, password_file, "cluster status") as connection:
            schema.require(connection)
            found = status.read_status(connection)
    if as_json:
        say_json(
            {
                "nodes": [_node_row(each) for each in found.nodes],
                "free_shards": found.free,
                "server": found.server,
                "synchronous_standbys": None if found.standbys is None else list(found.standbys),
                "chunk_bytes": found.chunk_bytes,
            }
        )
        return
    say(f"{found.server}, {place}: {_facts(found)}")
    show([_node_row(each) for each in found.nodes], NODE_COLUMNS, as_json=False)


def drain(url: str, node: str, password_file: str | None) -> None:
    """Mark a node as draining."""
    if _set_draining(url, node, password_file, True):
        say(f"Node '{node}' hands its shards to other nodes.")
    else:
        say(f"Node '{node}' drains, but keeps its shards: no other node can take them.")


def undrain(url: str, node: str, password_file: str | None) -> None:
    """Mark a node as not draining."""
    _set_draining(url, node, password_file, False)
    say(f"Node '{node}' takes shards again.")


def _set_draining(url: str, node: str, password_file: str | None, is_draining: bool) -> bool:
    """Returns: whether any node takes shards."""
    with _refusing():
        place = parse(url)
        with database.connect(place, database.find_password(password_file), "cluster drain") as connection:
            schema.require(connection)
            return status.set_draining(connection, node, is_draining)


def _any_server(place: DatabaseUrl, password_file: str | None, purpose: str) -> Connection:
    """A connection to the server that accepts writes, or to one that can say why none does."""
    password = database.find_password(password_file)
    try:
        return database.connect(place, password, purpose)
    except NotPrimary:
        return database.connect(place, password, purpose, may_be_standby=True)


def _node_row(node: NodeStatus) -> dict[str, object]:
    return {
        "name": node.name,
        "id": node.id,
        "alive": node.is_alive,
        "draining": node.is_draining,
        "since": node.since.isoformat(timespec="seconds"),
        "beat": node.beat,
        "shards": node.shards,
    }


def _facts(found: Status) -> str:
    """Facts about a database in words."""
    facts = [f"{found.free} free shards"]
    if found.standbys is not None:
        facts.append(f"synchronous standbys: {', '.join(found.standbys) or 'none'}")
    if found.chunk_bytes is not None:
        facts.append(f"messages take {found.chunk_bytes} bytes")
    return "; ".join(facts)


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
