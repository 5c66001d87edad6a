"""leveret limits: limits of virtual hosts and users."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from leveret.node.cli.arguments import examples
from leveret.node.cli.output import AsJson, rows, show
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.verbs import perform
from leveret.node.printable import say


class NumbersAreNoOptions(TyperCommand):
    """A command whose last argument may be a negative number."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Move negative numbers behind `--`, so that they are not parsed as options."""
        numbers = [each for each in args if re.fullmatch(r"-\d+", each)]
        if numbers and "--" not in args:
            args = [*(each for each in args if each not in numbers), "--", *numbers]
        return super().parse_args(ctx, args)


app = typer.Typer(help="Manage limits of virtual hosts and users.", no_args_is_help=True)

OF_VHOST: Final = "max-connections, max-queues, max-exchanges, max-bindings, max-consumers"

OfVhost = Annotated[
    str | None, typer.Option("--vhost", help=f"Name of a virtual host, which can have these limits: {OF_VHOST}.")
]
OfUser = Annotated[
    str | None, typer.Option("--user", help="Name of a user, who can have these limits: max-connections, max-channels.")
]


@app.command("list", epilog=examples("limits list --vhost shop"))
@at_broker
def list_limits(
    target: Target,
    vhost: OfVhost = None,
    user: OfUser = None,
    as_json: AsJson = False,
) -> None:
    """List limits."""
    found: list[dict[str, object]] = []
    if user is None:
        found += _flat("vhost", rows(perform(target, "list_vhost_limits", vhost=vhost)))
    if vhost is None:
        found += _flat("user", rows(perform(target, "list_user_limits", user=user)))
    show(found, ["of", "name", "limit", "value"], as_json)


@app.command(
    "set",
    cls=NumbersAreNoOptions,
    epilog=examples("limits set max-queues 100 --vhost shop", "limits set max-connections 10 --user alice"),
)
@at_broker
def set_limit(
    target: Target,
    limit: Annotated[str, typer.Argument(help="Name of the limit.")],
    value: Annotated[int, typer.Argument(help="The maximum; 0 allows none, -1 removes the limit.", min=-1)],
    vhost: OfVhost = None,
    user: OfUser = None,
) -> None:
    """Set a limit of a virtual host or of a user."""
    kind, name = _owner(vhost, user)
    perform(target, f"set_{kind}_limits", **{kind: name}, limits={limit: value})
    say(f"Set {limit} of {kind} '{name}' to {value}.")


@app.command(epilog=examples("limits clear max-queues --vhost shop"))
@at_broker
def clear(
    target: Target,
    limit: Annotated[str | None, typer.Argument(help="Name of the limit. Omit to remove all limits.")] = None,
    vhost: OfVhost = None,
    user: OfUser = None,
) -> None:
    """Remove a limit of a virtual host or of a user."""
    kind, name = _owner(vhost, user)
    perform(target, f"clear_{kind}_limits", **{kind: name}, limit=limit)
    say(f"Cleared {limit or 'all limits'} of {kind} '{name}'.")


def _owner(vhost: str | None, user: str | None) -> tuple[str, str]:
    if vhost is not None and user is None:
        return "vhost", vhost
    if user is not None and vhost is None:
        return "user", user
    raise typer.BadParameter("give either --vhost NAME or --user NAME")


def _flat(kind: str, found: list[dict[str, object]]) -> list[dict[str, object]]:
    result: list[dict[str, object]] = []
    for row in found:
        limits = row["value"]
        assert isinstance(limits, dict)
        result += [{"of": kind, "name": row[kind], "limit": limit, "value": limits[limit]} for limit in sorted(limits)]
    return result
