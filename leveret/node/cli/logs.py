"""leveret logs: log levels of a running broker."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.arguments import examples
from leveret.node.cli.output import AsJson, rows, show
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.verbs import perform
from leveret.node.printable import say

app = typer.Typer(help="Manage the log of a running broker.", no_args_is_help=True)


@app.callback()
def logs() -> None:
    """Manage the log of a running broker."""


@app.command(epilog=examples("logs level", "logs level connection debug"))
@at_broker
def level(
    target: Target,
    area: Annotated[str | None, typer.Argument(help="Log area, or all.")] = None,
    wanted: Annotated[
        str | None,
        typer.Argument(
            metavar="LEVEL", help="debug, info, warning or error; default makes an area use the level of all."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the log level of each area, or set it until the broker stops."""
    if area is not None and wanted is not None:
        perform(target, "set_log_level", area=area, level=wanted)
        say(f"The log level of {area} is now {wanted}.")
        return
    found = rows(perform(target, "show_log_levels"))
    show([row for row in found if area in (None, row["area"])], ["area", "level", "about"], as_json)
