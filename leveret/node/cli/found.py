"""Print messages that were found: one line each, or in full."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from leveret.node.cli.columns import duration, plain, size
from leveret.node.printable import printable, say, say_json, say_row

COLUMNS: Final = ("id", "age_s", "bytes", "state", "routing_key", "body")
NUMBERS: Final = (1, 2)  # columns that are aligned to the right
KEY: Final = 24  # widest routing key, to leave room for the body
MOST_DEATHS: Final = 5  # shown per message
TOLD: Final = frozenset(
    ["x-death", *(f"x-{which}-death-{what}" for which in ("first", "last") for what in ("exchange", "queue", "reason"))]
)
"""Headers shown as sentences."""

Message = dict[str, Any]


class Lines:
    """Prints one line per message: fitted to the terminal, else separated by tabs, or as JSON.

    with_state: whether to show the state of each message.
    """

    def __init__(self, as_json: bool, with_state: bool) -> None:
        self._as_json = as_json
        self._with_state = with_state
        self._is_begun = False
        self._widths: list[int] = []  # of the columns before the body; they only grow

    def show(self, messages: Sequence[Message]) -> None:
        """Print messages."""
        if self._as_json:
            for message in messages:
                say_json(message, is_line=True)
        elif sys.stdout.isatty():
            self._show_at_terminal(messages)
        else:
            if not self._is_begun:
                say_row(self._row(*COLUMNS))
            for message in messages:
                age = "" if message["age_s"] is None else f"{message['age_s']:.0f}"
                say_row(self._cells(message, age, str(message["payload_bytes"])))
        self._is_begun = True

    def _row(self, name: str, age: str, weight: str, state: str, key: str, body: str) -> list[str]:
        return [name, age, weight, *([state] if self._with_state else []), key, body]

    def _cells(self, message: Message, age: str, weight: str) -> list[str]:
        more = "…" if message.get("is_truncated") else ""
        kind = "base64 " if message["payload_encoding"] == "base64" else ""
        body = f"{kind}{message['payload']}{more}"
        return self._row(message["id"], age, weight, message["state"], message["routing_key"], body)

    def _show_at_terminal(self, messages: Sequence[Message]) -> None:
        from rich.console import Console
        from rich.text import Text

        console = Console()
        rows = [] if self._is_begun else [self._row("id", "age", "size", "state", "key", "body")]
        for message in messages:
            age = "" if message["age_s"] is None else duration(message["age_s"] * 1000)
            rows.append([printable(cell) for cell in self._cells(message, age, size(message["payload_bytes"]))])
        self._widen(rows)
        for number, row in enumerate(rows):
            style = "" if number or self._is_begun else "bold cyan"
            console.print(Text(self._fitted(row, console.width), style=style), soft_wrap=True, highlight=False)

    def _widen(self, rows: Sequence[list[str]]) -> None:
        from rich.cells import cell_len

        natural = [max(map(cell_len, column)) for column in zip(*rows, strict=True)][:-1]
        natural[-1] = min(natural[-1], KEY)
        self._widths = list(map(max, natural, self._widths or natural))

    def _fitted(self, row: list[str], width: int) -> str:
        cells = [
            _cut(text, wide, at in NUMBERS) for at, (text, wide) in enumerate(zip(row, self._widths, strict=False))
        ]
        return _cut("  ".join([*cells, row[-1]]), width).rstrip()


def _cut(text: str, wide: int, to_the_right: bool = False) -> str:
    """A text padded or cut to a number of cells."""
    from rich.cells import cell_len, set_cell_size

    missing = wide - cell_len(text)
    if missing < 0:
        return f"{set_cell_size(text, wide - 1)}…"
    return " " * missing + text if to_the_right else text + " " * missing


def tell(message: Message, number: int) -> None:
    """Print all details of a message."""
    is_terminal = sys.stdout.isatty()
    title, *rest = story(message, number, is_terminal)
    if not is_terminal:
        for line in (title, *rest):
            say(line)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console()
    console.print(Text(printable(title), style="bold cyan"), soft_wrap=True, highlight=False)
    for line in rest:
        console.print(Text(printable(line)), soft_wrap=True, highlight=False)


def story(message: Message, number: int, is_indented: bool) -> Iterator[str]:
    """The lines that tell() prints. is_indented: whether to indent a JSON body."""
    age = "" if message["age_s"] is None else f", {duration(message['age_s'] * 1000)} old"
    again = ", redelivered" if message["redelivered"] else ""
    yield f"{number}. {message['id']}{age}, {size(message['payload_bytes'])}{again}"
    exchange = f"exchange '{message['exchange']}'" if message["exchange"] else "the default exchange"
    yield f"   from: {exchange} → '{message['routing_key']}'"
    if message["priority"]:
        yield f"   priority in the queue: {message['priority']}"
    properties = dict(message["properties"])
    headers = properties.pop("headers", {})
    for name, value in properties.items():
        yield f"   {name}: {plain(value)}"
    for name, value in headers.items():
        if name not in TOLD:
            yield f"   header {name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
    for line in _deaths(message, headers):
        yield f"   {line}"
    if message.get("held"):
        yield f"   {_holder(message['held'])}"
    if message.get("ready_in_s") is not None:
        yield f"   waiting for redelivery: ready in {duration(message['ready_in_s'] * 1000)}"
    yield from _body(message, is_indented)


def _deaths(message: Message, headers: dict[str, Any]) -> Iterator[str]:
    """Its deaths, latest first."""
    death = message.get("death")
    listed = headers.get("x-death")
    entries = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    redriven = death["redriven"] if death else headers.get("x-redrive-count", 0)
    if redriven and isinstance(redriven, int):
        yield f"sent back {_times(redriven)}"
    for at, entry in enumerate(entries[:MOST_DEATHS]):
        keys = entry.get("routing-keys")
        key = ", ".join(f"'{each}'" for each in keys) if isinstance(keys, list) and keys else "''"
        exchange = entry.get("exchange")
        where = f"exchange '{exchange}'" if exchange else "the default exchange"
        ago = _ago(entry.get("time"))
        count = entry.get("count")
        often = f", {_times(count)}" if isinstance(count, int) and count > 1 else ""
        verb = "died" if not at else "before that"
        yield (
            f"{verb}: {entry.get('reason')} in '{entry.get('queue')}'{ago}{often}, published to {where} with key {key}"
        )
    if len(entries) > MOST_DEATHS:
        yield f"and {len(entries) - MOST_DEATHS} times more before that"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _ago(at: object) -> str:
    """The time since then in words. at: seconds since 1970 on the broker's clock."""
    if not isinstance(at, int | float) or isinstance(at, bool):
        return ""
    left = int(max(time.time() - at, 0))
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if left >= length:
            count = left // length
            return f" {count} {unit}{'s' * (count != 1)} ago"
    return f" {left} second{'s' * (left != 1)} ago"


def _holder(held: dict[str, Any]) -> str:
    who = f"'{held['label']}' ({held['connection']})" if held["label"] else held["connection"]
    consumer = f"consumer '{held['consumer_tag']}'" if held["consumer_tag"] else "basic.get"
    since = duration(held["since_s"] * 1000)
    return f"held: by {consumer} of {who}, channel {held['channel']}, for {since}; delivery tag {held['delivery_tag']}"


def _body(message: Message, is_indented: bool) -> Iterator[str]:
    text = message["payload"]
    kind = " (base64)" if message["payload_encoding"] == "base64" else ""
    if is_indented and not kind and not message.get("is_truncated"):
        text = _indented(text)
    lines = text.split("\n")
    if message.get("is_truncated"):
        lines[-1] += "…"
    yield f"   body{kind}: {lines[0]}"
    for line in lines[1:]:
        yield f"         {line}"


def _indented(text: str) -> str:
    """JSON objects and arrays indented; any other text unchanged."""
    if text.lstrip()[:1] not in ("{", "["):
        return text
    import msgspec

    try:
        return msgspec.json.format(text, indent=2)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text
