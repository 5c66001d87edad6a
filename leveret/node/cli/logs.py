"""leveret logs: what a running broker writes to its log."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.arguments import examples
from leveret.node.cli.output import AsJson, rows, show
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.verbs import perform
from leveret.node.printable import say

app = typer.Typer(help="The log of a running broker.", no_args_is_help=True)


@app.callback()
def logs() -> None:
    """The log of a running broker."""


@app.command(epilog=examples("logs level", "logs level connection debug"))
@at_broker
def level(
    target: Target,
    area: Annotated[str | None, typer.Argument(help="An area, or all.")] = None,
    wanted: Annotated[
        str | None,
        typer.Argument(metavar="LEVEL", help="debug, info, warning or error; default lets an area follow all."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the least that is logged of each area, or set it until the broker ends."""
    if area is not None and wanted is not None:
        perform(target, "set_log_level", area=area, level=wanted)
        say(f"The level of {area} is {wanted} now.")
        return
    found = rows(perform(target, "show_log_levels"))
    show([row for row in found if area in (None, row["area"])], ["area", "level", "about"], as_json)
