"""leveret bindings: manage bindings of queues and exchanges."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from leveret.node.cli import columns as shapes
from leveret.node.cli.arguments import Argument, arguments_of, examples
from leveret.node.cli.asking import Broker, broker_at, path
from leveret.node.cli.columns import listed
from leveret.node.cli.exchanges import DEFAULT
from leveret.node.cli.names import of_exchanges, of_queues
from leveret.node.cli.output import AsJson, refuse
from leveret.node.cli.queues import BINDINGS, OnlyVhost, Vhost, no_vhost
from leveret.node.cli.target import Target, at_broker
from leveret.node.printable import say

app = typer.Typer(help="Manage bindings of queues and exchanges.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(help="Name of the source exchange.", autocompletion=of_exchanges)]
Destination = Annotated[
    str, typer.Argument(help="Name of the destination queue or exchange.", autocompletion=of_queues)
]
Key = Annotated[str, typer.Option("--key", help="Routing key or, for topic exchanges, a pattern.")]
ToExchange = Annotated[bool, typer.Option("--to-exchange", help="The destination is an exchange, not a queue.")]

LISTED: Final = BINDINGS


@app.command("list", epilog=examples("bindings list --vhost shop", "bindings list --sort destination"))
@at_broker
def list_bindings(
    target: Target,
    vhost: OnlyVhost = None,
    columns: shapes.Columns = None,
    sort: shapes.Sort = None,
    reverse: shapes.Reverse = False,
    name: Annotated[str | None, typer.Option(help="Only bindings whose exchange name contains this text.")] = None,
    regex: Annotated[str | None, typer.Option(help="Only bindings whose exchange name matches this pattern.")] = None,
    limit: shapes.Limit = None,
    as_json: AsJson = False,
) -> None:
    """List bindings. Every queue is bound to the default exchange, whose name is empty."""
    where = path("bindings") if vhost is None else path("bindings", vhost)
    with broker_at(target) as broker:
        listed(broker, where, LISTED, columns, sort, reverse, name, regex, limit, as_json, no_vhost(vhost))


def _between(vhost: str, source: str, destination: str, to_exchange: bool) -> str:
    return path("bindings", vhost, "e", source or DEFAULT, "e" if to_exchange else "q", destination)


def _named(source: str, destination: str, to_exchange: bool) -> str:
    return f"exchange '{source}' to {'exchange' if to_exchange else 'queue'} '{destination}'"


@app.command(epilog=examples("bindings add events mails --key 'order.*'", "bindings add events audit --to-exchange"))
@at_broker
def add(
    target: Target,
    source: Source,
    destination: Destination,
    key: Key = "",
    argument: Argument = None,
    to_exchange: ToExchange = False,
    vhost: Vhost = "/",
) -> None:
    """Bind a queue or exchange to an exchange."""
    body = {"routing_key": key, "arguments": arguments_of(argument)}
    with broker_at(target) as broker:
        broker.do("POST", _between(vhost, source, destination, to_exchange), body, missing=no_vhost(vhost))
    say(f"Bound {_named(source, destination, to_exchange)} with the key '{key}'.")


@app.command(
    epilog=examples("bindings remove events mails --key 'order.*'", "bindings remove events audit --to-exchange")
)
@at_broker
def remove(
    target: Target,
    source: Source,
    destination: Destination,
    key: Key = "",
    argument: Argument = None,
    to_exchange: ToExchange = False,
    vhost: Vhost = "/",
) -> None:
    """Delete the binding with this routing key and these arguments."""
    where = _between(vhost, source, destination, to_exchange)
    with broker_at(target) as broker:
        found = _find(broker, where, key, arguments_of(argument), no_vhost(vhost))
        if found is None:
            refuse(f"there is no binding of {_named(source, destination, to_exchange)} with the key '{key}'")
        broker.do("DELETE", where + path(found))
    say(f"Unbound {_named(source, destination, to_exchange)} with the key '{key}'.")


def _find(broker: Broker, where: str, key: str, arguments: dict[str, Any], missing: str) -> str | None:
    """The properties_key of a binding; None if it does not exist."""
    for each in broker.get(where, missing=missing):
        if each["routing_key"] == key and each["arguments"] == arguments:
            return str(each["properties_key"])
    return None
