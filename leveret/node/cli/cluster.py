"""leveret cluster: prepare, check, fill and empty the PostgreSQL database that the nodes of a cluster share."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Annotated

import typer

from leveret.node.cli.arguments import examples
from leveret.node.cli.output import AsJson, refuse
from leveret.node.cli.target import DataDir, find_directory

app = typer.Typer(help="Prepare, check and fill the PostgreSQL database of a cluster.", no_args_is_help=True)

DatabaseUrl = Annotated[
    str,
    typer.Argument(
        help="PostgreSQL database: postgresql://USER@HOST:5432/DATABASE, without a password. "
        "Options such as ?sslmode=verify-full are those of libpq."
    ),
]
PasswordFile = Annotated[
    str | None,
    typer.Option(
        help="File with the user's password. Default: LEVERET_CLUSTER_PASSWORD_FILE, else the password in "
        "LEVERET_CLUSTER_PASSWORD, PGPASSWORD or ~/.pgpass.",
    ),
]
NodeName = Annotated[str, typer.Argument(help="Name of the node, as of `leveret serve --node`.")]


@app.command(
    epilog=examples(
        "cluster init postgresql://leveret@db.example.com/leveret --password-file /etc/leveret/database-password",
        "cluster init 'postgresql://leveret@db1,db2/leveret?sslmode=verify-full&sslrootcert=/etc/leveret/ca.pem'",
    )
)
def init(url: DatabaseUrl, password_file: PasswordFile = None) -> None:
    """Create the tables of a cluster in an empty database, or upgrade them. Existing ones are not changed.

    Requires the extra `cluster`: pip install 'leveret[cluster]'.
    """
    _work("cluster_work").init(url, password_file)


@app.command(epilog=examples("cluster check postgresql://leveret@db.example.com/leveret"))
def check(url: DatabaseUrl, password_file: PasswordFile = None, as_json: AsJson = False) -> None:
    """Check whether a database keeps what a cluster promises, and suggest fixes; exit status 1 if there is an error.

    Requires the extra `cluster`: pip install 'leveret[cluster]'.
    """
    _work("cluster_work").check(url, password_file, as_json)


@app.command(epilog=examples("cluster status postgresql://leveret@db.example.com/leveret"))
def status(url: DatabaseUrl, password_file: PasswordFile = None, as_json: AsJson = False) -> None:
    """Show the nodes of a cluster with their shards, and its database.

    Requires the extra `cluster`: pip install 'leveret[cluster]'.
    """
    _work("cluster_work").show_status(url, password_file, as_json)


@app.command(epilog=examples("cluster drain postgresql://leveret@db.example.com/leveret b"))
def drain(url: DatabaseUrl, node: NodeName, password_file: PasswordFile = None) -> None:
    """Have a node hand all its shards to other nodes and take none, for example before maintenance.

    It lasts until `leveret cluster undrain`, or until the node restarts. Requires the extra `cluster`.
    """
    _work("cluster_work").drain(url, node, password_file)


@app.command(epilog=examples("cluster undrain postgresql://leveret@db.example.com/leveret b"))
def undrain(url: DatabaseUrl, node: NodeName, password_file: PasswordFile = None) -> None:
    """Have a draining node take shards again.

    Requires the extra `cluster`: pip install 'leveret[cluster]'.
    """
    _work("cluster_work").undrain(url, node, password_file)


@app.command(
    "import", epilog=examples("cluster import postgresql://leveret@db.example.com/leveret --data-dir /var/lib/leveret")
)
def import_(
    url: DatabaseUrl, data_dir: DataDir = None, password_file: PasswordFile = None, as_json: AsJson = False
) -> None:
    """Copy all definitions and persistent messages of a stopped broker's data directory to the empty database of a
    cluster.

    `leveret cluster init` prepares the database. The data directory does not change; do not start a broker with it
    again. After an interruption no node starts with the database; run the command again, which starts anew. Damaged
    data is reported and not copied; then the exit status is 1. Requires the extra `cluster`.
    """
    directory = find_directory(data_dir)
    _work("cluster_copying").import_directory(url, directory, password_file, as_json)


@app.command(epilog=examples("cluster export postgresql://leveret@db.example.com/leveret --data-dir /srv/leveret"))
def export(
    url: DatabaseUrl, data_dir: DataDir = None, password_file: PasswordFile = None, as_json: AsJson = False
) -> None:
    """Copy all definitions and persistent messages from the database of a stopped cluster to a new data directory.

    The database does not change; do not start a node with it again. After an interruption no broker starts with the
    data directory; run the command again, which starts anew. Damaged data is reported and not copied; then the exit
    status is 1. Requires the extra `cluster`.
    """
    directory = find_directory(data_dir)
    _work("cluster_copying").export_directory(url, directory, password_file, as_json)


def _work(name: str) -> ModuleType:
    """The part of these commands that needs PostgreSQL's client, which no other command loads."""
    try:
        return importlib.import_module(f"leveret.node.cli.{name}")
    except ImportError as error:
        if (error.name or "").startswith("leveret"):
            raise
        refuse("the client of PostgreSQL is not installed: pip install 'leveret[cluster]'")
