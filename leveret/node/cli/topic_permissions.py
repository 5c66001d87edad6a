"""leveret topic-permissions: the routing keys that users may use with topic exchanges."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.arguments import examples
from leveret.node.cli.output import AsJson, rows, show
from leveret.node.cli.permissions import OnlyUser, OnlyVhost, User, Vhost
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.verbs import perform
from leveret.node.printable import say

app = typer.Typer(
    help="Manage topic permissions: the routing keys that users may use with topic exchanges.", no_args_is_help=True
)


@app.command("list", epilog=examples("topic-permissions list --user alice"))
@at_broker
def list_topic_permissions(
    target: Target,
    user: OnlyUser = None,
    vhost: OnlyVhost = None,
    as_json: AsJson = False,
) -> None:
    """List topic permissions."""
    found = rows(perform(target, "list_topic_permissions", user=user, vhost=vhost))
    show(found, ["user", "vhost", "exchange", "write", "read"], as_json)


@app.command("set", epilog=examples("topic-permissions set alice amq.topic '^eu\\.' '.*'"))
@at_broker
def set_topic_permissions(
    target: Target,
    user: User,
    exchange: Annotated[str, typer.Argument(help="Name of the topic exchange.")],
    write: Annotated[str, typer.Argument(help="Pattern of routing keys the user may publish with.")],
    read: Annotated[str, typer.Argument(help="Pattern of routing keys the user may bind with.")],
    vhost: Vhost = "/",
) -> None:
    """Restrict the routing keys of a user. Patterns may contain the variables {username} and {vhost}."""
    given = {"user": user, "vhost": vhost, "exchange": exchange, "write": write, "read": read}
    perform(target, "set_topic_permissions", **given)
    say(f"Set the topic permissions of user '{user}' for exchange '{exchange}' in virtual host '{vhost}'.")


@app.command(epilog=examples("topic-permissions clear alice amq.topic"))
@at_broker
def clear(
    target: Target,
    user: User,
    exchange: Annotated[str | None, typer.Argument(help="Name of the topic exchange. Omit for all exchanges.")] = None,
    vhost: Vhost = "/",
) -> None:
    """Remove topic permissions of a user in a virtual host."""
    perform(target, "clear_topic_permissions", user=user, vhost=vhost, exchange=exchange)
    say(f"Cleared topic permissions of user '{user}' in virtual host '{vhost}'.")
