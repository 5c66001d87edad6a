"""Schema: the tables of a cluster, in the PostgreSQL schema `leveret`, and their version.

A new schema is made in version 1 and then upgraded step by step, as an old one is. Names in SQL here are qualified, so
that they do not depend on search_path. No sequences, no advisory locks: other engines lack them.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, LiteralString

import psycopg
from psycopg import errors

from leveret.cluster.database import Connection
from leveret.cluster.errors import ClusterError

SHARDS: Final = 256
OWN_SHARDS: Final = 1792  # numbers above SHARDS for transient messages: one for each node that lives
ATTEMPTS: Final = 20  # at making the schema, when others make it at the same time

TABLES: Final[tuple[LiteralString, ...]] = (
    "CREATE TABLE leveret.meta ("
    " one int PRIMARY KEY CHECK (one = 1), version int NOT NULL, cluster text NOT NULL)",  # cluster: a random id
    "CREATE TABLE leveret.nodes ("
    " id bigint PRIMARY KEY, name text, address text, session bigint NOT NULL, alive boolean NOT NULL)",
    "CREATE TABLE leveret.beats (node bigint PRIMARY KEY, beat bigint NOT NULL)",
    "CREATE TABLE leveret.shards (shard int PRIMARY KEY, node bigint, is_clean boolean NOT NULL)",
    "CREATE TABLE leveret.chunks ("
    " shard int, id bigint, head bytea NOT NULL, data bytea NOT NULL, PRIMARY KEY (shard, id))",
    "CREATE TABLE leveret.gone ("
    " shard int, chunk bigint, seq bigint, places bytea NOT NULL, PRIMARY KEY (shard, chunk, seq))",
    "CREATE TABLE leveret.counts (shard int, chunk bigint, places bytea NOT NULL, PRIMARY KEY (shard, chunk))",
    "CREATE TABLE leveret.aside ("
    " shard int, chunk bigint, reason text NOT NULL, since timestamptz NOT NULL, is_spent boolean NOT NULL,"
    " PRIMARY KEY (shard, chunk))",
    "CREATE TABLE leveret.delivered ( shard int, queue bigint, position bigint NOT NULL, PRIMARY KEY (shard, queue))",
    "CREATE TABLE leveret.definitions ("  # value: null for a deleted definition; place: their order, kept on a change
    " kind text, key bytea, value bytea, revision bigint NOT NULL, place bigint NOT NULL, PRIMARY KEY (kind, key))",
    "CREATE TABLE leveret.revision (one int PRIMARY KEY CHECK (one = 1), value bigint NOT NULL)",
)
NAMES: Final = (
    "meta",
    "nodes",
    "beats",
    "shards",
    "chunks",
    "gone",
    "counts",
    "aside",
    "delivered",
    "definitions",
    "revision",
)
LZ4: Final = "ALTER TABLE leveret.chunks ALTER COLUMN data SET COMPRESSION lz4"

UPGRADES: Final[tuple[tuple[LiteralString, ...], ...]] = (
    (
        "ALTER TABLE leveret.nodes ADD COLUMN is_draining boolean NOT NULL DEFAULT false",
        "ALTER TABLE leveret.nodes ADD COLUMN since timestamptz NOT NULL DEFAULT now()",
        # secret: of links between nodes, 64 digits; gen_random_uuid() takes them from the random numbers of the system
        "ALTER TABLE leveret.meta ADD COLUMN secret text NOT NULL"
        " DEFAULT replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')",
    ),
)
"""The statements that lead from version n to n + 1 are at index n - 1."""

VERSION: Final = 1 + len(UPGRADES)


class Outcome(StrEnum):
    """What create() did."""

    CREATED = "created"
    UPGRADED = "upgraded"
    PRESENT = "present"


@dataclass(frozen=True)
class Meta:
    """A schema that exists. cluster: the random id of the cluster."""

    version: int
    cluster: str


def create(connection: Connection, upgrades: Sequence[Sequence[LiteralString]] = UPGRADES) -> Outcome:
    """Create the schema in one transaction, or upgrade an older one. Others may do the same at the same time.

    Raises: ClusterError for a newer version, missing rights, or a standby.
    """
    for _ in range(ATTEMPTS):
        with contextlib.suppress(
            errors.UniqueViolation,  # another has made it meanwhile
            errors.DuplicateSchema,
            errors.DuplicateTable,
            errors.SerializationFailure,
            errors.DeadlockDetected,
        ):
            return _create(connection, upgrades)
    raise ClusterError("the schema cannot be created, because others keep changing it: try again")


def read(connection: Connection) -> Meta | None:
    """The schema of a database, None if there is none. Raises: ClusterError if it cannot be read."""
    try:
        if not _exists(connection, "meta"):
            return None
        row = connection.execute("SELECT version, cluster FROM leveret.meta WHERE one = 1").fetchone()
    except psycopg.Error as error:
        raise _refusal(connection, error) from None
    if row is None:
        raise ClusterError("the table leveret.meta is empty: the schema is damaged; restore it from a backup")
    version, cluster = row
    assert isinstance(version, int)
    assert isinstance(cluster, str)
    return Meta(version, cluster)


def require(connection: Connection) -> Meta:
    """The schema, which must be that of this version. Raises: ClusterError."""
    found = read(connection)
    reason = unusable(found)
    if found is None or reason:
        raise ClusterError(reason)
    return found


def unusable(found: Meta | None, version: int = VERSION) -> str:
    """Why this version of Leveret cannot use a schema, with what to do; empty if it can."""
    if found is None:
        return "the database has no tables of Leveret: create them with `leveret cluster init`"
    if found.version > version:
        return _newer(found.version, version)
    if found.version < version:
        return (
            f"the tables of Leveret in the database have version {found.version}, this Leveret needs {version}: "
            "upgrade them with `leveret cluster init`"
        )
    return ""


def has_lz4(connection: Connection) -> bool:
    """Whether the server can compress with lz4. Raises: psycopg.Error."""
    row = connection.execute(
        "SELECT 1 FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)"
    ).fetchone()
    return row is not None


def _create(connection: Connection, upgrades: Sequence[Sequence[LiteralString]]) -> Outcome:
    version = 1 + len(upgrades)
    try:
        with connection.transaction():
            found = _locked(connection)
            if found is None:
                _make(connection)
            elif found > version:
                raise ClusterError(_newer(found, version))
            elif found == version:
                return Outcome.PRESENT
            for statements in upgrades[(found or 1) - 1 :]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute("UPDATE leveret.meta SET version = %s WHERE one = 1", (version,))
    except (errors.UniqueViolation, errors.DuplicateSchema, errors.DuplicateTable):
        raise
    except (errors.SerializationFailure, errors.DeadlockDetected):
        raise
    except psycopg.Error as error:
        raise _refusal(connection, error) from None
    return Outcome.CREATED if found is None else Outcome.UPGRADED


def _locked(connection: Connection) -> int | None:
    """The version, which nobody else can change in this transaction; None without a schema."""
    if not _exists(connection, "meta"):
        return None
    row = connection.execute("SELECT version FROM leveret.meta WHERE one = 1 FOR UPDATE").fetchone()
    if row is None:
        raise ClusterError("the table leveret.meta is empty: the schema is damaged; restore it from a backup")
    assert isinstance(row[0], int)
    return row[0]


def _make(connection: Connection) -> None:
    """Version 1 of the schema. An administrator may have created the schema itself, empty."""
    if connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'leveret'").fetchone() is None:
        connection.execute("CREATE SCHEMA leveret")
    for statement in TABLES:
        connection.execute(statement)
    if has_lz4(connection):
        connection.execute(LZ4)
    connection.execute(
        "INSERT INTO leveret.shards (shard, node, is_clean) SELECT n, NULL, true FROM generate_series(0, %s) AS n",
        (SHARDS - 1,),
    )
    connection.execute("INSERT INTO leveret.revision (one, value) VALUES (1, 0)")
    connection.execute("INSERT INTO leveret.meta (one, version, cluster) VALUES (1, 1, %s)", (secrets.token_hex(16),))


def _exists(connection: Connection, table: str) -> bool:
    row = connection.execute(
        "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'leveret' AND c.relname = %s",
        (table,),
    ).fetchone()
    return row is not None


def _newer(found: int, version: int) -> str:
    return (
        f"the tables of Leveret in the database have version {found}, this Leveret knows versions up to {version}: "
        "use the newer Leveret that made them"
    )


def _refusal(connection: Connection, error: psycopg.Error) -> ClusterError:
    """The error of a statement on the schema, in one sentence."""
    text = error.diag.message_primary or str(error).strip().partition("\n")[0] or "unknown error"
    if isinstance(error, errors.InsufficientPrivilege):
        user, database = connection.info.user, connection.info.dbname
        return ClusterError(
            f"user '{user}' lacks a right in database '{database}' ({text}): let the user own the database, "
            f"or grant CREATE on it"
        )
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return ClusterError(f"the server accepts no writes ({text}): name the primary")
    return ClusterError(f"the database refused a statement about the tables of Leveret: {text}")
