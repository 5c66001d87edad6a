"""leveret messages peek and search: read messages without consuming them."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any, Final

import typer

from leveret.node.cli import going_on
from leveret.node.cli.asking import Broker, broker_at, path
from leveret.node.cli.choosing import Choice, State, to_peek, to_search
from leveret.node.cli.found import Lines, tell
from leveret.node.cli.output import progress, refuse
from leveret.node.cli.queues import QueueName, Vhost, messages
from leveret.node.cli.searching import BODY_IN_LINE, Search, say_lost
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.transfer import Stop
from leveret.node.printable import say, say_json
from leveret.store.files import replacing

PEEK_BYTES: Final = 2_000
MOST_BYTES: Final = 16 << 20

AsLines = Annotated[bool, typer.Option("--json", help="Print each message as a line of JSON, as in the HTTP API.")]


@at_broker
@to_peek
def peek(
    target: Target,
    choice: Choice,
    queue: QueueName,
    size: Annotated[
        int, typer.Option("--bytes", min=0, max=MOST_BYTES, help="Maximum number of body bytes to show.")
    ] = PEEK_BYTES,
    as_json: AsLines = False,
    vhost: Vhost = "/",
) -> None:
    """Show the first messages of a queue, or its newest ones, in full. The queue does not change."""
    with broker_at(target) as broker:
        search = Search(broker, queue, vhost, choice, size)
        number = 0
        with Stop() as stop, progress("Looking") as bar:
            for batch in search.batches(stop, bar):
                if not batch:
                    continue
                with bar.hidden():
                    for message in batch:
                        number += 1
                        if as_json:
                            say_json(message, is_line=True)
                        else:
                            tell(message, number)
                sys.stdout.flush()
        if not number and not search.is_interrupted and not as_json:
            say(_nothing(broker, queue, vhost, choice), aside=True)
    _end(search, queue, choice, stop, is_brief=True)


@at_broker
@to_search
def search(
    target: Target,
    choice: Choice,
    queue: QueueName,
    size: Annotated[
        int | None,
        typer.Option("--bytes", min=0, max=MOST_BYTES, help="Maximum number of body bytes to show."),
    ] = None,
    export: Annotated[
        str | None,
        typer.Option(
            "--export", help="Write complete messages to this file, for `leveret messages import`, instead of printing."
        ),
    ] = None,
    as_json: AsLines = False,
    vhost: Vhost = "/",
) -> None:
    """Print the messages of a queue that match all conditions, as they are found. The queue does not change.

    Ctrl-C stops the search and prints the command that continues it.
    """
    if export is not None and as_json:
        raise typer.BadParameter("an export is always lines of JSON; leave out --json", param_hint="--export")
    truncate = size if size is not None else PEEK_BYTES if as_json else BODY_IN_LINE
    with broker_at(target) as broker:
        found = Search(broker, queue, vhost, choice, truncate, export is not None)
        with Stop() as stop, progress("Searching") as bar:
            if export is not None:
                _export(export, found.batches(stop, bar))
            else:
                lines = Lines(as_json, choice.states != (State.READY,))
                for batch in found.batches(stop, bar):
                    if batch:
                        with bar.hidden():
                            lines.show(batch)
                        sys.stdout.flush()
    if export is not None:
        say(f"Exported {messages(found.found)} from queue '{queue}' to {_name(export)}.", aside=True)
    _end(found, queue, choice, stop, is_brief=False)


def _name(file: str) -> str:
    return "standard output" if file == going_on.STDOUT else f"'{file}'"


def _export(file: str, batches: Iterator[list[dict[str, Any]]]) -> None:
    """Write messages in the format of an export."""
    from leveret.management import lines

    first = next(batches, [])  # before opening the file: the queue may not exist
    try:
        with _open(file) as out:
            for batch in itertools.chain([first], batches):
                out.write(b"".join(map(lines.dump, batch)))
                out.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        refuse(f"cannot write {_name(file)}: {error.strerror}; nothing was exported")


@contextlib.contextmanager
def _open(file: str) -> Iterator[IO[bytes]]:
    """Open the file so that only its owner may read it, as messages may be secret. On failure the old file remains."""
    if file == going_on.STDOUT:
        yield sys.stdout.buffer
        return
    with replacing(Path(file)) as out:
        yield out


def _nothing(broker: Broker, queue: str, vhost: str, choice: Choice) -> str:
    """Why nothing is shown."""
    if choice.is_narrow:
        return f"No message in queue '{queue}' matches."
    if choice.states != (State.READY,):
        return f"Queue '{queue}' has no {' or '.join(choice.states)} messages."
    found = broker.get(path("queues", vhost, queue), {"columns": "messages"})["messages"]
    more = f"; it has {messages(found)} in other states, see --state" if found else ""
    return f"Queue '{queue}' has no ready messages{more}."


def _end(search: Search, queue: str, choice: Choice, stop: Stop, is_brief: bool) -> None:
    """Print the summary on standard error, and raise typer.Exit if interrupted."""
    say_lost(search.missing, search.undecided, queue)
    so_far = f"{search.found:,} found, searched {search.looked:,} of about {messages(search.total)}"
    if search.is_interrupted:
        how = going_on.command(search.place) if search.place else "the same command"
        say(f"Interrupted: {so_far}. Continue with: {how}", aside=True)
        raise typer.Exit(stop.status)
    if search.place is not None and search.found == choice.limit:
        text = "There may be more" if is_brief else f"Limit reached: {so_far}"
        say(f"{text}. Continue with: {going_on.command(search.place)}", aside=True)
    elif not search.found and not is_brief:
        say(f"None of {messages(search.looked)} in queue '{queue}' matches.", aside=True)
