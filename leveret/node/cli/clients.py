"""leveret connections, channels and consumers: the clients of a running broker."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from leveret.node.cli import columns as shapes
from leveret.node.cli.arguments import examples
from leveret.node.cli.asking import broker_at, path
from leveret.node.cli.columns import Column, count, listed, print_one, rate, size
from leveret.node.cli.names import of_users
from leveret.node.cli.output import AsJson, Sure, confirm, progress, refuse
from leveret.node.cli.queues import OnlyVhost, no_vhost
from leveret.node.cli.target import Target, at_broker
from leveret.node.printable import say

connections = typer.Typer(help="Manage client connections.", no_args_is_help=True)
channels = typer.Typer(help="Show channels of connections.", no_args_is_help=True)
consumers = typer.Typer(help="Manage consumers of queues.", no_args_is_help=True)


def bytes_rate(value: Any) -> str:
    """Bytes per second."""
    return size(round(value)) if isinstance(value, int | float) else ""


CONNECTIONS: Final = (
    Column("name", "name"),
    Column("user", "user", rank=1),
    Column("vhost", "vhost", rank=5),
    Column("state", "state", rank=4),
    Column("channels", "channels", count, 2),
    Column("in/s", "recv_oct_details.rate", bytes_rate, 3),
    Column("out/s", "send_oct_details.rate", bytes_rate, 3),
    Column("client", "client_properties.product", rank=6),
)
CONNECTION: Final = (
    *CONNECTIONS[:7],
    Column("from", "peer_host"),
    Column("from_port", "peer_port"),
    Column("protocol", "protocol"),
    Column("tls", "ssl"),
    Column("connected_ms", "connected_at"),
    Column("received", "recv_oct", size),
    Column("sent", "send_oct", size),
    Column("heartbeat_s", "timeout"),
    Column("frame_max", "frame_max", size),
    Column("client", "client_properties"),
)
CHANNELS: Final = (
    Column("name", "name"),
    Column("user", "user", rank=4),
    Column("vhost", "vhost", rank=5),
    Column("state", "state", rank=7),
    Column("consumers", "consumer_count", count, 2),
    Column("prefetch", "prefetch_count", count, 6),
    Column("unacked", "messages_unacknowledged", count, 1),
    Column("unconfirmed", "messages_unconfirmed", count, 8),
    Column("in/s", "message_stats.publish_details.rate", rate, 3),
    Column("out/s", "message_stats.deliver_get_details.rate", rate, 3),
)
CHANNEL: Final = (
    *CHANNELS,
    Column("confirms", "confirm"),
    Column("transactional", "transactional"),
    Column("global_prefetch", "global_prefetch_count", count),
    Column("uncommitted", "messages_uncommitted", count),
    Column("idle_since", "idle_since"),
)
CONSUMERS: Final = (
    Column("queue", "queue.name"),
    Column("vhost", "queue.vhost", rank=3),
    Column("tag", "consumer_tag"),
    Column("channel", "channel_details.name", rank=1),
    Column("user", "channel_details.user", rank=4),
    Column("acks", "ack_required", rank=5),
    Column("prefetch", "prefetch_count", count, 2),
    Column("active", "active", rank=6),
)


@connections.callback()
def about_connections() -> None:
    """Connections of clients."""


@connections.command(
    "list", epilog=examples("connections list --sort channels --reverse", "connections list --name 10.0.0.7")
)
@at_broker
def list_connections(
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
    """List connections; in/s and out/s are bytes. Users without the tag monitoring see only their own connections."""
    where = path("connections") if vhost is None else path("vhosts", vhost, "connections")
    with broker_at(target) as broker:
        listed(broker, where, CONNECTIONS, columns, sort, reverse, name, regex, limit, as_json, no_vhost(vhost))


ConnectionName = Annotated[str, typer.Argument(help="Name of the connection, as shown by `leveret connections list`.")]


def _no_connection(name: str) -> str:
    return f"there is no connection '{name}'; see `leveret connections list`"


@connections.command(epilog=examples("connections show '10.0.0.7:40312 -> 10.0.0.1:5672'"))
@at_broker
def show(target: Target, name: ConnectionName, as_json: AsJson = False) -> None:
    """Show all details of one connection."""
    with broker_at(target) as broker:
        print_one(broker.get(path("connections", name), missing=_no_connection(name)), CONNECTION, as_json)


@connections.command(
    epilog=examples("connections close '10.0.0.7:40312 -> 10.0.0.1:5672'", "connections close --user shop --yes")
)
@at_broker
def close(
    target: Target,
    name: Annotated[
        str | None, typer.Argument(help="Name of the connection, as shown by `leveret connections list`.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="All connections of this user.", autocompletion=of_users)] = None,
    everybody: Annotated[bool, typer.Option("--all", help="All connections.")] = False,
    reason: Annotated[str, typer.Option(help="Reason sent to the clients.")] = "Closed by an administrator",
    yes: Sure = False,
) -> None:
    """Close connections: one, those of a user, or all. Clients may connect again."""
    if sum((name is not None, user is not None, everybody)) != 1:
        raise typer.BadParameter("give the name of a connection, --user or --all")
    headers = {"X-Reason": reason}
    with broker_at(target) as broker:
        if name is not None:
            broker.do("DELETE", path("connections", name), missing=_no_connection(name), headers=headers)
            say(f"Closed connection '{name}'.")
            return
        where = path("connections") if user is None else path("connections", "username", user)
        found = [each["name"] for each in broker.get(where, {"columns": "name"})]
        whose = "" if user is None else f" of user '{user}'"
        text = f"{len(found)} connection{'s' * (len(found) != 1)}{whose}"
        if found:
            confirm(f"Close {text}", yes)
        closed = 0
        with progress("Closing") as tell:
            for done, each in enumerate(found, 1):
                reply = broker.ask("DELETE", path("connections", each), headers=headers)
                if not reply.is_good and reply.status != 404:
                    broker.refuse(reply)
                closed += reply.is_good
                tell(done, len(found))
    if closed < len(found):
        refuse(f"closed {closed} of {text}; the others were already closed")
    say(f"Closed {text}.")


@channels.callback()
def about_channels() -> None:
    """Channels of connections."""


@channels.command("list", epilog=examples("channels list --sort unacked --reverse", "channels list --json"))
@at_broker
def list_channels(
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
    """List channels with their pending messages and rates."""
    where = path("channels") if vhost is None else path("vhosts", vhost, "channels")
    with broker_at(target) as broker:
        listed(broker, where, CHANNELS, columns, sort, reverse, name, regex, limit, as_json, no_vhost(vhost))


@channels.command("show", epilog=examples("channels show '10.0.0.7:40312 -> 10.0.0.1:5672 (1)'"))
@at_broker
def show_channel(
    target: Target,
    name: Annotated[str, typer.Argument(help="Name of the channel, as shown by `leveret channels list`.")],
    as_json: AsJson = False,
) -> None:
    """Show all details of one channel."""
    missing = f"there is no channel '{name}'; see `leveret channels list`"
    with broker_at(target) as broker:
        print_one(broker.get(path("channels", name), missing=missing), CHANNEL, as_json)


@consumers.callback()
def about_consumers() -> None:
    """Consumers of queues."""


@consumers.command("list", epilog=examples("consumers list --vhost shop", "consumers list --sort queue --json"))
@at_broker
def list_consumers(
    target: Target,
    vhost: OnlyVhost = None,
    columns: shapes.Columns = None,
    sort: shapes.Sort = None,
    reverse: shapes.Reverse = False,
    name: Annotated[str | None, typer.Option(help="Only consumers whose tag contains this text.")] = None,
    regex: Annotated[str | None, typer.Option(help="Only consumers whose tag matches this pattern.")] = None,
    limit: shapes.Limit = None,
    as_json: AsJson = False,
) -> None:
    """List consumers with their queues."""
    where = path("consumers") if vhost is None else path("consumers", vhost)
    with broker_at(target) as broker:
        listed(broker, where, CONSUMERS, columns, sort, reverse, name, regex, limit, as_json, no_vhost(vhost))
