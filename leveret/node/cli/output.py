"""Output of commands: tables on a terminal, plain columns in a pipe, JSON, and errors in one line."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from leveret.node.printable import complain, printable, say, say_json, say_row

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

Sure = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Refused(typer.Exit):
    """Ends the command with status 1. text: the reason, already printed."""

    def __init__(self, text: str) -> None:
        super().__init__(1)
        self.text = text


def refuse(text: str) -> NoReturn:
    """Print an error and end the command with status 1. Raises: Refused."""
    complain("leveret", text)
    raise Refused(text)


def asks(is_sure: bool) -> bool:
    """Whether confirm() asks."""
    return not is_sure and sys.stdin.isatty() and sys.stderr.isatty()


def confirm(what: str, is_sure: bool) -> None:
    """Ask for confirmation of an irreversible action, on a terminal only. Raises: typer.Abort."""
    if asks(is_sure):
        typer.confirm(printable(f"{what}?"), abort=True, err=True)


class Bar:
    """A progress bar. bar: None if there is no terminal."""

    def __init__(self, what: str, bar: RichProgress | None) -> None:
        self._bar = bar
        self._task = None if bar is None else bar.add_task(what, total=None)

    def __call__(self, done: int, total: int) -> None:
        """Update the bar. total: 0 if unknown."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total or None)

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the bar while other output is printed."""
        if self._bar is None:
            yield
            return
        self._bar.stop()
        yield
        sys.stdout.flush()
        self._bar.start()


@contextlib.contextmanager
def progress(what: str) -> Iterator[Bar]:
    """A progress bar on standard error if that is a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield Bar(what, None)
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_interactive:  # it cannot overwrite a line
        yield Bar(what, None)
        return
    with Progress(console=console, transient=True, redirect_stdout=False) as bar:
        yield Bar(what, bar)


def rows(answer: object) -> list[dict[str, object]]:
    """The answer of a verb that returns a list."""
    assert isinstance(answer, list)
    return answer


def show(found: list[dict[str, object]], columns: list[str], as_json: bool) -> None:
    """Print a list. columns: the keys to show, in order; JSON contains all keys."""
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


def show_findings(found: list[tuple[str, str, str, str]], colours: Mapping[str, str]) -> None:
    """Print findings, each with its status, what was checked, a text, and an advice or nothing. colours: by status."""
    if not sys.stdout.isatty():
        for status, check, said, advice in found:
            say(f"{status:8} {check}: {said}{f'; {advice}' if advice else ''}")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for status, check, said, advice in found:
        text = Text(printable(said))
        if advice:
            text.append(f"\n→ {printable(advice)}", "bold")
        table.add_row(Text(status, colours[status]), Text(check), text)
    Console().print(table)


def _cell(value: object) -> str:
    """A value as text for one cell."""
    if value is None or value == {}:
        return ""
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(str(value))
