"""leveret parameters: values kept for shovels, federation and others; the broker does not act by them."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.output import AsJson, rows, show
from leveret.node.cli.permissions import OnlyVhost, Vhost
from leveret.node.cli.policies import read_json
from leveret.node.cli.target import Control, DataDir, perform
from leveret.node.printable import say

app = typer.Typer(help="Parameters that are kept and exported, as of shovels and federation.", no_args_is_help=True)

Component = Annotated[str, typer.Argument(help="Whose parameter, as shovel.")]
Name = Annotated[str, typer.Argument(help="Name of the parameter.")]


@app.command("list")
def list_parameters(
    vhost: OnlyVhost = None, as_json: AsJson = False, data_dir: DataDir = None, control: Control = None
) -> None:
    """List parameters."""
    found = rows(perform(data_dir, control, "list_parameters", vhost=vhost))
    show(found, ["vhost", "component", "name", "value"], as_json)


@app.command("set")
def set_parameter(
    component: Component,
    name: Name,
    value: Annotated[str, typer.Argument(help="The value, in JSON.")],
    vhost: Vhost = "/",
    data_dir: DataDir = None,
    control: Control = None,
) -> None:
    """Set a parameter."""
    given = {"vhost": vhost, "component": component, "name": name, "value": read_json(value)}
    perform(data_dir, control, "set_parameter", **given)
    say(f"Set parameter '{name}' of {component} in virtual host '{vhost}'.")


@app.command()
def clear(
    component: Component, name: Name, vhost: Vhost = "/", data_dir: DataDir = None, control: Control = None
) -> None:
    """Delete a parameter."""
    perform(data_dir, control, "clear_parameter", vhost=vhost, component=component, name=name)
    say(f"Cleared parameter '{name}' of {component} in virtual host '{vhost}'.")
