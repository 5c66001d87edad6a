"""leveret queues: queues of a running broker."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret.node.cli.target import Control, DataDir, perform
from leveret.node.printable import say

app = typer.Typer(help="Queues of a running broker.", no_args_is_help=True)


@app.callback()
def queues() -> None:
    """Queues of a running broker."""


@app.command()
def repair(
    name: Annotated[str, typer.Argument(help="Name of the queue.")],
    vhost: Annotated[str, typer.Option(help="Its virtual host.")] = "/",
    data_dir: DataDir = None,
    control: Control = None,
) -> None:
    """Let a faulty queue try again what has failed, and go on. `leveret status` names faulty queues."""
    perform(data_dir, control, "repair_queue", name=name, vhost=vhost)
    say(f"Queue '{name}' works.")
