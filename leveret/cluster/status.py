"""What a cluster looks like from outside: its nodes, their shards, its database. And marking nodes as draining."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import psycopg
from psycopg import errors

from leveret.cluster import checks
from leveret.cluster.database import Connection
from leveret.cluster.errors import ClusterError

NODES: Final = """
SELECT id, name, alive, is_draining, since, beat, (SELECT count(*) FROM shards WHERE shards.node = nodes.id)
FROM nodes LEFT JOIN beats ON beats.node = nodes.id ORDER BY name, id"""
FREE: Final = """
SELECT count(*) FROM shards WHERE NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = shards.node AND alive)"""
STANDBYS: Final = "SELECT application_name, sync_state FROM pg_stat_replication ORDER BY application_name"
DRAIN: Final = "UPDATE nodes SET is_draining = %s WHERE alive AND name = %s RETURNING id"
OTHERS: Final = "SELECT count(*) FROM nodes WHERE alive AND NOT is_draining AND address IS NOT NULL"


@dataclass(frozen=True)
class NodeStatus:
    """A node. is_alive: whether no other one has declared it dead. since: when it joined. beat: None without one."""

    id: int
    name: str
    is_alive: bool
    is_draining: bool
    since: datetime
    beat: int | None
    shards: int


@dataclass(frozen=True)
class Status:
    """A cluster. free: shards that no living node owns. server: its name and version.

    standbys: the names of the synchronous ones; None if the user may not see them. chunk_bytes: what the messages take
    in the database; None if the server does not say it.
    """

    nodes: tuple[NodeStatus, ...]
    free: int
    server: str
    standbys: tuple[str, ...] | None
    chunk_bytes: int | None


def read_status(connection: Connection) -> Status:
    """The status of the cluster in a database with tables of this version. Raises: ClusterError."""
    try:
        return Status(
            tuple(map(_node, connection.execute(NODES).fetchall())),
            _number(connection.execute(FREE).fetchone()),
            checks.server_name(connection),
            _standbys(connection),
            _chunk_bytes(connection),
        )
    except psycopg.Error as error:
        raise _refusal(error) from None


def set_draining(connection: Connection, name: str, is_draining: bool) -> bool:
    """Mark the living nodes of a name as draining, or not. Returns: whether a living node is left that takes shards.

    Raises: ClusterError if there is no such node.
    """
    try:
        if not connection.execute(DRAIN, (is_draining, name)).fetchall():
            rows = connection.execute("SELECT DISTINCT name FROM nodes WHERE alive ORDER BY name").fetchall()
            known = ", ".join(f"'{row[0]}'" for row in rows)
            living = f"the living nodes are {known}" if known else "no node lives"
            raise ClusterError(f"there is no node '{name}' that could drain: {living}")
        return _number(connection.execute(OTHERS).fetchone()) > 0
    except psycopg.Error as error:
        raise _refusal(error) from None


def _node(row: tuple[object, ...]) -> NodeStatus:
    node, name, is_alive, is_draining, since, beat, shards = row
    assert isinstance(node, int)
    assert isinstance(since, datetime)
    assert beat is None or isinstance(beat, int)
    assert isinstance(shards, int)
    return NodeStatus(node, str(name or ""), bool(is_alive), bool(is_draining), since.astimezone(UTC), beat, shards)


def _standbys(connection: Connection) -> tuple[str, ...] | None:
    try:
        rows = connection.execute(STANDBYS).fetchall()
    except (errors.UndefinedTable, errors.UndefinedColumn):  # another engine, which replicates by itself
        return None
    if any(state is None for _, state in rows):
        return None
    return tuple(str(name) for name, state in rows if state in ("sync", "quorum"))


def _chunk_bytes(connection: Connection) -> int | None:
    try:
        return _number(connection.execute("SELECT pg_total_relation_size('chunks')").fetchone())
    except errors.UndefinedFunction:  # of another engine
        return None


def _number(row: tuple[object, ...] | None) -> int:
    assert row is not None
    return int(str(row[0]))


def _refusal(error: psycopg.Error) -> ClusterError:
    text = error.diag.message_primary or str(error).strip().partition("\n")[0]
    return ClusterError(f"the server refuses a statement about the cluster: {text}")
