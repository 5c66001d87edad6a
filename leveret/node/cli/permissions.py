"""leveret permissions: the permissions of users in virtual hosts."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.arguments import examples
from leveret.node.cli.names import of_users, of_vhosts
from leveret.node.cli.output import AsJson, rows, show
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.verbs import perform
from leveret.node.printable import say

app = typer.Typer(help="Manage permissions of users in virtual hosts.", no_args_is_help=True)

User = Annotated[str, typer.Argument(help="Name of the user.", autocompletion=of_users)]
Vhost = Annotated[str, typer.Option(help="Virtual host.", autocompletion=of_vhosts)]
OnlyUser = Annotated[str | None, typer.Option("--user", help="Only for this user.", autocompletion=of_users)]
OnlyVhost = Annotated[str | None, typer.Option("--vhost", help="Only in this virtual host.", autocompletion=of_vhosts)]


@app.command("list", epilog=examples("permissions list --vhost shop"))
@at_broker
def list_permissions(
    target: Target,
    user: OnlyUser = None,
    vhost: OnlyVhost = None,
    as_json: AsJson = False,
) -> None:
    """List permissions."""
    found = rows(perform(target, "list_permissions", user=user, vhost=vhost))
    show(found, ["user", "vhost", "configure", "write", "read"], as_json)


@app.command("set", epilog=examples("permissions set alice '^shop' '.*' '^shop' --vhost shop"))
@at_broker
def set_permissions(
    target: Target,
    user: User,
    configure: Annotated[str, typer.Argument(help="Pattern of names the user may declare and delete; '' for none.")],
    write: Annotated[
        str, typer.Argument(help="Pattern of names that the user may publish to, or use as destinations of bindings.")
    ],
    read: Annotated[
        str, typer.Argument(help="Pattern of names that the user may consume from, or use as sources of bindings.")
    ],
    vhost: Vhost = "/",
) -> None:
    """Set a user's permissions in a virtual host: three regular expressions, searched in queue and exchange names."""
    perform(target, "set_permissions", user=user, vhost=vhost, configure=configure, write=write, read=read)
    say(f"Set the permissions of user '{user}' in virtual host '{vhost}'.")


@app.command(epilog=examples("permissions clear alice --vhost shop"))
@at_broker
def clear(
    target: Target,
    user: User,
    vhost: Vhost = "/",
) -> None:
    """Remove a user's permissions in a virtual host."""
    perform(target, "clear_permissions", user=user, vhost=vhost)
    say(f"Cleared the permissions of user '{user}' in virtual host '{vhost}'.")
