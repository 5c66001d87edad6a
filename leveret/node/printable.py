"""Safe output to a terminal, pipe or log: escapes text from clients, and tolerates closed streams.

All text output goes through say(), say_row() or complain(), all log entries through OneLine in leveret/node/logs.py,
and JSON through say_json(). Nothing else in leveret/node prints.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO


def open_streams() -> None:
    """Open standard input, output and error if they are closed.

    Otherwise another file or socket would get their numbers and receive the output, and libuv would abort.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def printable(text: str) -> str:
    """The text with line breaks and control characters escaped."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def say(line: str, aside: bool = False) -> None:
    """Print one line on standard output, or on standard error if aside."""
    print(printable(line), file=sys.stderr if aside else sys.stdout)


def say_row(cells: Iterable[str]) -> None:
    """Print one line of tab-separated cells on standard output."""
    print("\t".join(map(printable, cells)))


def say_json(value: object, is_line: bool = False) -> None:
    """Print a value as JSON on standard output, in ASCII. is_line: on one line."""
    print(json.dumps(value, indent=None if is_line else 2))


def complain(about: str, text: str) -> None:
    """Print one line on standard error, if it is open."""
    try:
        print(printable(f"{about}: {text}"), file=sys.stderr, flush=True)
    except OSError:
        give_up(sys.stderr)


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Make sure that output of this block is written; if it cannot be, end the process with status 1 and a reason.

    A pipe closed by its reader, such as head, gives no reason.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        give_up(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            what = f"'{error.filename}'" if error.filename else "standard output"
            complain("leveret", f"cannot {'use' if error.filename else 'write to'} {what}: {error.strerror}")
        sys.exit(1)


def give_up(stream: TextIO) -> None:
    """Discard all further output on a stream, without errors."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _escaped(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
