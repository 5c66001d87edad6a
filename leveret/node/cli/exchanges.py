"""leveret exchanges: manage exchanges of a running broker."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from leveret.node.cli import columns as shapes
from leveret.node.cli.arguments import Argument, arguments_of, examples
from leveret.node.cli.asking import broker_at, path
from leveret.node.cli.columns import Column, listed, print_one, rate
from leveret.node.cli.names import of_exchanges
from leveret.node.cli.output import AsJson, Sure, confirm
from leveret.node.cli.queues import OnlyVhost, Vhost, no_vhost
from leveret.node.cli.target import Target, at_broker
from leveret.node.printable import say

app = typer.Typer(help="Manage exchanges of a running broker.", no_args_is_help=True)

DEFAULT: Final = "amq.default"
TYPES: Final = "direct, fanout, topic, headers"

ExchangeName = Annotated[
    str, typer.Argument(help="Name of the exchange; '' for the default exchange.", autocompletion=of_exchanges)
]

COLUMNS: Final = (
    Column("name", "name"),
    Column("vhost", "vhost", rank=2),
    Column("type", "type"),
    Column("durable", "durable", rank=4),
    Column("in/s", "message_stats.publish_in_details.rate", rate, 1),
    Column("out/s", "message_stats.publish_out_details.rate", rate, 1),
    Column("policy", "policy", rank=3),
)
DETAILS: Final = (
    *COLUMNS,
    Column("auto_delete", "auto_delete"),
    Column("internal", "internal"),
    Column("arguments", "arguments"),
)


def missing(name: str, vhost: str) -> str:
    """The error text for an exchange that does not exist."""
    there_are = "see `leveret exchanges list`"
    return f"there is no exchange '{name}' in virtual host '{vhost}'; {there_are}"


@app.command("list", epilog=examples("exchanges list --vhost shop", "exchanges list --sort in/s --reverse"))
@at_broker
def list_exchanges(
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
    """List exchanges with their rates. The default exchange has an empty name."""
    where = path("exchanges") if vhost is None else path("exchanges", vhost)
    with broker_at(target) as broker:
        listed(broker, where, COLUMNS, columns, sort, reverse, name, regex, limit, as_json, no_vhost(vhost))


@app.command(epilog=examples("exchanges show events", "exchanges show amq.topic --json"))
@at_broker
def show(target: Target, name: ExchangeName, vhost: Vhost = "/", as_json: AsJson = False) -> None:
    """Show all details of one exchange."""
    with broker_at(target) as broker:
        print_one(broker.get(path("exchanges", vhost, name or DEFAULT), missing=missing(name, vhost)), DETAILS, as_json)


@app.command(
    epilog=examples("exchanges declare events --type topic", "exchanges declare events -a alternate-exchange=unrouted")
)
@at_broker
def declare(
    target: Target,
    name: ExchangeName,
    vhost: Vhost = "/",
    kind: Annotated[str, typer.Option("--type", help=f"{TYPES} or another supported type.")] = "direct",
    argument: Argument = None,
    transient: Annotated[bool, typer.Option("--transient", help="Delete it when the broker stops.")] = False,
    auto_delete: Annotated[bool, typer.Option("--auto-delete", help="Delete it with its last binding.")] = False,
    internal: Annotated[bool, typer.Option("--internal", help="Accept messages from other exchanges only.")] = False,
) -> None:
    """Declare an exchange. An existing exchange must have the same properties."""
    body = {
        "type": kind,
        "durable": not transient,
        "auto_delete": auto_delete,
        "internal": internal,
        "arguments": arguments_of(argument),
    }
    with broker_at(target) as broker:
        reply = broker.do("PUT", path("exchanges", vhost, name or DEFAULT), body, missing=no_vhost(vhost))
    is_new = reply.status == 201
    say(f"Declared exchange '{name}'." if is_new else f"Exchange '{name}' already exists with these properties.")


@app.command(epilog=examples("exchanges delete events", "exchanges delete events --if-unused --yes"))
@at_broker
def delete(
    target: Target,
    name: ExchangeName,
    vhost: Vhost = "/",
    if_unused: Annotated[bool, typer.Option("--if-unused", help="Only if it has no bindings.")] = False,
    yes: Sure = False,
) -> None:
    """Delete an exchange and its bindings."""
    where = path("exchanges", vhost, name or DEFAULT)
    with broker_at(target) as broker:
        found = len(broker.get(f"{where}/bindings/source", {"columns": "source"}, no_vhost(vhost)))
        confirm(f"Delete exchange '{name}' with {found} binding{'s' * (found != 1)}", yes)
        broker.do("DELETE", where, query={"if-unused": str(if_unused).lower()}, missing=missing(name, vhost))
    say(f"Deleted exchange '{name}'.")
