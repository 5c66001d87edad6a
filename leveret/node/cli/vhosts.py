"""leveret vhosts: manage virtual hosts."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.arguments import examples
from leveret.node.cli.names import of_vhosts
from leveret.node.cli.output import AsJson, Sure, asks, confirm, rows, show
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.verbs import perform
from leveret.node.printable import say

app = typer.Typer(help="Manage virtual hosts: namespaces for queues and exchanges.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the virtual host.", autocompletion=of_vhosts)]
Description = Annotated[str | None, typer.Option(help="Description of its purpose.")]
Tag = Annotated[list[str] | None, typer.Option(help="A tag. Repeatable.")]
QueueType = Annotated[str | None, typer.Option(help="Type of queues declared without a type.")]


@app.command("list", epilog=examples("vhosts list --json"))
@at_broker
def list_vhosts(
    target: Target,
    as_json: AsJson = False,
) -> None:
    """List virtual hosts."""
    columns = ["name", "description", "tags", "default_queue_type", "limits", "tracing", "queues", "exchanges"]
    show(rows(perform(target, "list_vhosts")), columns, as_json)


@app.command(epilog=examples("vhosts add shop --default-queue-type quorum"))
@at_broker
def add(
    target: Target,
    name: Name,
    description: Description = None,
    tag: Tag = None,
    default_queue_type: QueueType = None,
) -> None:
    """Add a virtual host. No user has access until you set permissions."""
    given = {"description": description or "", "tags": tag or [], "default_queue_type": default_queue_type or ""}
    perform(target, "add_vhost", name=name, **given)
    say(f"Added virtual host '{name}'.")


@app.command("set", epilog=examples("vhosts set shop --tag production"))
@at_broker
def set_vhost(
    target: Target,
    name: Name,
    description: Description = None,
    tag: Tag = None,
    default_queue_type: QueueType = None,
) -> None:
    """Change the given properties of a virtual host."""
    given = {"description": description, "tags": tag, "default_queue_type": default_queue_type}
    perform(target, "set_vhost", name=name, **given)
    say(f"Changed virtual host '{name}'.")


@app.command(epilog=examples("vhosts trace shop", "vhosts trace shop --off"))
@at_broker
def trace(
    target: Target,
    name: Name,
    off: Annotated[bool, typer.Option("--off", help="Stop tracing.")] = False,
) -> None:
    """Copy every published or delivered message to the exchange amq.rabbitmq.trace, until the broker stops."""
    perform(target, "trace_vhost", name=name, on=not off)
    say(f"Virtual host '{name}' is {'no longer ' if off else ''}traced.")


@app.command(epilog=examples("vhosts protect shop", "vhosts protect shop --off"))
@at_broker
def protect(
    target: Target,
    name: Name,
    off: Annotated[bool, typer.Option("--off", help="Allow deletion again.")] = False,
) -> None:
    """Protect a virtual host from deletion."""
    perform(target, "protect_vhost", name=name, on=not off)
    say(f"Virtual host '{name}' is {'no longer ' if off else ''}protected from deletion.")


@app.command(epilog=examples("vhosts delete shop --yes"))
@at_broker
def delete(
    target: Target,
    name: Name,
    yes: Sure = False,
) -> None:
    """Delete a virtual host, its queues, exchanges and permissions, and close its connections."""
    if asks(yes):
        found = [row for row in rows(perform(target, "list_vhosts")) if row["name"] == name]
        has = f"{found[0]['queues']} queues and everything else in it" if found else "everything in it"
        confirm(f"Delete virtual host '{name}' with {has}", yes)
    perform(target, "delete_vhost", name=name)
    say(f"Deleted virtual host '{name}'.")
