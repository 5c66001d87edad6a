"""DatabaseUrl: the URL of the database of a cluster, without a password.

A password in a URL would be visible in the list of processes, in shell histories and in logs. So such a URL is refused,
and no error quotes a URL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from leveret.cluster.errors import ClusterError

EXAMPLE: Final = "postgresql://USER@HOST:5432/DATABASE"
PORT: Final = 5432
MAX_PORT: Final = 65_535
SECRETS: Final = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
WAYS: Final = (
    "put it into a file and name that with LEVERET_CLUSTER_PASSWORD_FILE or --password-file "
    "(`leveret serve`: --cluster-password-file), or use LEVERET_CLUSTER_PASSWORD or ~/.pgpass"
)


@dataclass(frozen=True)
class Host:
    """A server of the URL. name: a host name, an address, or the directory of a Unix socket; empty for the default of
    libpq. address: its IP address, if the URL gives it with hostaddr.
    """

    name: str
    port: int
    address: str = ""

    @property
    def is_socket(self) -> bool:
        """Whether it is a Unix socket."""
        return self.name.startswith(("/", "@"))

    def __str__(self) -> str:
        if not self.name and not self.address:
            return "the local server"
        name = self.name or self.address
        return f"[{name}]:{self.port}" if ":" in name else f"{name}:{self.port}"


@dataclass(frozen=True)
class DatabaseUrl:
    """A parsed URL. options: parameters of libpq such as sslmode, without hosts, user and database."""

    hosts: tuple[Host, ...]
    user: str
    database: str
    options: dict[str, str]

    def __str__(self) -> str:
        name = f"database '{self.database}'" if self.database else "the database"
        return f"{name} at {', '.join(map(str, self.hosts))}"


def parse(url: str) -> DatabaseUrl:
    """Parse `postgresql://USER@HOST:PORT,HOST2:PORT/DATABASE?sslmode=verify-full`.

    Raises: ClusterError if it is not such a URL, or contains a password.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise ClusterError(f"the database is not given as a URL of PostgreSQL: write {EXAMPLE}")
    login, at, _ = url.partition("://")[2].rpartition("@")
    if ":" in login or re.search(r"[?&](ssl)?password=", url):
        raise ClusterError(f"the URL of the database must not contain a password: {WAYS}")
    if at and re.search(r"[/?#@]", login):
        raise ClusterError(f"the URL of the database has an @ too many: write {EXAMPLE}, and %40 for an @ in a name")
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError as error:
        raise ClusterError(f"{_complaint(str(error))}: write {EXAMPLE}") from None
    except UnicodeError:
        raise ClusterError(f"the URL of the database is not UTF-8: write {EXAMPLE}") from None
    if any(name in found for name in SECRETS):
        raise ClusterError(f"the URL of the database must not contain a password: {WAYS}")
    hosts = _hosts(found.pop("host", ""), found.pop("hostaddr", ""), found.pop("port", ""))
    return DatabaseUrl(hosts, found.pop("user", ""), found.pop("dbname", ""), found)


def _complaint(text: str) -> str:
    """What is wrong with a URL, without any part of it but the name of an option."""
    named = re.match(r'invalid URI query parameter: "(\w+)"', text)
    if named is not None:
        return f"the URL of the database has the option '{named[1]}', which PostgreSQL does not know"
    return "the database is not given as a valid URL of PostgreSQL"


def _hosts(names: str, addresses: str, ports: str) -> tuple[Host, ...]:
    count = max(names.count(","), addresses.count(",")) + 1
    each_name = names.split(",") if names else [""] * count
    each_address = addresses.split(",") if addresses else [""] * count
    each_port = [_port(port) for port in ports.split(",")]
    if len(each_port) == 1:
        each_port *= count
    if not len(each_name) == len(each_address) == len(each_port) == count:
        raise ClusterError(
            "the URL of the database does not have as many ports or addresses as hosts: give each its own"
        )
    return tuple(map(Host, each_name, each_port, each_address))


def _port(text: str) -> int:
    if not text:
        return PORT
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_PORT:
        raise ClusterError(f"the URL of the database has a port that is no number up to {MAX_PORT}: write {EXAMPLE}")
    return int(text)
