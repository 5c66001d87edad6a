"""Flows: monotonic message counters between clients, exchanges and queues.

RabbitMQ has them only with `rates_mode` detailed, for one exchange or queue at a time. Leveret counts them anyway, and
one answer has all of a virtual host. Two answers give the rates.
"""

from __future__ import annotations

import msgspec

from leveret.api.access import Access
from leveret.api.operation import Operation
from leveret.api.request import Request
from leveret.api.views.clients import connections, consumer_item
from leveret.core.counting.counters import ConnectionCounters
from leveret.core.exchange.exchange import Exchange
from leveret.core.vhost import VirtualHost
from leveret.session.connection.connection import Connection


class PublishFlow(msgspec.Struct):
    """Messages that a connection published to an exchange. name: the client's own name for the connection. unroutable:
    messages that reached no queue.
    """

    connection: str
    name: str
    user: str
    exchange: str
    published: int
    unroutable: int


class ExchangeFlow(msgspec.Struct):
    """Messages published to an exchange, including over HTTP and by closed connections; without dead letters."""

    exchange: str
    published: int
    unroutable: int


class RouteFlow(msgspec.Struct):
    """Message copies that a queue received from publishes to an exchange, directly or through other exchanges."""

    exchange: str
    queue: str
    routed: int


class QueueFlow(msgspec.Struct):
    """taken: messages that a queue received, including dead letters. dead_lettered: messages it dead-lettered."""

    queue: str
    taken: int
    dead_lettered: int


class ConsumerFlow(msgspec.Struct):
    """Messages delivered to a consumer."""

    queue: str
    connection: str
    consumer_tag: str
    is_active: bool
    delivered: int


class Flows(msgspec.Struct):
    """at_ms: time of reading, in milliseconds of a monotonic clock; only differences are meaningful."""

    at_ms: int
    publishers: list[PublishFlow]
    exchanges: list[ExchangeFlow]
    routes: list[RouteFlow]
    queues: list[QueueFlow]
    consumers: list[ConsumerFlow]


async def flows(request: Request) -> Flows:
    """Return the flows of a virtual host; for clients, only those that the caller may see."""
    vhost, turns = request.vhost(), request.services.turns
    found = Flows(0, [], [], [], [], [])
    async with turns.few, turns:
        for client in request.broker.clients(vhost):
            client.count_routes()
            await turns.rest()
        found.at_ms = int(request.broker.clock.now_ms)
        clients = {each.counters: each for each in connections(request) if each.vhost is vhost}
        for exchange in list(vhost.exchanges.values()):
            _add_exchange(found, exchange, clients)
            await turns.rest()
        await _add_queues(found, request, vhost)
    return found


def _add_exchange(found: Flows, exchange: Exchange, clients: dict[ConnectionCounters, Connection]) -> None:
    counters = exchange.counters
    total = counters.total()
    found.exchanges.append(ExchangeFlow(exchange.name, int(total.published), int(total.unroutable)))
    by_client: dict[str, PublishFlow] = {}
    for channel, inflow in counters.inflows.items():
        client = None if channel.connection is None else clients.get(channel.connection)
        if client is None:
            continue
        flow = by_client.get(client.name)
        if flow is None:
            flow = by_client[client.name] = PublishFlow(
                client.name, client.label, client.user.name, exchange.name, 0, 0
            )
        flow.published += int(inflow.published)
        flow.unroutable += int(inflow.unroutable)
    found.publishers.extend(by_client.values())
    found.routes.extend(
        RouteFlow(exchange.name, queue.name, int(outflow.routed)) for queue, outflow in counters.outflows.items()
    )


async def _add_queues(found: Flows, request: Request, vhost: VirtualHost) -> None:
    caller, services = request.caller, request.services
    sees_all = caller.has(Access.MONITORING)
    for queue in list(vhost.queues.values()):
        counters = queue.counters
        found.queues.append(QueueFlow(queue.name, int(counters.published), int(counters.dead_lettered)))
        for consumer in list(queue.consumers.all):
            item = consumer_item(services, consumer)
            if item is None or not (sees_all or item.channel_details.user == caller.user.name):
                continue
            sent = int(consumer.counts.delivered)
            connection = item.channel_details.connection_name
            found.consumers.append(ConsumerFlow(queue.name, connection, consumer.tag, item.active, sent))
        await services.turns.rest()


OPERATIONS = [
    Operation(
        "GET",
        "/leveret/flows/{vhost}",
        flows,
        Access.MANAGEMENT,
        "Count messages from clients to exchanges, to queues and to consumers in a virtual host.",
        answers=Flows,
    ),
]
