"""leveret policies: settings for queues and exchanges that match a pattern."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.arguments import examples
from leveret.node.cli.output import AsJson, rows, show
from leveret.node.cli.permissions import OnlyVhost, Vhost
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.verbs import perform
from leveret.node.printable import complain, say

app = typer.Typer(
    help="Manage policies: settings for queues and exchanges whose names match a pattern.", no_args_is_help=True
)

SHOWN = 100  # characters of an invalid value in an error

Name = Annotated[str, typer.Argument(help="Name of the policy.")]
Operator = Annotated[
    bool, typer.Option("--operator", help="Use operator policies, which limit the values that policies can set.")
]


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
    pattern: Annotated[str, typer.Argument(help="Regular expression, searched in names.")],
    definition: Annotated[str, typer.Argument(help="""The settings as JSON: '{"max-length": 1000}'.""")],
    priority: Annotated[int, typer.Option(help="The matching policy with the highest priority applies.")] = 0,
    apply_to: Annotated[
        str, typer.Option(help="all, queues, classic_queues, quorum_queues, streams or exchanges.")
    ] = "all",
    vhost: Vhost = "/",
    operator: Operator = False,
) -> None:
    """Set a policy. It applies at once to all matching queues and exchanges."""
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
        complain("note", f"{key} is stored and exported, but has no effect here")
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
    """A JSON value given on the command line. Raises: typer.BadParameter."""
    from leveret.core.policy.documents import read_json as read

    try:
        return read(text)
    except ValueError as error:
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
        raise typer.BadParameter(f"not valid JSON: {error}: {shown}") from None


def _kind(operator: bool) -> str:
    return "operator policy" if operator else "policy"
