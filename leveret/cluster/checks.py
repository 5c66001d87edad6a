"""What is wrong with the server of a cluster, in words, each with what to do.

look() asks the server, without changing anything and without waiting for a standby; judge() decides. An error is what
loses confirmed messages or keeps nodes from working, a warning what is likely to surprise, a note what may be better.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, LiteralString

import psutil
import psycopg

from leveret.cluster import schema
from leveret.cluster.database import CONNECTIONS, SETTINGS, Connection
from leveret.cluster.errors import ClusterError
from leveret.cluster.schema import Meta
from leveret.cluster.url import DatabaseUrl

OLDEST: Final = 13  # the major version of PostgreSQL
NODES: Final = 3  # a usual number of nodes, for which there should be connections
TABLES: Final = "tables"  # the check that init makes superfluous
RIGHTS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
OWN_ISOLATION: Final = "read committed"
VERIFYING: Final = ("verify-ca", "verify-full")
TIMEOUTS: Final = tuple(name for name in SETTINGS if name.endswith("_timeout"))
WANTED: Final = (
    *TIMEOUTS,
    "default_transaction_isolation",
    "fsync",
    "full_page_writes",
    "max_connections",
    "reserved_connections",
    "superuser_reserved_connections",
    "synchronous_commit",
    "synchronous_standby_names",
)

SESSIONS: Final = """
SELECT count(*), count(*) FILTER (WHERE usename = current_user),
       count(*) FILTER (WHERE datname = current_database())
FROM pg_stat_activity WHERE datid IS NOT NULL AND usesysid IS NOT NULL AND pid <> pg_backend_pid()
"""  # anybody may see these columns of all sessions
LIMITS: Final = """
SELECT (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
       (SELECT datconnlimit FROM pg_database WHERE datname = current_database())
"""
TABLE_RIGHTS: Final = """
SELECT c.relname, pg_has_role(c.relowner, 'USAGE'),
       ARRAY(SELECT r FROM unnest(%s::text[]) AS r WHERE NOT has_table_privilege(c.oid, r))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'leveret' AND c.relkind = 'r'
"""


class Level(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong. check: what was looked at. advice: what to do. prevents_init: whether it does."""

    check: str
    level: Level
    text: str
    advice: str
    prevents_init: bool = False


@dataclass(frozen=True)
class Facts:
    """What a server says of itself.

    version: as 150008. settings: without those that Leveret sets for its sessions; one that is missing is unknown to
    the server. standbys: how many are connected, synchronous: to how many of them commits can wait, None if the user
    may not see it. tables: those in the schema with the rights that the user lacks; may_create: whether it could create
    missing ones. free: connections that the user can still open, None if unlimited. alive: nodes of the cluster.
    """

    version: int = 150_000
    engine: str = "PostgreSQL"
    user: str = "leveret"
    database: str = "leveret"
    settings: Mapping[str, str] = field(default_factory=dict)
    isolation: str = OWN_ISOLATION
    is_standby: bool = False
    is_read_only: bool = False
    encoding: str = "UTF8"
    has_lz4: bool = True
    standbys: int = 0
    synchronous: int | None = 0
    meta: Meta | None = None
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    owns_tables: bool = True
    may_use_schema: bool = True
    may_create: bool = True
    free: int | None = None
    alive: int = 0
    is_this_machine: bool = True
    has_tls: bool = False
    is_verified: bool = False

    @property
    def name(self) -> str:
        """The server in words, such as `PostgreSQL 15.8`."""
        return f"{self.engine} {self.version // 10_000}.{self.version % 10_000}"


def check(connection: Connection, place: DatabaseUrl) -> list[Finding]:
    """All findings of a server, errors first. Raises: ClusterError if it does not answer the questions."""
    return judge(look(connection, place))


# -- asking


def server_name(connection: Connection) -> str:
    """The server in words, such as `PostgreSQL 15.8`. Raises: psycopg.Error."""
    version, about = _row(connection, "SELECT current_setting('server_version_num'), version()")
    return Facts(version=int(str(version)), engine=_engine(str(about))).name


def look(connection: Connection, place: DatabaseUrl) -> Facts:
    """Ask a server. connection: of connect(). Raises: ClusterError."""
    try:
        return _look(connection, place)
    except psycopg.Error as error:
        text = error.diag.message_primary or str(error).strip().partition("\n")[0]
        raise ClusterError(f"the server does not answer what Leveret asks it: {text}") from None


def _look(connection: Connection, place: DatabaseUrl) -> Facts:
    settings = dict(_settings(connection))
    version, about, encoding, isolation, read_only = _row(
        connection,
        "SELECT current_setting('server_version_num'), version(), current_setting('server_encoding'),"
        " current_setting('transaction_isolation'), current_setting('transaction_read_only')",
    )
    user, database, is_standby = _row(connection, "SELECT current_user, current_database(), pg_is_in_recovery()")
    may_use, may_create = _row(
        connection,
        "SELECT coalesce(bool_and(has_schema_privilege(oid, 'USAGE')), true),"
        " coalesce(bool_and(has_schema_privilege(oid, 'CREATE')), has_database_privilege(current_database(), 'CREATE'))"
        " FROM pg_namespace WHERE nspname = 'leveret'",
    )
    tables, owns_tables = _tables(connection)
    standbys, synchronous = _standbys(connection, settings)
    can_read = bool(may_use) and "SELECT" not in tables.get("meta", RIGHTS)
    return Facts(
        version=int(str(version)),
        engine=_engine(str(about)),
        user=str(user),
        database=str(database),
        settings=settings,
        isolation=str(isolation),
        is_standby=bool(is_standby),
        is_read_only=read_only == "on",
        encoding=str(encoding),
        has_lz4=schema.has_lz4(connection),
        standbys=standbys,
        synchronous=synchronous,
        meta=schema.read(connection) if can_read else None,
        tables=tables,
        owns_tables=owns_tables,
        may_use_schema=bool(may_use),
        may_create=bool(may_create),
        free=_free(connection, settings),
        alive=_alive(connection) if may_use and "SELECT" not in tables.get("nodes", RIGHTS) else 0,
        is_this_machine=_is_this_machine(connection),
        has_tls=bool(connection.pgconn.ssl_in_use),
        is_verified=(place.options.get("sslmode") or os.environ.get("PGSSLMODE", "")) in VERIFYING,
    )


def _row(connection: Connection, statement: LiteralString) -> tuple[object, ...]:
    found = connection.execute(statement).fetchone()
    assert found is not None
    return found


def _numbers(connection: Connection, statement: LiteralString) -> list[int]:
    return [int(str(value)) for value in _row(connection, statement)]


def _engine(about: str) -> str:
    """The engine by what version() says."""
    if "CockroachDB" in about:
        return "CockroachDB"
    return "YugabyteDB" if "-YB-" in about else "PostgreSQL"


def _settings(connection: Connection) -> Iterator[tuple[str, str]]:
    """What settings are for this user and database, whatever Leveret has set for this session."""
    rows = connection.execute("SELECT name, reset_val FROM pg_settings WHERE name = ANY (%s)", (list(WANTED),))
    for name, value in rows:
        if value is not None:
            yield str(name), str(value)


def _tables(connection: Connection) -> tuple[dict[str, tuple[str, ...]], bool]:
    """The tables in the schema with the missing rights, and whether the user counts as their owner."""
    rows = connection.execute(TABLE_RIGHTS, (list(RIGHTS),)).fetchall()
    tables = {str(name): tuple(lacking) for name, _, lacking in rows if isinstance(lacking, list)}
    return tables, all(is_owner for _, is_owner, _ in rows)


def _standbys(connection: Connection, settings: Mapping[str, str]) -> tuple[int, int | None]:
    """How many standbys are connected, and how many of them are synchronous; None if that cannot be seen."""
    if "synchronous_standby_names" not in settings:
        return 0, 0
    states = [row[0] for row in connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall()]
    return len(states), None if None in states else sum(state in ("sync", "quorum") for state in states)


def _free(connection: Connection, settings: Mapping[str, str]) -> int | None:
    """The connections that the user can still open in this database, this one included."""
    of_all, of_user, of_database = _numbers(connection, SESSIONS)
    of_user_at_most, of_database_at_most = _numbers(connection, LIMITS)
    reserved = sum(int(settings.get(f"{whose}reserved_connections", 0)) for whose in ("", "superuser_"))
    limits = (
        (int(settings.get("max_connections", -1)) - reserved, of_all),
        (of_user_at_most, of_user),
        (of_database_at_most, of_database),
    )
    return min((limit - used for limit, used in limits if limit >= 0), default=None)


def _alive(connection: Connection) -> int:
    return _numbers(connection, "SELECT count(*) FROM leveret.nodes WHERE alive")[0]


def _is_this_machine(connection: Connection) -> bool:
    """Whether the connection leaves this machine nowhere."""
    host, address = connection.info.host, connection.info.hostaddr
    if not address or host.startswith(("/", "@")):
        return True
    if ipaddress.ip_address(address).is_loopback:
        return True
    return any(each.address == address for addresses in psutil.net_if_addrs().values() for each in addresses)


# -- deciding


def judge(facts: Facts) -> list[Finding]:
    """What is wrong with a server, errors first."""
    found = [
        *_version(facts),
        *_read_only(facts),
        *_encoding(facts),
        *_isolation(facts),
        *_crash(facts),
        *_confirms(facts),
        *_standby(facts),
        *_rights(facts),
        *_schema(facts),
        *_connections(facts),
        *_tls(facts),
        *_timeouts(facts),
        *_lz4(facts),
    ]
    order = list(Level)
    return sorted(found, key=lambda each: order.index(each.level))


def _version(facts: Facts) -> Iterator[Finding]:
    if facts.version // 10_000 < OLDEST and facts.engine == "PostgreSQL":
        text = f"{facts.name} is too old: Leveret needs {OLDEST} or newer"
        yield Finding("version", Level.ERROR, text, "upgrade PostgreSQL", True)
    elif facts.engine != "PostgreSQL":
        text = f"the server is {facts.engine}, with which Leveret is not tested yet"
        yield Finding("version", Level.WARNING, text, "use PostgreSQL for what must not be lost")


def _read_only(facts: Facts) -> Iterator[Finding]:
    if facts.is_standby:
        text = "the server is a standby, and accepts no writes"
        yield Finding("read-only", Level.ERROR, text, "name the primary in the URL, or all hosts", True)
    elif facts.is_read_only:
        text = f"transactions of user '{facts.user}' are read-only"
        advice = f'run ALTER ROLE "{facts.user}" SET default_transaction_read_only = off, and look for it elsewhere'
        yield Finding("read-only", Level.ERROR, text, advice, True)


def _encoding(facts: Facts) -> Iterator[Finding]:
    if facts.encoding != "UTF8":
        text = f"the encoding of database '{facts.database}' is {facts.encoding}"
        advice = "use another database, made with `createdb --encoding UTF8 --template template0`"
        yield Finding("encoding", Level.ERROR, text, advice, True)


def _isolation(facts: Facts) -> Iterator[Finding]:
    default = facts.settings.get("default_transaction_isolation", OWN_ISOLATION)
    if facts.isolation != OWN_ISOLATION:
        text = f"transactions are {facts.isolation}, although Leveret asks for {OWN_ISOLATION}"
        yield Finding("isolation", Level.ERROR, text, f"allow {OWN_ISOLATION} on the server")
    elif default != OWN_ISOLATION:
        text = f"default_transaction_isolation is '{default}' for user '{facts.user}'; Leveret's sessions change it"
        yield Finding("isolation", Level.NOTE, text, f"set it to '{OWN_ISOLATION}' unless something else needs it")


def _crash(facts: Facts) -> Iterator[Finding]:
    """Whether the server survives a crash of its machine."""
    if facts.settings.get("fsync") == "off":
        text = "fsync is off: when its machine crashes, confirmed messages are lost, or the whole database"
        yield Finding("crash safety", Level.ERROR, text, "set fsync = on in postgresql.conf")
    if facts.settings.get("full_page_writes") == "off":
        text = "full_page_writes is off: when its machine crashes, the database may be damaged"
        advice = "set full_page_writes = on in postgresql.conf, unless the file system writes pages atomically, as ZFS"
        yield Finding("crash safety", Level.ERROR, text, advice)


def _confirms(facts: Facts) -> Iterator[Finding]:
    """Whether a commit, and so a confirm, is a promise."""
    found = facts.settings.get("synchronous_commit")
    whom = f"for user '{facts.user}' in database '{facts.database}'"
    advice = "set synchronous_commit = on, in postgresql.conf or with ALTER ROLE or ALTER DATABASE, wherever it is set"
    if found == "off":
        text = f"synchronous_commit is off {whom}: messages are confirmed before they are on a disk"
        yield Finding("confirms", Level.ERROR, text, advice)
    elif found == "local":
        text = f"synchronous_commit is local {whom}: messages are confirmed before they are on a standby"
        yield Finding("confirms", Level.ERROR, text, advice)
    elif found == "remote_write":
        text = (
            f"synchronous_commit is remote_write {whom}: messages are confirmed before a standby has them on its disk"
        )
        yield Finding("confirms", Level.NOTE, text, advice)


def _standby(facts: Facts) -> Iterator[Finding]:
    """Whether commits are on two machines, and do not wait for ever."""
    names = facts.settings.get("synchronous_standby_names")
    if names is None or facts.is_standby:
        return
    if not names.strip():
        text = "synchronous_standby_names is empty: what is confirmed is on one machine only"
        advice = (
            "set up a synchronous standby, unless the storage itself is on several machines, "
            "as in RDS Multi-AZ, Aurora, AlloyDB and Cloud SQL with high availability"
        )
        yield Finding("standbys", Level.WARNING, text, advice)
        return
    needed = needed_standbys(names)
    connected = facts.standbys if facts.synchronous is None else facts.synchronous
    which = f"synchronous_standby_names is '{names}'"
    if connected < needed:
        text = f"{which}, but {'none' if not connected else f'only {connected}'} of them is connected"
        advice = "start the standby, or correct the name or its application_name; until then each commit hangs"
        yield Finding("standbys", Level.ERROR, text, advice, True)
    elif facts.synchronous is None:
        text = f"{which}; user '{facts.user}' may not see which standbys are connected"
        yield Finding("standbys", Level.NOTE, text, f'run GRANT pg_read_all_stats TO "{facts.user}" to have it checked')


def needed_standbys(names: str) -> int:
    """For how many standbys a commit waits, by a value of synchronous_standby_names that is not empty."""
    found = re.match(r"\s*(?:(?:FIRST|ANY)\s+)?(\d+)\s*\(", names, re.IGNORECASE)
    return int(found[1]) if found else 1


def _rights(facts: Facts) -> Iterator[Finding]:
    who = f"user '{facts.user}'"
    owner = f'make it the owner: ALTER DATABASE "{facts.database}" OWNER TO "{facts.user}"'
    if not facts.may_use_schema:
        text = f"{who} may not use the schema leveret"
        yield Finding("rights", Level.ERROR, text, "use the user who created it", True)
        return
    if len(facts.tables) < len(schema.NAMES) and not facts.may_create:
        text = f"{who} may not create the tables of Leveret in database '{facts.database}'"
        yield Finding("rights", Level.ERROR, text, owner, True)
    for name in schema.NAMES:
        if facts.tables.get(name):
            text = f"{who} lacks {', '.join(facts.tables[name])} on the table leveret.{name}"
            yield Finding("rights", Level.ERROR, text, "use the user who created it, or grant these rights", True)
    if not facts.owns_tables:
        text = f"{who} does not own the tables of Leveret, so that it cannot vacuum them, and they grow"
        yield Finding("rights", Level.WARNING, text, "use the user who created them")


def _schema(facts: Facts) -> Iterator[Finding]:
    if not facts.may_use_schema or facts.tables.get("meta"):
        return  # told by _rights()
    missing = [name for name in schema.NAMES if name not in facts.tables]
    reason, _, advice = schema.unusable(facts.meta).partition(": ")
    if reason:
        yield Finding(TABLES, Level.ERROR, reason, advice)
    elif missing:
        text = f"there is no table leveret.{missing[0]}: the schema is damaged"
        yield Finding(TABLES, Level.ERROR, text, "restore the schema leveret from a backup")


def _connections(facts: Facts) -> Iterator[Finding]:
    if facts.free is None:
        return
    more = max(NODES - facts.alive, 1)
    nodes = "one more node" if more == 1 else f"{more} more nodes"
    text = f"{max(facts.free, 0)} connections are free, and each node needs {CONNECTIONS}"
    limits = "max_connections, and the connection limits of user and database if there are any"
    if facts.free < CONNECTIONS:
        yield Finding("connections", Level.ERROR, f"{text}: no node can start", f"raise {limits}")
    elif facts.free < CONNECTIONS * more:
        yield Finding("connections", Level.WARNING, f"{text}: too few for {nodes}", f"raise {limits}")


def _tls(facts: Facts) -> Iterator[Finding]:
    if facts.is_this_machine:
        return
    if not facts.has_tls:
        text = "the connection leaves this machine, and is not encrypted"
        advice = "set ssl = on on the server, and add ?sslmode=verify-full&sslrootcert=FILE to the URL"
        yield Finding("TLS", Level.WARNING, text, advice)
    elif not facts.is_verified:
        text = "the connection is encrypted, but the certificate of the server is not verified"
        yield Finding("TLS", Level.NOTE, text, "add ?sslmode=verify-full&sslrootcert=FILE to the URL")


def _timeouts(facts: Facts) -> Iterator[Finding]:
    for name in TIMEOUTS:
        value = facts.settings.get(name, "0")
        if value != "0":
            text = f"{name} is {value} ms for user '{facts.user}'; Leveret's sessions switch it off"
            advice = f'run ALTER ROLE "{facts.user}" SET {name} = 0, for poolers and tools that reset a session'
            yield Finding("timeouts", Level.NOTE, text, advice)


def _lz4(facts: Facts) -> Iterator[Finding]:
    if not facts.has_lz4 and facts.engine == "PostgreSQL":
        text = "the server cannot compress with lz4: bodies of messages are compressed more slowly"
        yield Finding("lz4", Level.NOTE, text, "use PostgreSQL 14 or newer, built with lz4, before creating the tables")
