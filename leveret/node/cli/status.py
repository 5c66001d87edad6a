"""leveret status: how a running broker is."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.asking import broker_at
from leveret.node.cli.output import AsJson, show
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.verbs import NO_LEVERET, perform
from leveret.node.printable import say_json

Seconds = Annotated[int, typer.Option(help="How far back `recent` goes, at most 60.")]


@at_broker
def status(
    target: Target,
    seconds: Seconds = 60,
    as_json: AsJson = False,
) -> None:
    """Show what a running broker holds, whether publishers wait, and how long its event loop was busy at a time."""
    if target.is_remote:  # where whoever may monitor may ask, and not administrators alone
        with broker_at(target) as broker:
            found = broker.get("/leveret/status", {"seconds": str(seconds)}, NO_LEVERET)["result"]
    else:
        found = perform(target, "show_status", seconds=seconds)
    assert isinstance(found, dict)
    if as_json:
        say_json(found)
    else:
        show([{"what": key, "value": value} for key, value in found.items()], ["what", "value"], False)
