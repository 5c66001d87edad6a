"""leveret queues pause, resume, rate, set, held and drop-held; leveret consumers prefetch: change live queues."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from leveret.node.cli.arguments import arguments_of, examples
from leveret.node.cli.asking import broker_at, path
from leveret.node.cli.clients import consumers
from leveret.node.cli.columns import Column, count, print_table, size
from leveret.node.cli.output import AsJson, Sure, confirm
from leveret.node.cli.queues import QueueName, Vhost, app, messages, missing
from leveret.node.cli.target import Target, at_broker
from leveret.node.printable import say, say_json

__all__ = ["app", "consumers"]

PAGE: Final = 500
HELD: Final = (
    Column("id", "id"),
    Column("due", "due"),
    Column("exchange", "exchange", rank=2),
    Column("routing_key", "routing_key", rank=1),
    Column("size", "payload_bytes", size, 3),
    Column("headers", "properties.headers", rank=4),
)
CHANGED: Final = (Column("argument", "argument"), Column("declared", "declared"), Column("changed", "changed"))


def _path(vhost: str, name: str, *parts: str) -> str:
    return path("leveret", "queues", vhost, name, *parts)


@app.command(epilog=examples("queues pause orders", "queues pause orders --vhost shop"))
@at_broker
def pause(target: Target, name: QueueName, vhost: Vhost = "/") -> None:
    """Pause deliveries of a queue. It still accepts messages, and stays paused after a restart.

    Requires the tag policymaker, and the configure permission for the queue.
    """
    with broker_at(target) as broker:
        broker.do("PUT", _path(vhost, name, "pause"), missing=missing(name, vhost))
    say(f"Paused queue '{name}'.")


@app.command(epilog=examples("queues resume orders", "queues resume orders --vhost shop"))
@at_broker
def resume(target: Target, name: QueueName, vhost: Vhost = "/") -> None:
    """Resume deliveries of a paused queue.

    Requires the tag policymaker, and the configure permission for the queue.
    """
    with broker_at(target) as broker:
        broker.do("PUT", _path(vhost, name, "resume"), missing=missing(name, vhost))
    say(f"Resumed queue '{name}'.")


@app.command(
    epilog=examples("queues rate orders 100", "queues rate orders 0.5 --burst 10", "queues rate orders --restore")
)
@at_broker
def rate(
    target: Target,
    name: QueueName,
    per_second: Annotated[float | None, typer.Argument(help="Messages per second, at least 0.001.")] = None,
    vhost: Vhost = "/",
    burst: Annotated[
        int | None, typer.Option(min=1, help="Messages that may be delivered at once. Default: 1.")
    ] = None,
    unlimited: Annotated[
        bool, typer.Option("--unlimited", help="Deliver without a limit, even if policies set one.")
    ] = False,
    restore: Annotated[
        bool, typer.Option("--restore", help="Use the limit of its arguments and policies again.")
    ] = False,
) -> None:
    """Limit the delivery rate of a queue.

    Requires the tag policymaker, and the configure permission for the queue.
    """
    if sum((per_second is not None, unlimited, restore)) != 1:
        raise typer.BadParameter("give messages per second, --unlimited or --restore")
    with broker_at(target) as broker:
        where = _path(vhost, name, "rate")
        if restore:
            broker.do("DELETE", where, missing=missing(name, vhost))
        else:
            broker.do("PUT", where, {"rate": per_second, "burst": burst}, missing=missing(name, vhost))
    if restore:
        say(f"The delivery rate of queue '{name}' follows its arguments and policies.")
    elif per_second is None:
        say(f"The delivery rate of queue '{name}' is unlimited.")
    else:
        say(f"Queue '{name}' delivers at most {per_second:g} messages per second.")


@app.command(
    "set",
    epilog=examples(
        "queues set orders x-max-length=1000 x-overflow=reject-publish",
        "queues set orders x-message-ttl=null",
        "queues set orders --restore x-max-length",
    ),
)
@at_broker
def set_arguments(
    target: Target,
    name: QueueName,
    change: Annotated[
        list[str] | None,
        typer.Argument(help="NAME=VALUE. A value that is not JSON is text; null removes the argument."),
    ] = None,
    vhost: Vhost = "/",
    restore: Annotated[
        list[str] | None, typer.Option("--restore", help="Restore the declared value of this argument. Repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change arguments of an existing queue, or list changes. Clients can still declare it with the old arguments.

    Requires the tag policymaker, and the configure permission for the queue.
    """
    changes = arguments_of(change)
    with broker_at(target) as broker:
        where = _path(vhost, name, "arguments")
        for each in restore or ():
            broker.do("DELETE", _path(vhost, name, "arguments", each), missing=missing(name, vhost))
        if changes:
            broker.do("PUT", where, changes, missing=missing(name, vhost))
        found: dict[str, Any] = broker.get(where, missing=missing(name, vhost))
    declared, changed = found["declared"], found["changed"]
    if as_json:
        say_json(found)
    elif changes or restore:
        say(f"Queue '{name}' has {len(changed)} changed argument{'' if len(changed) == 1 else 's'}.")
    else:
        rows = [{"argument": each, "declared": declared.get(each), "changed": changed[each]} for each in changed]
        print_table(rows, CHANGED)


@app.command(epilog=examples("queues held orders", "queues held orders --limit 20 --json"))
@at_broker
def held(
    target: Target,
    name: QueueName,
    vhost: Vhost = "/",
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of messages.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the messages that a queue holds until their delivery time, earliest first.

    Requires the tag management, and the read permission for the queue.
    """
    found: list[dict[str, Any]] = []
    with broker_at(target) as broker:
        while len(found) < limit:
            query = {"count": str(min(limit - len(found), PAGE))}
            if found:
                query["behind"] = found[-1]["id"]
            page = broker.get(_path(vhost, name, "held"), query, missing(name, vhost))
            found += page
            if not page:
                break
    for each in found:
        each["due"] = datetime.fromtimestamp(each["due_ms"] / 1000, UTC).isoformat(timespec="milliseconds")
    if as_json:
        say_json(found)
    else:
        print_table(found, HELD)


@app.command(
    "drop-held",
    epilog=examples("queues drop-held orders 1796067940124-15", "queues drop-held orders 1796067940124-15 --yes"),
)
@at_broker
def drop_held(
    target: Target,
    name: QueueName,
    held_id: Annotated[list[str], typer.Argument(help="IDs from `leveret queues held`.")],
    vhost: Vhost = "/",
    yes: Sure = False,
) -> None:
    """Delete messages that a queue holds until their delivery time.

    Requires the tag management, and the read permission for the queue.
    """
    with broker_at(target) as broker:
        confirm(f"Delete {messages(len(held_id))} from queue '{name}'", yes)
        for each in held_id:
            broker.do("DELETE", _path(vhost, name, "held", each), missing=missing(name, vhost))
    say(f"Deleted {messages(len(held_id))} from queue '{name}'.")


@consumers.command(
    "prefetch", epilog=examples("consumers prefetch orders 10", "consumers prefetch orders 1 --tag ctag1.0")
)
@at_broker
def prefetch(
    target: Target,
    name: QueueName,
    prefetch: Annotated[int, typer.Argument(min=0, max=65_535, help="Number of messages; 0 for no limit.")],
    vhost: Vhost = "/",
    tag: Annotated[str | None, typer.Option(help="Only consumers with this tag.")] = None,
    channel: Annotated[
        str | None, typer.Option(help="Only consumers on this channel, as shown by `leveret channels list`.")
    ] = None,
) -> None:
    """Change the prefetch of running consumers of a queue. Messages already delivered stay with them.

    Requires the tag policymaker, and the configure permission for the queue.
    """
    body = {"prefetch": prefetch, "consumer_tag": tag, "channel": channel}
    with broker_at(target) as broker:
        reply = broker.do("PUT", _path(vhost, name, "consumers", "prefetch"), body, missing=missing(name, vhost))
        changed = broker.read(reply)["consumers"]
    say(f"Changed the prefetch of {count(changed)} consumer{'' if changed == 1 else 's'} of queue '{name}'.")
