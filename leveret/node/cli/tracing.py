"""leveret messages trace and refused: follow messages live, and list publishes that reached no queue."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from leveret.node.cli.asking import Refused, broker_at, path
from leveret.node.cli.columns import Column, count, print_table, size
from leveret.node.cli.names import of_exchanges, of_queues, of_users
from leveret.node.cli.output import AsJson, refuse
from leveret.node.cli.queues import OnlyVhost, Vhost, no_vhost
from leveret.node.cli.remote import Unreachable
from leveret.node.cli.searching import next_line
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.transfer import Stop
from leveret.node.printable import say, say_json

AsLines = Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")]


def _time(at_ms: Any) -> str:
    """Milliseconds since 1970 as local time; empty if invalid."""
    try:
        found = datetime.fromtimestamp(at_ms / 1000)
    except (TypeError, ValueError, OverflowError, OSError):
        return ""
    return found.isoformat(sep=" ", timespec="milliseconds")


COLUMNS: Final = (
    Column("last", "last_at", _time),
    Column("count", "count", count, 4),
    Column("kind", "kind"),
    Column("vhost", "vhost", rank=5),
    Column("exchange", "exchange"),
    Column("key", "routing_key"),
    Column("user", "user", rank=1),
    Column("connection", "connection", rank=6),
    Column("size", "size", size, 7),
    Column("id", "message_id", rank=8),
    Column("reason", "reason", rank=2),
)


@at_broker
def refused(
    target: Target,
    vhost: OnlyVhost = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Show at most this many, the latest ones.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show the latest publishes that were unroutable or rejected: publisher, exchange, routing key and reason."""
    query = {"limit": str(limit)} | ({} if vhost is None else {"vhost": vhost})
    with broker_at(target) as broker:
        found = broker.get(path("leveret", "refused"), query, "" if vhost is None else no_vhost(vhost))
    if as_json:
        say_json(found["refused"])
        return
    print_table(found["refused"], COLUMNS)
    if found["left_out"]:
        say(f"{found['left_out']} more were dropped because too many different ones arrived at once.", aside=True)


@at_broker
def trace(
    target: Target,
    queue: Annotated[str | None, typer.Option(help="Only messages in this queue.", autocompletion=of_queues)] = None,
    exchange: Annotated[
        str | None, typer.Option(help="Only messages published to this exchange.", autocompletion=of_exchanges)
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="Only messages that this user publishes or receives.", autocompletion=of_users)
    ] = None,
    message_id: Annotated[str | None, typer.Option("--id", help="Only messages with this message ID.")] = None,
    key: Annotated[
        str | None, typer.Option(help="Only messages whose routing key matches this topic pattern, such as 'order.#'.")
    ] = None,
    events: Annotated[int, typer.Option(min=1, max=100_000, help="Stop after this many events.")] = 1_000,
    seconds: Annotated[float, typer.Option(min=0.1, max=3_600, help="Stop after this many seconds.")] = 60.0,
    as_json: AsLines = False,
    vhost: Vhost = "/",
) -> None:
    """Print what happens to messages as it happens, without their bodies, until Ctrl-C.

    While it runs, each message in the virtual host costs the broker a few more microseconds.
    """
    wanted = {
        "queue": queue,
        "exchange": exchange,
        "user": user,
        "message_id": message_id,
        "routing_key": key,
        "events": events,
        "seconds": seconds,
    }
    told, dropped, why, is_begun = 0, 0, "interrupted", False
    with broker_at(target) as broker, Stop() as stop:
        try:
            lines = broker.lines(path("leveret", "traces", vhost), wanted, no_vhost(vhost))
            while (line := next_line(lines, stop)) is not None:
                if not is_begun:
                    is_begun = True
                    say(f"Following messages in virtual host '{vhost}'; Ctrl-C ends it.", aside=True)
                if "event" in line:
                    told += 1
                    _show(line["event"], as_json)
                    sys.stdout.flush()
                dropped = line.get("progress", {}).get("dropped", dropped)
                if "end" in line:
                    why = line["end"]
                    break
            else:
                refuse("the broker closed the connection before its answer was complete; see its log")
        except KeyboardInterrupt:
            pass
        except (Refused, Unreachable) as error:
            refuse(str(error))
    lost = f" and lost {dropped} that came too fast" if dropped else ""
    say(f"Saw {told} event{'s' * (told != 1)}{lost}: {why}.", aside=True)


def _show(event: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(event, is_line=True)
        return
    time = _time(event["at_ms"]).partition(" ")[2]
    about = [size(event["size"])] if "size" in event else []
    if "message_id" in event:
        about.append(f"id {event['message_id']}")
    say(f"{time} {event['event']:<11} #{event['message']:<4} {_what(event)} ({', '.join(about) or 'empty'})")


def _what(event: dict[str, Any]) -> str:
    """A short description of an event."""
    who = f"user '{event['user']}'" if "user" in event else "unknown user"
    if event["event"] == "publish":
        origin = f"exchange '{event['exchange']}'" if event["exchange"] else "the default exchange"
        names = [f"'{name}'" for name in event.get("queues", [])]
        more = event.get("queue_count", 0) - len(names)
        if more > 0:
            names.append(f"{more} more")
        where = ", ".join(names) or event["outcome"]
        return f"{who}: {origin}, key '{event['routing_key']}' -> {where}"
    text = f"queue '{event.get('queue', '')}'"
    if event["event"] in ("drop", "dead_letter"):
        text += f": {event['reason']}"
        if event["event"] == "dead_letter":
            to = event["dead_letter_exchange"]
            text += f" -> {f'exchange {to!r}' if to else 'the default exchange'}"
            text += f", key '{event.get('dead_letter_routing_key', '')}'"
        return text
    way = "to" if event["event"] == "deliver" else "by"
    notes = [word for name, word in (("redelivered", "redelivered"), ("no_ack", "no ack")) if event.get(name)]
    return f"{text} {way} {who}{''.join(f', {note}' for note in notes)}"
