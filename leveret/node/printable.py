"""Text for a terminal, a pipe or a log: made harmless where it comes from strangers, given up where nobody reads.

Every line for people passes say(), say_row() or complain(), and every entry of the log OneLine in leveret/node/logs.py;
what programs read passes say_json(). Nothing else in leveret/node prints.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO


def open_streams() -> None:
    """Let there be a standard input, output and error.

    Otherwise some file or socket gets their numbers: what is printed would go there, and libuv takes it for a mistake.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def printable(text: str) -> str:
    """The text with everything escaped that would break the line or speak to the terminal."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def say(line: str, aside: bool = False) -> None:
    """Print one line on standard output, or on standard error where something else is written to that."""
    print(printable(line), file=sys.stderr if aside else sys.stdout)


def say_row(cells: Iterable[str]) -> None:
    """Print one line on standard output, with a tab between cells."""
    print("\t".join(map(printable, cells)))


def say_json(value: object, is_line: bool = False) -> None:
    """Print a value as JSON on standard output, in ASCII. is_line: all of it in one line."""
    print(json.dumps(value, indent=None if is_line else 2))


def complain(about: str, text: str) -> None:
    """Print one line on standard error, if anybody reads that."""
    try:
        print(printable(f"{about}: {text}"), file=sys.stderr, flush=True)
    except OSError:
        give_up(sys.stderr)


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """What is printed in this block has to arrive: where it does not, the process ends with status 1 and a reason.

    A reader who has seen enough, such as head, is no reason to complain.
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
    """Let nothing more that is printed on a stream arrive anywhere, and nothing of it fail."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _escaped(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
