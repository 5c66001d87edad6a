"""leveret recording: show and compare recordings of `leveret serve --record`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from leveret.management.recording import VOLATILE, RecordingError, read, shown
from leveret.management.recording import compare as compare_files
from leveret.node.cli.arguments import examples
from leveret.node.cli.output import refuse
from leveret.node.printable import complain, say

app = typer.Typer(help="Show and compare recordings of `leveret serve --record`.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="File written by `leveret serve --record`.", readable=False)]


@app.command(epilog=examples("recording show run.jsonl"))
def show(file: File) -> None:
    """Print the events of a recording, one per line."""
    for event in _events(file):
        say(_line(event))


@app.command(epilog=examples("recording compare before.jsonl after.jsonl --unordered"))
def compare(
    one: File,
    other: File,
    unordered: Annotated[bool, typer.Option("--unordered", help="Ignore the order of messages.")] = False,
    ignore: Annotated[
        list[str] | None, typer.Option(help=f"Ignore this property. Repeatable. Default: {', '.join(VOLATILE)}.")
    ] = None,
) -> None:
    """Print the differences between two recordings. Exit status: 1 for differences, 2 for an unreadable file."""
    try:
        found = compare_files(one, other, ordered=not unordered, ignore=ignore or VOLATILE)
    except (OSError, RecordingError) as error:
        complain("leveret", _reason(error))
        raise typer.Exit(2) from None
    for line in found:
        say(line)
    sys.exit(1 if found else 0)


def _events(file: Path) -> Iterator[dict[str, Any]]:
    """The events of a recording. An error ends the command."""
    try:
        yield from read(file)
    except (OSError, RecordingError) as error:
        refuse(_reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot read {error.filename}: {error.strerror}"
    return str(error)


def _line(event: dict[str, Any]) -> str:
    at_s = event["at_ms"] / 1000
    number = "" if event.get("message") is None else f" #{event['message']}"
    who = f" {event['connection']}" if event.get("connection") else ""
    if event["event"] == "publish":
        where = f"{event.get('exchange')!r} {event.get('routing_key')!r}"
        went = ", ".join(event.get("queues", [])) or event.get("outcome")
        return f"{at_s:9.3f} publish{number}{who}: {where} -> {went}: {shown(event)}"
    return f"{at_s:9.3f} {event['event']}{number}{who}: {event.get('queue')}"
