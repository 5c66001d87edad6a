"""Tables of API objects: columns with readable units, fitted to the width of the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from leveret.node.cli.asking import Broker
from leveret.node.printable import printable, say_json, say_row

GAP: Final = 2  # cells between two columns
NAME: Final = 32  # cells of the first text column, before other columns are dropped for it
SHORT: Final = 16  # cells of other text columns, before others are dropped
LEAST: Final = 8  # cells that a text column keeps if possible
STEPS: Final = (("", 1), ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000))

Columns = Annotated[
    str | None, typer.Option(help="Columns to show, separated by commas: column names or keys of the HTTP API.")
]
Sort = Annotated[str | None, typer.Option(help="Column name or key of the HTTP API to sort by.")]
Reverse = Annotated[bool, typer.Option("--reverse", help="Sort in descending order.")]
Name = Annotated[str | None, typer.Option("--name", help="Only items whose name contains this text.")]
Regex = Annotated[str | None, typer.Option("--regex", help="Only items whose name matches this regular expression.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Maximum number of items.")]


def plain(value: Any) -> str:
    """A value for one cell, for programs."""
    if value is None or value == {} or value == []:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def count(value: Any) -> str:
    """A number with thousands separators."""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else plain(value)


def size(value: Any) -> str:
    """Bytes in the most readable unit."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return plain(value)
    number, units = float(value), iter(("B", "KiB", "MiB", "GiB", "TiB", "PiB"))
    unit = next(units)
    while number >= 1024 and unit != "PiB":
        number /= 1024
        unit = next(units)
    return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"


def rate(value: Any) -> str:
    """A short form of a rate per second."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return plain(value)
    for unit, step in STEPS:
        number = value / step
        if number < 999.5 or unit == "G":
            return "0" if not value else f"{number:.1f}{unit}" if number < 99.95 else f"{number:.0f}{unit}"
    raise AssertionError


def duration(value: Any) -> str:
    """Milliseconds in the two largest units."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return plain(value)
    left = int(value) // 1000
    parts: list[str] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if left >= length or (unit == "s" and not parts):
            parts.append(f"{left // length}{unit}")
            left %= length
    return " ".join(parts[:2])


@dataclass(frozen=True)
class Column:
    """One column. path: dotted path of the key in the API's answer. shown: formats the value for a terminal.

    rank: if the terminal is too narrow, columns with the highest rank are dropped first.
    """

    name: str
    path: str
    shown: Callable[[Any], str] = plain
    rank: int = 0

    @property
    def is_number(self) -> bool:
        """Whether the column is right-aligned."""
        return self.shown is not plain

    def value(self, item: Any) -> Any:
        """The value for an item; None if there is none."""
        for key in self.path.split("."):
            item = item.get(key) if isinstance(item, dict) else None
        return item


def chosen(columns: Sequence[Column], wanted: str | None) -> list[Column]:
    """The columns for --columns: column names or keys of the API. Raises: typer.BadParameter."""
    if wanted is None:
        return list(columns)
    known = {column.name: column for column in columns}
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    if not names:
        raise typer.BadParameter(
            f"choose from {', '.join(known)}, and the keys of the HTTP API", param_hint="--columns"
        )
    return [known.get(name) or Column(name, name) for name in names]


def listed(
    broker: Broker,
    path: str,
    columns: Sequence[Column],
    wanted: str | None = None,
    sort: str | None = None,
    reverse: bool = False,
    name: str | None = None,
    regex: str | None = None,
    limit: int | None = None,
    as_json: bool = False,
    missing: str = "",
) -> None:
    """Print a list from the API. as_json: print all keys, or those of `wanted`."""
    if name is not None and regex is not None:
        raise typer.BadParameter("give either --name or --regex", param_hint="--regex")
    found = chosen(columns, wanted)
    query: dict[str, str] = {}
    if wanted is not None or not as_json:
        query["columns"] = ",".join(column.path for column in found)
    if sort is not None:
        query["sort"] = chosen(columns, sort)[0].path
    if reverse:
        query["sort_reverse"] = "true"
    if name is not None or regex is not None:
        query["name"] = name if name is not None else str(regex)
        query["use_regex"] = "false" if regex is None else "true"
    items = broker.pages(path, query, limit, missing)
    if as_json:
        say_json(items)
    else:
        print_table(items, found)


def print_table(items: Sequence[Any], columns: Sequence[Column]) -> None:
    """Print a table on a terminal, else tab-separated columns with plain numbers."""
    if not sys.stdout.isatty():
        say_row(column.name for column in columns)
        for item in items:
            say_row(plain(column.value(item)) for column in columns)
        return
    from rich.console import Console

    console = Console()
    for line in table_lines(items, columns, console.width):
        console.print(line, soft_wrap=True, highlight=False)


def table_lines(items: Sequence[Any], columns: Sequence[Column], width: int) -> Iterable[Any]:
    """The lines of a table of at most this width, as rich texts."""
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    cells = [[printable(column.shown(column.value(item))) for column in columns] for item in items]
    titles = [column.name.replace("_", " ") for column in columns]
    natural = [max(map(cell_len, [title, *own])) for title, own in zip(titles, _turned(cells, columns), strict=True)]
    widths = fitted(natural, columns, width)

    def line(texts: Sequence[str], style: str) -> Text:
        found = Text()
        for text, column, wide in zip(texts, columns, widths, strict=True):
            if not wide:
                continue
            if found:
                found.append(" " * GAP)
            if cell_len(text) > wide:
                text = f"{set_cell_size(text, wide - 1)}…"
            space = " " * (wide - cell_len(text))
            kind = style or ("dim" if column.is_number and text == "0" else "")
            found.append(f"{space}{text}" if column.is_number else f"{text}{space}", kind)
        found.rstrip()
        return found

    yield line(titles, "bold cyan")
    for each in cells:
        yield line(each, "")


def _turned(cells: list[list[str]], columns: Sequence[Column]) -> list[list[str]]:
    return [[row[place] for row in cells] for place in range(len(columns))]


def fitted(natural: list[int], columns: Sequence[Column], width: int) -> list[int]:
    """The width of each column; 0 for dropped ones. natural: the width that each column needs."""
    widths = list(natural)
    while _total(_least(widths, columns)) > width:
        ranked = [at for at, column in enumerate(columns) if widths[at] and column.rank]
        if not ranked:
            break
        widths[max(ranked, key=lambda at: (columns[at].rank, at))] = 0
    while _total(widths) > width:
        texts = [at for at, column in enumerate(columns) if widths[at] > LEAST and not column.is_number]
        widest = max(texts or range(len(widths)), key=lambda at: widths[at])
        widths[widest] -= 1
        if widths[widest] < 2:
            widths[max(at for at, wide in enumerate(widths) if wide)] = 0
    return widths


def _least(widths: list[int], columns: Sequence[Column]) -> list[int]:
    """The minimum widths before other columns are dropped: numbers in full, and most of the first column, a name."""
    return [
        wide if column.is_number else min(wide, NAME if at == 0 else SHORT)
        for at, (wide, column) in enumerate(zip(widths, columns, strict=True))
    ]


def _total(widths: list[int]) -> int:
    there = [wide for wide in widths if wide]
    return sum(there) + GAP * (len(there) - 1)


def print_one(item: Any, columns: Sequence[Column], as_json: bool) -> None:
    """Print one object: a line for each column that has a value. as_json: all keys of the API."""
    if as_json:
        say_json(item)
        return
    found = [(column, column.value(item)) for column in columns]
    pairs = [(column, value) for column, value in found if value is not None and value != {} and value != []]
    if not sys.stdout.isatty():
        for column, value in pairs:
            say_row((column.name, plain(value)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, GAP))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for column, value in pairs:
        table.add_row(column.name.replace("_", " "), Text(printable(column.shown(value))))
    Console().print(table)
