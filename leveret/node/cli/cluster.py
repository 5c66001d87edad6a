"""leveret cluster: prepare and check the PostgreSQL database that the nodes of a cluster share."""

from __future__ import annotations

from types import ModuleType
from typing import Annotated

import typer

from leveret.node.cli.arguments import examples
from leveret.node.cli.output import AsJson, refuse

app = typer.Typer(help="Prepare and check the PostgreSQL database of a cluster.", no_args_is_help=True)

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
    _work().init(url, password_file)


@app.command(epilog=examples("cluster check postgresql://leveret@db.example.com/leveret"))
def check(url: DatabaseUrl, password_file: PasswordFile = None, as_json: AsJson = False) -> None:
    """Check whether a database keeps what a cluster promises, and suggest fixes; exit status 1 if there is an error.

    Requires the extra `cluster`: pip install 'leveret[cluster]'.
    """
    _work().check(url, password_file, as_json)


def _work() -> ModuleType:
    """The part of these commands that needs PostgreSQL's client, which no other command loads."""
    try:
        from leveret.node.cli import cluster_work
    except ImportError as error:
        if (error.name or "").startswith("leveret"):
            raise
        refuse("the client of PostgreSQL is not installed: pip install 'leveret[cluster]'")
    return cluster_work
