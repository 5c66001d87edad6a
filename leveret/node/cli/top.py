"""leveret top: a live view of a broker."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
import time
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from leveret.node.cli.asking import Broker, broker_at, path
from leveret.node.cli.columns import count, duration, rate, size, table_lines
from leveret.node.cli.queues import COLUMNS
from leveret.node.cli.target import Target, at_broker
from leveret.node.printable import printable, say

ROWS: Final = 10  # queues in a snapshot
LINES_ABOVE: Final = 7  # above the queues
WIDTH: Final = 100  # of a snapshot when the output is not a terminal
SORTED: Final = {
    "ready": "messages_ready",
    "in": "message_stats.publish_details.rate",
    "out": "message_stats.deliver_get_details.rate",
    "unacked": "messages_unacknowledged",
}
SHOWN: Final = tuple(column for column in COLUMNS if column.name not in ("state", "type"))
KEYS: Final = {"r": "ready", "i": "in", "o": "out", "u": "unacked"}


class Order(StrEnum):
    """Sort order of queues, largest first."""

    READY = "ready"
    IN = "in"
    OUT = "out"
    UNACKED = "unacked"


@at_broker
def top(
    target: Target,
    once: Annotated[bool, typer.Option("--once", help="Print one snapshot and exit.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between updates.")] = 2.0,
    sort: Annotated[Order, typer.Option(help="Sort queues by this value, largest first.")] = Order.READY,
) -> None:
    """Watch rates, queues, clients, memory and event loop lag of a running broker. In a terminal, q or Ctrl-C quits.

    If the output is not a terminal, print one snapshot after another.
    """
    with broker_at(target) as broker, contextlib.suppress(KeyboardInterrupt):
        if once or not sys.stdout.isatty():
            while True:
                _snapshot(broker, sort)
                if once:
                    return
                sys.stdout.flush()
                time.sleep(interval)
        said = io.StringIO()  # shown after the screen is restored
        try:
            with contextlib.redirect_stderr(said):
                _live(broker, sort, interval)
        finally:
            sys.stderr.write(said.getvalue())


def _snapshot(broker: Broker, order: str) -> None:
    if not sys.stdout.isatty():
        for line in picture(broker, order, ROWS, WIDTH):
            say(line.plain)
        say("")
        return
    from rich.console import Console

    console = Console()
    for line in picture(broker, order, ROWS, console.width):
        console.print(line, soft_wrap=True, highlight=False)


def _live(broker: Broker, order: str, interval_s: float) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console()
    with _keys() as is_there, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            lines = list(picture(broker, order, max(console.height - LINES_ABOVE - 1, 1), console.width))
            keys = "q quits; sort by r ready, i in/s, o out/s, u unacked" if is_there else "Ctrl-C quits"
            lines.append(Text(keys[: console.width], "dim"))
            live.update(Group(*lines), refresh=True)
            if not is_there:
                time.sleep(interval_s)
                continue
            key = _key(interval_s)
            if key in ("q", "Q", ""):
                return
            order = KEYS.get(key or "", order)


@contextlib.contextmanager
def _keys() -> Iterator[bool]:
    """Read single keys without echo. Yields: whether standard input is a terminal, so that there are keys to read."""
    if not sys.stdin.isatty():
        yield False
        return
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield True
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _key(patience_s: float) -> str | None:
    """The key pressed within a time; None if there was none, empty at the end of input."""
    number = sys.stdin.fileno()
    if not select.select([number], [], [], patience_s)[0]:
        return None
    return os.read(number, 1).decode("latin-1")


def picture(broker: Broker, order: str, rows: int, width: int) -> Iterator[Any]:
    """The lines of a snapshot, as rich texts."""
    from rich.text import Text

    overview = broker.get("/overview")
    node: dict[str, Any] = next(iter(broker.get("/nodes")), {})
    lag = broker.find("/leveret/status", {"seconds": "10"}) or {}
    query = {"sort": SORTED[order], "sort_reverse": "true", "columns": ",".join(column.path for column in SHOWN)}
    queues = broker.pages(path("queues"), query, rows)
    yield _line(
        Text(printable(f"{overview['product_name']} {overview['product_version']}"), "bold"),
        _head(overview, node),
        width,
    )
    for name, facts in (
        ("messages", _messages(overview)),
        ("rates", _rates(overview)),
        ("objects", _objects(overview)),
        ("node", _node(node, lag.get("result", {}))),
    ):
        yield _line(Text(f"{name:9}", "bold cyan"), "   ".join(f"{value} {what}" for what, value in facts), width)
    yield Text("")
    yield from table_lines(queues, SHOWN, width)


def _line(start: Any, rest: str, width: int) -> Any:
    from rich.text import Text

    line = Text.assemble(start, " ", printable(rest))
    line.truncate(width, overflow="ellipsis")
    return line


def _head(overview: dict[str, Any], node: dict[str, Any]) -> str:
    alarms = [name for name in ("mem_alarm", "disk_free_alarm") if node.get(name)]
    alarm = "" if not alarms else f"   ALARM: {', '.join(name.split('_')[0] for name in alarms)}: publishers wait"
    return f"{overview['node']}   up {duration(node.get('uptime'))}   {time.strftime('%H:%M:%S')}{alarm}"


def _messages(overview: dict[str, Any]) -> list[tuple[str, str]]:
    totals = overview["queue_totals"]
    names = (("ready", "messages_ready"), ("unacked", "messages_unacknowledged"), ("total", "messages"))
    return [(what, count(totals.get(name, 0))) for what, name in names]


def _rates(overview: dict[str, Any]) -> list[tuple[str, str]]:
    stats = overview["message_stats"]
    names = (("in/s", "publish"), ("out/s", "deliver_get"), ("ack/s", "ack"), ("redelivered/s", "redeliver"))
    return [(what, rate(stats.get(f"{name}_details", {}).get("rate", 0))) for what, name in names]


def _objects(overview: dict[str, Any]) -> list[tuple[str, str]]:
    totals = overview["object_totals"]
    return [(name, count(totals[name])) for name in ("connections", "channels", "consumers", "queues")]


def _node(node: dict[str, Any], lag: dict[str, Any]) -> list[tuple[str, str]]:
    found = [
        ("memory", size(node.get("mem_used"))),
        ("free on disk", size(node.get("disk_free"))),
        ("files", count(node.get("fd_used"))),
    ]
    if "loop_longest_ms_recent" in lag:
        found.append(("ms longest event loop iteration", f"{lag['loop_longest_ms_recent']}"))
    return found
