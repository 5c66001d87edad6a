"""Connections to the database of a cluster, all with the same settings, and errors in one sentence.

A connection commits each statement by itself, under READ COMMITTED, and waits as long as the server needs: only a host
that no longer answers TCP ends it, after about DEAD_S. A server that is slow or stopped while its machine runs ends
nothing, unless for DEAD_S it reads none of the data on the way to it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import psycopg

from leveret.cluster.errors import ClusterError, NotPrimary
from leveret.cluster.url import WAYS, DatabaseUrl, Host, parse

Connection: TypeAlias = psycopg.Connection[tuple[object, ...]]

SCHEMA: Final = "leveret"
CONNECTIONS: Final = 3  # of each node: commits; reads; beats and watching
DEAD_S: Final = 10
CONNECT_S: Final = 5  # for each address
PASSWORD_FILE: Final = "LEVERET_CLUSTER_PASSWORD_FILE"
PASSWORD: Final = "LEVERET_CLUSTER_PASSWORD"
MAX_PASSWORD_FILE: Final = 4096  # bytes

TRANSPORT: Final = {  # a URL may give others
    "connect_timeout": str(CONNECT_S),
    "keepalives": "1",
    "keepalives_idle": "4",  # seconds
    "keepalives_interval": "2",  # seconds
    "keepalives_count": "3",
    "tcp_user_timeout": str(DEAD_S * 1000),  # milliseconds; Linux counts lost keepalives by it, too
}

SETTINGS: Final = {
    "search_path": SCHEMA,
    "default_transaction_isolation": "read committed",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "tcp_keepalives_idle": "10",  # seconds; so that the server closes connections of a dead machine
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
"""Settings of each session. One that a server does not know is left out: versions and engines differ."""


def find_password(file: str | None = None) -> str | None:
    """The password from a file, else from the file or the password in the environment; None leaves it to libpq.

    libpq uses PGPASSWORD, then ~/.pgpass. Raises: ClusterError if the file cannot be read.
    """
    path = file or os.environ.get(PASSWORD_FILE)
    if not path:
        return os.environ.get(PASSWORD) or None
    try:
        with Path(path).open("rb") as source:
            content = source.read(MAX_PASSWORD_FILE + 1)
        password = content.decode().rstrip("\r\n")
    except OSError as error:
        raise ClusterError(f"cannot read the password file '{path}': {error.strerror}") from None
    except ValueError:
        raise ClusterError(f"the password file '{path}' is not UTF-8: it must contain the password alone") from None
    if not password or len(content) > MAX_PASSWORD_FILE or "\n" in password or "\0" in password:
        raise ClusterError(f"the password file '{path}' must contain the password alone, in one line")
    return password


def connect(
    url: str | DatabaseUrl, password: str | None = None, purpose: str = "", may_be_standby: bool = False
) -> Connection:
    """Connect to the first server of a URL that accepts writes, or with may_be_standby to any that answers.

    password: of find_password(). purpose: what the connection is for, shown in pg_stat_activity.
    Raises: ClusterError with a reason for each host; NotPrimary if one is reachable, but accepts no writes.
    """
    place = parse(url) if isinstance(url, str) else url
    errors: list[ClusterError] = []
    for host in place.hosts:
        try:
            return _open(place, host, password, purpose, may_be_standby)
        except ClusterError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    kind = NotPrimary if any(isinstance(error, NotPrimary) for error in errors) else ClusterError
    raise kind("; ".join(map(str, errors)))


def apply_settings(connection: Connection) -> None:
    """Apply SETTINGS to a session. Raises: psycopg.Error."""
    names, values = list(SETTINGS), list(SETTINGS.values())
    connection.execute(
        "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS wanted(name, value)"
        " WHERE name IN (SELECT name FROM pg_settings)",
        (names, values),
    )


def _open(place: DatabaseUrl, host: Host, password: str | None, purpose: str, may_be_standby: bool) -> Connection:
    options: dict[str, Any] = dict(_options(place, host, password))
    options["application_name"] = f"leveret {purpose}".rstrip()
    options["target_session_attrs"] = "any" if may_be_standby else "read-write"
    connection: Connection | None = None
    try:
        connection = psycopg.connect("", autocommit=True, **options)
        apply_settings(connection)
    except psycopg.Error as error:
        if connection is not None:
            connection.close()
        raise refusal(error, place, host) from None
    return connection


def _options(place: DatabaseUrl, host: Host, password: str | None) -> Iterator[tuple[str, str]]:
    yield from TRANSPORT.items()
    yield from place.options.items()
    yield "client_encoding", "UTF8"
    yield "port", str(host.port)
    for name, value in (
        ("host", host.name),
        ("hostaddr", host.address),
        ("user", place.user),
        ("dbname", place.database),
        ("password", password),
    ):
        if value:
            yield name, value


CAUSES: Final = (
    (
        r"session is read-only|server is in hot standby mode|read-only transaction",
        "it accepts no writes: it is a standby, or default_transaction_read_only is on; name the primary, or all hosts",
    ),
    (r"failed to resolve host|could not translate host name", "the host name is unknown; correct it, or check DNS"),
    (r"Connection refused", "connection refused; start PostgreSQL there, or correct host and port"),
    (r"No such file or directory", "there is no such socket; start PostgreSQL there, or correct host and port"),
    (r"timeout expired|timed out", "no answer in time; check that the machine runs, and the firewall"),
    (r"server closed the connection|Connection reset", "the connection broke at once; see the log of the server"),
    (r"No route to host|Network is unreachable", "the network does not lead there; check the host and the network"),
    (r"no password supplied", f"it asks for the password of {{user}}: {WAYS}"),
    (
        r"password authentication failed|authentication failed",
        "it refused the login of {user}; correct user name or password",
    ),
    (r'role "[^"]*" does not exist', "it has no {user}; create it with `createuser`, or name another in the URL"),
    (r"is not permitted to log in", "{user} may not log in; allow it with ALTER ROLE … LOGIN"),
    (r'database "[^"]*" does not exist', "it has no {database}; create it with `createdb`, or correct the URL"),
    (r"permission denied for database", "{user} may not connect to {database}; grant CONNECT on it"),
    (r"no pg_hba\.conf entry", "it does not admit {user} to {database} from this address; add it to pg_hba.conf"),
    (r"server does not support SSL", "it does not support TLS; set ssl=on there, or change sslmode in the URL"),
    (
        r"certificate verify failed|root certificate file",
        "its certificate cannot be verified ({detail}); name the file of the CA with sslrootcert in the URL",
    ),
    (r"does not match host name", "its certificate is for another name ({detail}); use that name in the URL"),
    (r"certificate|SSL", "TLS failed: {detail}"),
    (r"starting up|shutting down|not yet accepting|in recovery mode", "it is starting or stopping; try again"),
    (
        r"too many c(lients|onnections)|connection slots are reserved",
        "it has no connection left; raise max_connections, or close connections",
    ),
)
"""Texts of psycopg, libpq and the server, and what they mean."""


def refusal(error: psycopg.Error, place: DatabaseUrl, host: Host) -> ClusterError:
    """The error of an attempt to connect, in one sentence."""
    text = str(error).partition("\nMultiple connection attempts failed")[0]
    user = f"user '{place.user}'" if place.user else "the user"
    database = f"database '{place.database}'" if place.database else "the database"
    for index, (pattern, meaning) in enumerate(CAUSES):
        if re.search(pattern, text):
            reason = meaning.format(user=user, database=database, detail=_detail(text))
            return (ClusterError if index else NotPrimary)(f"cannot use PostgreSQL at {host}: {reason}")
    return ClusterError(f"cannot use PostgreSQL at {host}: {_detail(text)}")


def _detail(text: str) -> str:
    """The cause in a text of libpq, without what it says of the server before, and in one line."""
    line = text.strip().splitlines()[0] if text.strip() else "unknown error"
    line = re.sub(r"^(connection failed|connection is bad): ", "", line)
    line = re.sub(r"^connection to server (at|on) .*? failed: ", "", line)
    return re.sub(r"^(FATAL|ERROR):\s*", "", line).rstrip(". ")
