"""leveret status: how a running broker is."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.output import AsJson, show
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.verbs import perform
from leveret.node.printable import say_json

Seconds = Annotated[int, typer.Option(help="How far back `recent` goes, at most 60.")]


@at_broker
def status(
    target: Target,
    seconds: Seconds = 60,
    as_json: AsJson = False,
) -> None:
    """Show what a running broker holds, whether publishers wait, and how long its event loop was busy at a time."""
    found = perform(target, "show_status", seconds=seconds)
    assert isinstance(found, dict)
    if as_json:
        say_json(found)
    else:
        show([{"what": key, "value": value} for key, value in found.items()], ["what", "value"], False)
