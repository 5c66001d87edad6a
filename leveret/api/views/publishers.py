"""Publishers: which channels publish to which exchanges. RabbitMQ has this only with rates_mode detailed."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from leveret.api.access import Access
from leveret.api.listing import Listing
from leveret.api.operation import LISTING, Operation
from leveret.api.request import Request
from leveret.api.views.clients import ChannelDetails, channel_details, connections
from leveret.core.counting.counters import Inflow
from leveret.session.channel import Channel
from leveret.session.connection.connection import Connection


class PublisherItem(msgspec.Struct, kw_only=True):
    """An open channel that has published to an existing exchange. returned: unroutable messages returned to the
    publisher. dropped: unroutable messages that were dropped. Publishers over HTTP have no channel and are not listed.
    """

    vhost: str
    exchange: str
    connection_label: str
    channel_details: ChannelDetails
    published: int
    returned: int
    dropped: int


Flow = tuple[Connection, Channel, Inflow]


def _flows(request: Request) -> Iterator[Flow]:
    vhost, exchange = request.query.text("vhost"), request.query.text("exchange")
    for connection in connections(request):
        if vhost and connection.vhost.name != vhost:
            continue
        for channel in list(connection.channels.values()):
            for inflow in list(channel.counters.inflows.values()):
                if not exchange or inflow.exchange.name == ("" if exchange == "amq.default" else exchange):
                    yield connection, channel, inflow


async def list_publishers(request: Request) -> Listing:
    """List the publishers of all connections that the caller may see."""

    def view(flow: Flow) -> PublisherItem | None:
        connection, channel, inflow = flow
        if connection.finished or channel.number not in connection.channels:
            return None
        return PublisherItem(
            vhost=connection.vhost.name,
            exchange=inflow.exchange.name,
            connection_label=connection.label,
            channel_details=channel_details(request.services, connection, channel.number),
            published=int(inflow.published),
            returned=int(inflow.returned),
            dropped=int(inflow.unroutable - inflow.returned),
        )

    return Listing(_flows(request), view, lambda flow: flow[2].exchange.name)


OPERATIONS = [
    Operation(
        "GET",
        "/leveret/publishers",
        list_publishers,
        Access.MANAGEMENT,
        "List which channels published how many messages to which exchanges: all, or only one's own.",
        answers=list[PublisherItem],
        query=(*LISTING, "vhost", "exchange"),
    ),
]
