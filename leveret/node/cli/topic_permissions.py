"""leveret topic-permissions: which routing keys users may use with topic exchanges."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.output import AsJson, rows, show
from leveret.node.cli.permissions import OnlyUser, OnlyVhost, User, Vhost
from leveret.node.cli.target import Control, DataDir, perform
from leveret.node.printable import say

app = typer.Typer(
    help="Topic permissions: which routing keys users may use with topic exchanges.", no_args_is_help=True
)


@app.command("list")
def list_topic_permissions(
    user: OnlyUser = None,
    vhost: OnlyVhost = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    control: Control = None,
) -> None:
    """List topic permissions."""
    found = rows(perform(data_dir, control, "list_topic_permissions", user=user, vhost=vhost))
    show(found, ["user", "vhost", "exchange", "write", "read"], as_json)


@app.command("set")
def set_topic_permissions(
    user: User,
    exchange: Annotated[str, typer.Argument(help="Name of the topic exchange.")],
    write: Annotated[str, typer.Argument(help="Pattern of routing keys it may publish with.")],
    read: Annotated[str, typer.Argument(help="Pattern of routing keys it may bind with.")],
    vhost: Vhost = "/",
    data_dir: DataDir = None,
    control: Control = None,
) -> None:
    """Restrict the routing keys of a user. {username} and {vhost} in a pattern are replaced."""
    given = {"user": user, "vhost": vhost, "exchange": exchange, "write": write, "read": read}
    perform(data_dir, control, "set_topic_permissions", **given)
    say(f"Set the topic permissions of user '{user}' for exchange '{exchange}' in virtual host '{vhost}'.")


@app.command()
def clear(
    user: User,
    exchange: Annotated[str | None, typer.Argument(help="The exchange; without it, all of them.")] = None,
    vhost: Vhost = "/",
    data_dir: DataDir = None,
    control: Control = None,
) -> None:
    """Lift the restrictions of a user in a virtual host."""
    perform(data_dir, control, "clear_topic_permissions", user=user, vhost=vhost, exchange=exchange)
    say(f"Cleared topic permissions of user '{user}' in virtual host '{vhost}'.")
