"""leveret queues: manage queues of a running broker."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from leveret.node.cli import columns as shapes
from leveret.node.cli.arguments import Argument, arguments_of, examples
from leveret.node.cli.asking import Broker, broker_at, path
from leveret.node.cli.columns import Column, count, listed, print_one, rate, size
from leveret.node.cli.names import of_queues, of_vhosts
from leveret.node.cli.output import AsJson, Sure, confirm
from leveret.node.cli.target import Target, at_broker
from leveret.node.cli.verbs import perform
from leveret.node.printable import say

app = typer.Typer(help="Manage queues of a running broker.", no_args_is_help=True)

QueueName = Annotated[str, typer.Argument(help="Name of the queue.", autocompletion=of_queues)]
Vhost = Annotated[str, typer.Option(help="Virtual host.", autocompletion=of_vhosts)]
OnlyVhost = Annotated[str | None, typer.Option("--vhost", help="Only in this virtual host.", autocompletion=of_vhosts)]

COLUMNS: Final = (
    Column("name", "name"),
    Column("vhost", "vhost", rank=4),
    Column("type", "type", rank=6),
    Column("state", "state", rank=7),
    Column("ready", "messages_ready", count),
    Column("unacked", "messages_unacknowledged", count, 1),
    Column("in/s", "message_stats.publish_details.rate", rate, 2),
    Column("out/s", "message_stats.deliver_get_details.rate", rate, 3),
    Column("ack/s", "message_stats.ack_details.rate", rate, 5),
    Column("consumers", "consumers", count, 8),
    Column("size", "message_bytes", size, 9),
    Column("held", "messages_held", count, 10),
    Column("paused", "paused", rank=11),
    Column("rate", "delivery_rate", rate, 12),
)
DETAILS: Final = (
    *COLUMNS[:4],
    Column("durable", "durable"),
    Column("auto_delete", "auto_delete"),
    Column("exclusive", "exclusive"),
    Column("arguments", "arguments"),
    Column("policy", "policy"),
    Column("operator_policy", "operator_policy"),
    Column("effective_policy", "effective_policy_definition"),
    Column("messages", "messages", count),
    *COLUMNS[4:],
    Column("redelivered/s", "message_stats.redeliver_details.rate", rate),
    Column("memory", "memory", size),
    Column("consumer_utilisation", "consumer_utilisation"),
    Column("delivery_limit", "delivery_limit", count),
    Column("burst", "delivery_burst", count),
    Column("changed_arguments", "changed_arguments"),
    Column("idle_since", "idle_since"),
)
BINDINGS: Final = (
    Column("source", "source"),
    Column("routing_key", "routing_key"),
    Column("destination", "destination"),
    Column("kind", "destination_type", rank=3),
    Column("vhost", "vhost", rank=2),
    Column("arguments", "arguments", rank=1),
)


@app.callback()
def queues() -> None:
    """Manage queues of a running broker."""


def missing(name: str, vhost: str) -> str:
    """The error text for a queue that does not exist."""
    return f"there is no queue '{name}' in virtual host '{vhost}'; see `leveret queues list`"


def find(broker: Broker, name: str, vhost: str) -> dict[str, int]:
    """The counts of a queue's messages and consumers."""
    query = {"columns": "name,messages,messages_ready,messages_held,consumers"}
    found: dict[str, int] = broker.get(path("queues", vhost, name), query, missing(name, vhost))
    return found


def messages(number: int) -> str:
    """A number of messages in words, such as `3 messages`."""
    return "1 message" if number == 1 else f"{number:,} messages"


@app.command(
    "list",
    epilog=examples("queues list --sort ready --reverse --limit 10", "queues list --columns name,consumers,memory"),
)
@at_broker
def list_queues(
    target: Target,
    vhost: OnlyVhost = None,
    columns: shapes.Columns = None,
    sort: shapes.Sort = None,
    reverse: shapes.Reverse = False,
    name: shapes.Name = None,
    regex: shapes.Regex = None,
    limit: shapes.Limit = None,
    as_json: AsJson = False,
) -> None:
    """List queues with their message counts and rates."""
    with broker_at(target) as broker:
        where = path("queues") if vhost is None else path("queues", vhost)
        listed(broker, where, COLUMNS, columns, sort, reverse, name, regex, limit, as_json, no_vhost(vhost))


def no_vhost(vhost: str | None) -> str:
    """The error text for a virtual host that does not exist."""
    return f"there is no virtual host '{vhost}'; see `leveret vhosts list`"


@app.command(epilog=examples("queues show orders", "queues show orders --vhost shop --json"))
@at_broker
def show(target: Target, name: QueueName, vhost: Vhost = "/", as_json: AsJson = False) -> None:
    """Show all details of one queue."""
    with broker_at(target) as broker:
        print_one(broker.get(path("queues", vhost, name), missing=missing(name, vhost)), DETAILS, as_json)


@app.command(epilog=examples("queues declare orders --type quorum", "queues declare short --argument x-max-length=100"))
@at_broker
def declare(
    target: Target,
    name: QueueName,
    vhost: Vhost = "/",
    kind: Annotated[
        str | None, typer.Option("--type", help="classic or quorum. Default: the default of the virtual host.")
    ] = None,
    argument: Argument = None,
    transient: Annotated[bool, typer.Option("--transient", help="Delete it when the broker stops.")] = False,
    auto_delete: Annotated[bool, typer.Option("--auto-delete", help="Delete it with its last consumer.")] = False,
) -> None:
    """Declare a queue. An existing queue must have the same properties."""
    arguments = arguments_of(argument)
    if kind is not None:
        arguments["x-queue-type"] = kind
    body = {"durable": not transient, "auto_delete": auto_delete, "arguments": arguments}
    with broker_at(target) as broker:
        reply = broker.do("PUT", path("queues", vhost, name), body, missing=no_vhost(vhost))
    text = (
        f"Declared queue '{name}'." if reply.status == 201 else f"Queue '{name}' already exists with these properties."
    )
    say(text)


@app.command(epilog=examples("queues delete orders", "queues delete orders --if-empty --yes"))
@at_broker
def delete(
    target: Target,
    name: QueueName,
    vhost: Vhost = "/",
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Only if it contains no messages.")] = False,
    if_unused: Annotated[bool, typer.Option("--if-unused", help="Only if it has no consumer.")] = False,
    yes: Sure = False,
) -> None:
    """Delete a queue and its messages."""
    with broker_at(target) as broker:
        found = find(broker, name, vhost)
        has = messages(found["messages"] + found.get("messages_held", 0))
        consumers = f" and {found['consumers']} consumers" if found["consumers"] else ""
        confirm(f"Delete queue '{name}' with {has}{consumers}", yes)
        query = {"if-empty": str(if_empty).lower(), "if-unused": str(if_unused).lower()}
        broker.do("DELETE", path("queues", vhost, name), query=query, missing=missing(name, vhost))
    say(f"Deleted queue '{name}', which had {has}.")


@app.command(epilog=examples("queues purge orders", "queues purge orders --vhost shop --yes"))
@at_broker
def purge(target: Target, name: QueueName, vhost: Vhost = "/", yes: Sure = False) -> None:
    """Delete the ready and held messages of a queue. Unacknowledged messages stay."""
    with broker_at(target) as broker:
        found = find(broker, name, vhost)
        has = messages(found["messages_ready"] + found.get("messages_held", 0))
        confirm(f"Delete {has} from queue '{name}'", yes)
        broker.do("DELETE", path("queues", vhost, name, "contents"), missing=missing(name, vhost))
    say(f"Purged queue '{name}', which had {has} ready.")


@app.command(epilog=examples("queues bindings orders", "queues bindings orders --json"))
@at_broker
def bindings(target: Target, name: QueueName, vhost: Vhost = "/", as_json: AsJson = False) -> None:
    """List the bindings of a queue."""
    with broker_at(target) as broker:
        where = path("queues", vhost, name, "bindings")
        listed(broker, where, BINDINGS, as_json=as_json, missing=missing(name, vhost))


@app.command(epilog=examples("queues repair orders", "queues repair orders --vhost shop"))
@at_broker
def repair(
    target: Target,
    name: QueueName,
    vhost: Vhost = "/",
) -> None:
    """Retry the failed operation of a faulty queue and resume it. `leveret status` lists faulty queues."""
    perform(target, "repair_queue", name=name, vhost=vhost)
    say(f"Queue '{name}' works.")
