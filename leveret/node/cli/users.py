"""leveret users: manage users."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.arguments import examples
from leveret.node.cli.names import of_users
from leveret.node.cli.output import AsJson, Sure, confirm, rows, show
from leveret.node.cli.password import FromInput, Hash, Hashing, Kept, Password, credential
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.verbs import perform
from leveret.node.printable import say

app = typer.Typer(help="Manage users.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the user.", autocompletion=of_users)]


@app.command("list", epilog=examples("users list --json"))
@at_broker
def list_users(
    target: Target,
    as_json: AsJson = False,
) -> None:
    """List users with their tags and limits."""
    show(rows(perform(target, "list_users")), ["name", "tags", "limits"], as_json)


@app.command(epilog=examples("users add alice --tag monitoring", "users add bob --password-stdin < secret.txt"))
@at_broker
def add(
    target: Target,
    name: Name,
    password: Password = None,
    password_stdin: FromInput = False,
    password_hash: Hash = None,
    hashing: Kept = Hashing.ARGON2,
    tag: Annotated[list[str] | None, typer.Option(help="A tag, such as administrator. Repeatable.")] = None,
) -> None:
    """Add a user. The user has no access until you grant permissions."""
    given = credential(password, password_stdin, password_hash, hashing)
    perform(target, "add_user", name=name, tags=tag or [], **given)
    say(f"Added user '{name}'.")


@app.command("password", epilog=examples("users password alice"))
@at_broker
def change_password(
    target: Target,
    name: Name,
    password: Password = None,
    password_stdin: FromInput = False,
    password_hash: Hash = None,
    hashing: Kept = Hashing.ARGON2,
) -> None:
    """Change the password of a user."""
    given = credential(password, password_stdin, password_hash, hashing)
    perform(target, "change_password", name=name, **given)
    say(f"Changed the password of user '{name}'.")


@app.command(epilog=examples("users tags alice management monitoring"))
@at_broker
def tags(
    target: Target,
    name: Name,
    tag: Annotated[
        list[str] | None, typer.Argument(help="The new tags, which replace the old ones. Omit to remove all tags.")
    ] = None,
) -> None:
    """Set the tags of a user."""
    perform(target, "set_user_tags", name=name, tags=tag or [])
    say(f"User '{name}' has {'the tags ' + ', '.join(tag) if tag else 'no tags'}.")


@app.command(epilog=examples("users delete alice --yes"))
@at_broker
def delete(
    target: Target,
    name: Name,
    yes: Sure = False,
) -> None:
    """Delete a user and the user's permissions, and close the user's connections."""
    confirm(f"Delete user '{name}'", yes)
    perform(target, "delete_user", name=name)
    say(f"Deleted user '{name}'.")


@app.command(epilog=examples("users permissions alice"))
@at_broker
def permissions(
    target: Target,
    name: Name,
    as_json: AsJson = False,
) -> None:
    """List a user's permissions in all virtual hosts."""
    found = rows(perform(target, "list_permissions", user=name))
    show(found, ["vhost", "configure", "write", "read"], as_json)
