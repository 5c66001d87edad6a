"""leveret permissions: what users may do in virtual hosts."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.output import AsJson, rows, show
from leveret.node.cli.target import Control, DataDir, perform
from leveret.node.printable import say

app = typer.Typer(help="Permissions: what users may do in virtual hosts.", no_args_is_help=True)

User = Annotated[str, typer.Argument(help="Name of the user.")]
Vhost = Annotated[str, typer.Option(help="The virtual host.")]
OnlyUser = Annotated[str | None, typer.Option("--user", help="Only of this user.")]
OnlyVhost = Annotated[str | None, typer.Option("--vhost", help="Only in this virtual host.")]


@app.command("list")
def list_permissions(
    user: OnlyUser = None,
    vhost: OnlyVhost = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    control: Control = None,
) -> None:
    """List permissions."""
    found = rows(perform(data_dir, control, "list_permissions", user=user, vhost=vhost))
    show(found, ["user", "vhost", "configure", "write", "read"], as_json)


@app.command("set")
def set_permissions(
    user: User,
    configure: Annotated[str, typer.Argument(help="Pattern of names it may declare and delete; '' for none.")],
    write: Annotated[str, typer.Argument(help="Pattern of names it may publish and bind to.")],
    read: Annotated[str, typer.Argument(help="Pattern of names it may consume and bind from.")],
    vhost: Vhost = "/",
    data_dir: DataDir = None,
    control: Control = None,
) -> None:
    """Set what a user may do in a virtual host: three patterns, searched in names of queues and exchanges."""
    perform(data_dir, control, "set_permissions", user=user, vhost=vhost, configure=configure, write=write, read=read)
    say(f"Set the permissions of user '{user}' in virtual host '{vhost}'.")


@app.command()
def clear(user: User, vhost: Vhost = "/", data_dir: DataDir = None, control: Control = None) -> None:
    """Take away what a user may do in a virtual host."""
    perform(data_dir, control, "clear_permissions", user=user, vhost=vhost)
    say(f"Cleared the permissions of user '{user}' in virtual host '{vhost}'.")
