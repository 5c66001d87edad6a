"""Metrics of connections and channels. Source: prometheus_rabbitmq_core_metrics_collector.erl."""

from __future__ import annotations

from dataclasses import dataclass

from leveret.api.metrics.family import COUNTER, DROPPED, GAUGE, RETURNED, Family, Group
from leveret.api.metrics.scrape import Scrape
from leveret.api.metrics.text import labels
from leveret.api.services import Services
from leveret.core.counting.counters import ClientCounters, ConnectionCounters, Inflow
from leveret.session.channel import Channel
from leveret.session.connection.connection import Connection


class ChannelView:
    """A channel, as input for its metrics. Computes its totals once, when needed."""

    __slots__ = ("_total", "channel")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._total: ClientCounters | None = None

    @property
    def total(self) -> ClientCounters:
        """The totals of its counters."""
        if self._total is None:
            self._total = self.channel.counters.total()
        return self._total

    @property
    def uncommitted(self) -> tuple[int, int]:
        """Numbers of uncommitted messages and acknowledgements."""
        transaction = self.channel.publishing.transaction
        return (0, 0) if transaction is None else (transaction.messages, transaction.acks)


async def _channels(scrape: Scrape) -> list[Channel]:
    return [channel for connection in scrape.connections() for channel in connection.channels.values()]


def is_there(channel: Channel) -> bool:
    """Whether a channel is still open."""
    connection = channel.connection
    return isinstance(connection, Connection) and connection.channels.get(channel.number) is channel


def _channel_view(channel: Channel) -> ChannelView | None:
    return ChannelView(channel) if is_there(channel) else None


def channel_name(channel: Channel) -> str:
    """The name of a channel in the API."""
    return f"{channel.connection.name} ({channel.number})"


def _channel_labels(channel: Channel) -> str:
    return labels(channel=channel_name(channel))


def _of_channels(name: str, *families: Family) -> Group:
    return Group(name, _channels, families, _channel_labels, _channel_view, is_summed=True)


CHANNEL = _of_channels(
    "channel_metrics",
    Family("channel_consumers", GAUGE, "Consumers on a channel", lambda view: len(view.channel.consuming.consumers)),
    Family(
        "channel_messages_unacked",
        GAUGE,
        "Delivered but not yet acknowledged messages",
        lambda view: len(view.channel.consuming.unacked),
    ),
    Family(
        "channel_messages_unconfirmed",
        GAUGE,
        "Published but not yet confirmed messages",
        lambda view: view.channel.publishing.unconfirmed,
    ),
    Family(
        "channel_messages_uncommitted",
        GAUGE,
        "Messages received in a transaction but not yet committed",
        lambda view: view.uncommitted[0],
    ),
    Family(
        "channel_acks_uncommitted",
        GAUGE,
        "Message acknowledgements in a transaction not yet committed",
        lambda view: view.uncommitted[1],
    ),
    Family(
        "consumer_prefetch",
        GAUGE,
        "Limit of unacknowledged messages for each consumer",
        lambda view: int(view.channel.consuming.prefetch),
    ),
    Family(
        "channel_prefetch",
        GAUGE,
        "Deprecated and will be removed in a future version",
        lambda view: int(view.channel.consuming.shared.limit) or None,
    ),
)


@dataclass(frozen=True)
class Publishing:
    """The publishes of a channel to one exchange."""

    channel: Channel
    inflow: Inflow


async def _publishings(scrape: Scrape) -> list[Publishing]:
    return [
        Publishing(channel, inflow)
        for channel in await _channels(scrape)
        for inflow in channel.counters.inflows.values()
    ]


def _publishing_labels(publishing: Publishing) -> str:
    channel = publishing.channel
    vhost = channel.connection.vhost.name
    return labels(channel=channel_name(channel), vhost=vhost, exchange=publishing.inflow.exchange.name)


CHANNEL_EXCHANGE = Group(
    "channel_exchange_metrics",
    _publishings,
    (
        Family(
            "channel_messages_published_total",
            COUNTER,
            "Total number of messages published into an exchange on a channel",
            lambda publishing: publishing.inflow.published,
        ),
        Family(
            "channel_messages_unroutable_returned_total",
            COUNTER,
            RETURNED,
            lambda publishing: publishing.inflow.returned,
        ),
        Family(
            "channel_messages_unroutable_dropped_total",
            COUNTER,
            DROPPED,
            lambda publishing: publishing.inflow.unroutable - publishing.inflow.returned,
        ),
    ),
    _publishing_labels,
    is_summed=True,
)

CHANNEL_CONFIRMS = _of_channels(
    "channel_exchange_metrics",
    Family(
        "channel_messages_confirmed_total",
        COUNTER,
        "Total number of messages published into an exchange and confirmed on the channel",
        lambda view: view.total.confirmed,
    ),
)

CHANNEL_QUEUE = _of_channels(
    "channel_queue_metrics",
    Family(
        "channel_get_ack_total",
        COUNTER,
        "Total number of messages fetched with basic.get in manual acknowledgement mode",
        lambda view: view.total.got,
    ),
    Family(
        "channel_get_total",
        COUNTER,
        "Total number of messages fetched with basic.get in automatic acknowledgement mode",
        lambda view: view.total.got_no_ack,
    ),
    Family(
        "channel_messages_delivered_ack_total",
        COUNTER,
        "Total number of messages delivered to consumers in manual acknowledgement mode",
        lambda view: view.total.delivered,
    ),
    Family(
        "channel_messages_delivered_total",
        COUNTER,
        "Total number of messages delivered to consumers in automatic acknowledgement mode",
        lambda view: view.total.delivered_no_ack,
    ),
    Family(
        "channel_messages_redelivered_total",
        COUNTER,
        "Total number of messages redelivered to consumers",
        lambda view: view.total.redelivered,
    ),
    Family(
        "channel_messages_acked_total",
        COUNTER,
        "Total number of messages acknowledged by consumers",
        lambda view: view.total.acked,
    ),
    Family(
        "channel_get_empty_total",
        COUNTER,
        "Total number of times basic.get operations fetched no message",
        lambda view: view.total.get_empty,
    ),
)


# -- connections


class ConnectionView:
    """A connection, as input for its metrics. Computes its totals once, when needed."""

    __slots__ = ("_total", "connection", "services")

    def __init__(self, connection: Connection, services: Services) -> None:
        self.connection = connection
        self.services = services
        self._total: ConnectionCounters | None = None

    @property
    def total(self) -> ConnectionCounters:
        """The totals of its counters."""
        if self._total is None:
            self._total = self.connection.total()
        return self._total

    @property
    def pending(self) -> int:
        """Bytes in the write buffer of the socket."""
        protocol = self.services.driver.protocols.get(self.connection.number)
        transport = None if protocol is None else protocol.transport
        return 0 if transport is None else int(transport.get_write_buffer_size())


@dataclass(frozen=True)
class Seen:
    """A connection in a scrape."""

    connection: Connection
    services: Services


async def _connections(scrape: Scrape) -> list[Seen]:
    return [Seen(connection, scrape.services) for connection in scrape.connections()]


def _connection_view(seen: Seen) -> ConnectionView | None:
    return None if seen.connection.finished else ConnectionView(seen.connection, seen.services)


def _connection_labels(seen: Seen) -> str:
    return labels(channel=seen.connection.name)  # RabbitMQ's name of the label


def _of_connections(name: str, *families: Family) -> Group:
    return Group(name, _connections, families, _connection_labels, _connection_view, is_summed=True)


CONNECTION_COARSE = _of_connections(
    "connection_coarse_metrics",
    Family(
        "connection_incoming_bytes_total",
        COUNTER,
        "Total number of bytes received on a connection",
        lambda view: view.total.bytes_in,
    ),
    Family(
        "connection_outgoing_bytes_total",
        COUNTER,
        "Total number of bytes sent on a connection",
        lambda view: view.total.bytes_out,
    ),
)

CONNECTION = _of_connections(
    "connection_metrics",
    Family(
        "connection_incoming_packets_total",
        COUNTER,
        "Total number of packets received on a connection",
        lambda view: view.total.reads,
    ),
    Family(
        "connection_outgoing_packets_total",
        COUNTER,
        "Total number of packets sent on a connection",
        lambda view: view.total.writes,
    ),
    Family(
        "connection_pending_packets",
        GAUGE,
        "Number of packets waiting to be sent on a connection",
        lambda view: view.pending,
    ),
    Family("connection_channels", GAUGE, "Channels on a connection", lambda view: len(view.connection.channels)),
)
