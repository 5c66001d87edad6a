"""What commands print: tables for people, plain columns for pipes, JSON for programs, refusals in one line."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, NoReturn

import typer

from leveret.node.printable import complain, printable, say_json, say_row

Sure = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, at a terminal.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Refused(typer.Exit):
    """The command ends with status 1. text: why, which was said."""

    def __init__(self, text: str) -> None:
        super().__init__(1)
        self.text = text


def refuse(text: str) -> NoReturn:
    """End the command with status 1. Raises: Refused."""
    complain("leveret", text)
    raise Refused(text)


def asks(is_sure: bool) -> bool:
    """Whether confirm() asks."""
    return not is_sure and sys.stdin.isatty() and sys.stderr.isatty()


def confirm(what: str, is_sure: bool) -> None:
    """Ask somebody at a terminal before something goes that cannot come back; a script knows what it does."""
    if asks(is_sure):
        typer.confirm(printable(f"{what}?"), abort=True, err=True)


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error if it is a terminal, nothing elsewhere. It is told what is done, and the total or 0."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def rows(answer: object) -> list[dict[str, object]]:
    """The answer of a verb that lists things."""
    assert isinstance(answer, list)
    return answer


def show(found: list[dict[str, object]], columns: list[str], as_json: bool) -> None:
    """Print a list. columns: keys of the rows, in the order of a table; JSON has them all."""
    if as_json:
        say_json(found)
    elif sys.stdout.isatty():
        _table(found, columns)
    else:
        say_row(columns)
        for row in found:
            say_row(_cell(row.get(column)) for column in columns)


def _table(found: list[dict[str, object]], columns: list[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in found:
        table.add_row(*[Text(_cell(row.get(column))) for column in columns])
    Console().print(table)


def _cell(value: object) -> str:
    """A value in one cell."""
    if value is None or value == {}:
        return ""
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(str(value))
