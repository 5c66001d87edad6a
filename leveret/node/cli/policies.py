"""leveret policies: settings for queues and exchanges by their names."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.arguments import examples
from leveret.node.cli.output import AsJson, rows, show
from leveret.node.cli.permissions import OnlyVhost, Vhost
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.verbs import perform
from leveret.node.printable import complain, say

app = typer.Typer(help="Policies: settings for queues and exchanges by their names.", no_args_is_help=True)

SHOWN = 100  # characters of a value that is none

Name = Annotated[str, typer.Argument(help="Name of the policy.")]
Operator = Annotated[bool, typer.Option("--operator", help="Operator policies, which limit what policies may ask.")]


@app.command("list", epilog=examples("policies list --vhost shop", "policies list --operator"))
@at_broker
def list_policies(
    target: Target,
    vhost: OnlyVhost = None,
    operator: Operator = False,
    as_json: AsJson = False,
) -> None:
    """List policies."""
    verb = "list_operator_policies" if operator else "list_policies"
    found = rows(perform(target, verb, vhost=vhost))
    show(found, ["vhost", "name", "pattern", "apply-to", "definition", "priority"], as_json)


@app.command("set", epilog=examples("policies set short '^mail' '{\"max-length\": 100}'"))
@at_broker
def set_policy(
    target: Target,
    name: Name,
    pattern: Annotated[str, typer.Argument(help="Pattern, searched in names.")],
    definition: Annotated[str, typer.Argument(help="""The settings in JSON: '{"max-length": 1000}'.""")],
    priority: Annotated[int, typer.Option(help="Of the policies that match, the highest one counts.")] = 0,
    apply_to: Annotated[
        str, typer.Option(help="all, queues, classic_queues, quorum_queues, streams or exchanges.")
    ] = "all",
    vhost: Vhost = "/",
    operator: Operator = False,
) -> None:
    """Set a policy; queues and exchanges that it matches follow it at once."""
    given = {
        "vhost": vhost,
        "name": name,
        "pattern": pattern,
        "definition": read_json(definition),
        "priority": priority,
        "apply_to": apply_to,
    }
    perform(target, "set_operator_policy" if operator else "set_policy", **given)
    from leveret.core.policy.policy import WITHOUT_EFFECT

    settings = given["definition"]
    for key in sorted(WITHOUT_EFFECT.intersection(settings if isinstance(settings, dict) else ())):
        complain("note", f"{key} is kept and exported again, and has no effect here")
    say(f"Set {_kind(operator)} '{name}' in virtual host '{vhost}'.")


@app.command(epilog=examples("policies clear short --vhost shop"))
@at_broker
def clear(
    target: Target,
    name: Name,
    vhost: Vhost = "/",
    operator: Operator = False,
) -> None:
    """Delete a policy."""
    verb = "clear_operator_policy" if operator else "clear_policy"
    perform(target, verb, vhost=vhost, name=name)
    say(f"Cleared {_kind(operator)} '{name}' in virtual host '{vhost}'.")


def read_json(text: str) -> object:
    """A value given on the command line."""
    from leveret.core.policy.documents import read_json as read

    try:
        return read(text)
    except ValueError as error:
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
        raise typer.BadParameter(f"not valid JSON: {error}: {shown}") from None


def _kind(operator: bool) -> str:
    return "operator policy" if operator else "policy"
