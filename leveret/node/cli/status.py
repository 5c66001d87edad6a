"""leveret status: the state of a running broker."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.asking import broker_at
from leveret.node.cli.output import AsJson, show
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.verbs import NO_LEVERET, perform
from leveret.node.printable import say_json

Seconds = Annotated[int, typer.Option(help="Period of the `recent` values in seconds, at most 60.")]


@at_broker
def status(
    target: Target,
    seconds: Seconds = 60,
    as_json: AsJson = False,
) -> None:
    """Show counts and blocked publishers of a running broker, and how long its event loop was busy without a break."""
    if target.is_remote:  # this operation needs only the tag monitoring, verbs need an administrator
        with broker_at(target) as broker:
            found = broker.get("/leveret/status", {"seconds": str(seconds)}, NO_LEVERET)["result"]
    else:
        found = perform(target, "show_status", seconds=seconds)
    assert isinstance(found, dict)
    if as_json:
        say_json(found)
    else:
        show([{"what": key, "value": value} for key, value in found.items()], ["what", "value"], False)
