"""leveret parameters: values for shovels, federation and others. The broker stores them, but does not use them."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.arguments import examples
from leveret.node.cli.output import AsJson, rows, show
from leveret.node.cli.permissions import OnlyVhost, Vhost
from leveret.node.cli.policies import read_json
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.verbs import perform
from leveret.node.printable import say

app = typer.Typer(
    help="Manage parameters of shovels, federation and others. The broker only stores and exports them.",
    no_args_is_help=True,
)

Component = Annotated[str, typer.Argument(help="Component, such as shovel.")]
Name = Annotated[str, typer.Argument(help="Name of the parameter.")]


@app.command("list", epilog=examples("parameters list --vhost shop"))
@at_broker
def list_parameters(
    target: Target,
    vhost: OnlyVhost = None,
    as_json: AsJson = False,
) -> None:
    """List parameters."""
    found = rows(perform(target, "list_parameters", vhost=vhost))
    show(found, ["vhost", "component", "name", "value"], as_json)


@app.command("set", epilog=examples('parameters set shovel move \'{"src-queue": "a"}\''))
@at_broker
def set_parameter(
    target: Target,
    component: Component,
    name: Name,
    value: Annotated[str, typer.Argument(help="The value as JSON.")],
    vhost: Vhost = "/",
) -> None:
    """Set a parameter."""
    given = {"vhost": vhost, "component": component, "name": name, "value": read_json(value)}
    perform(target, "set_parameter", **given)
    say(f"Set parameter '{name}' of {component} in virtual host '{vhost}'.")


@app.command(epilog=examples("parameters clear shovel move"))
@at_broker
def clear(
    target: Target,
    component: Component,
    name: Name,
    vhost: Vhost = "/",
) -> None:
    """Delete a parameter."""
    perform(target, "clear_parameter", vhost=vhost, component=component, name=name)
    say(f"Cleared parameter '{name}' of {component} in virtual host '{vhost}'.")
