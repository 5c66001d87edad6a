"""Overview: the broker in one answer. Source: rabbit_mgmt_wm_overview.erl."""

from __future__ import annotations

import platform
import ssl
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from leveret.api.access import Access
from leveret.api.history import GLOBAL, Numbers, Sum, numbers
from leveret.api.listing import pick
from leveret.api.operation import COLUMNS, SAMPLES, Operation
from leveret.api.request import Request
from leveret.api.sampler import BROKER, CHURN, DELIVERIES, LENGTHS, PUBLISHES, VHOST, of_churn
from leveret.api.services import Port, Services
from leveret.api.statistics import Statistics, spans, with_details
from leveret.core.exchange_types.kinds import TYPES
from leveret.session.connection.connection import Connection
from leveret.wire.versions import API_VERSION

DISK = ("disk_reads", "disk_writes")
"""Messages that RabbitMQ's queues read and wrote; 0 here, since the log writes many messages at once."""
NOWHERE = numbers(*DISK)
CHURNED = numbers(*CHURN)
FEDERATION = "x-federation-upstream"
DESCRIPTIONS = {
    "direct": "routes to the queues whose binding key equals the routing key",
    "fanout": "routes to all bound queues",
    "topic": "routes to the queues whose binding pattern matches the routing key",
    "headers": "routes to the queues whose binding arguments match the headers of the message",
    FEDERATION: "used by a RabbitMQ broker that federates exchanges; it declares this type itself",
}


class ExchangeType(msgspec.Struct):
    """An exchange type. internal_purpose: for a type that only brokers declare."""

    name: str
    description: str
    enabled: bool = True
    internal_purpose: str | UnsetType = UNSET


class ObjectTotals(msgspec.Struct):
    """The numbers of objects that the caller may see."""

    channels: int
    connections: int
    consumers: int
    exchanges: int
    queues: int


class ListenerItem(msgspec.Struct):
    """A port that the broker listens on."""

    node: str
    protocol: str
    ip_address: str
    port: int
    tls: bool
    socket_opts: dict[str, Any] = {}


class Context(msgspec.Struct):
    """An HTTP port. protocol: present if the port serves only a part of the API."""

    node: str
    description: str
    path: str
    ip: str
    port: str
    ssl_opts: list[Any] = []
    cowboy_opts: str = "[]"
    protocol: str | UnsetType = UNSET


class Overview(msgspec.Struct, kw_only=True):
    """The broker. The versions are those of the RabbitMQ release that the API implements; product_name and
    product_version are those of Leveret.
    """

    management_version: str
    rates_mode: str = "basic"
    sample_retention_policies: dict[str, list[int]]
    exchange_types: list[ExchangeType]
    product_name: str
    product_version: str
    rabbitmq_version: str
    cluster_name: str
    cluster_tags: dict[str, Any]
    node_tags: dict[str, Any]
    erlang_version: str
    erlang_full_version: str
    crypto_lib_version: str
    disable_stats: bool = False
    default_queue_type: str = "classic"
    is_op_policy_updating_enabled: bool = True
    enable_queue_totals: bool = False
    require_definition_json_extension: bool = False
    message_stats: Statistics
    churn_rates: Statistics
    queue_totals: Statistics
    object_totals: ObjectTotals
    statistics_db_event_queue: int = 0
    node: str
    listeners: list[ListenerItem]
    contexts: list[Context]


def exchange_types() -> list[ExchangeType]:
    """All exchange types."""
    return [
        ExchangeType(
            name,
            DESCRIPTIONS.get(name, "an extension of Leveret"),
            internal_purpose="federation" if name == FEDERATION else UNSET,
        )
        for name in sorted(TYPES)
    ]


def listener_item(services: Services, port: Port) -> ListenerItem:
    """The item of a port."""
    return ListenerItem(services.node, port.protocol, port.host, port.number, port.is_tls)


def contexts(services: Services) -> list[Context]:
    """The HTTP ports."""
    return [
        Context(
            services.node,
            "Leveret HTTP API",
            "/",
            port.host,
            str(port.number),
            protocol=f"'{port.protocol}'" if "/" in port.protocol else UNSET,
        )
        for port in services.facts.ports
        if port.protocol.startswith("http")
    ]


async def totals(request: Request) -> ObjectTotals:
    """Count the objects that the caller may see."""
    broker = request.broker
    vhosts = request.vhosts(for_monitors=True)
    sees_all = request.caller.has(Access.MONITORING)
    found = [
        each
        for each in broker.connections.values()
        if isinstance(each, Connection) and (sees_all or each.user is request.caller.user)
    ]
    consumers = 0
    async with request.services.turns as turns:
        for vhost in vhosts:
            for queue in list(vhost.queues.values()):
                consumers += len(queue.consumers)
                await turns.rest()
    return ObjectTotals(
        channels=sum(len(each.channels) for each in found),
        connections=len(found),
        consumers=consumers,
        exchanges=sum(len(vhost.exchanges) for vhost in vhosts),
        queues=sum(len(vhost.queues) for vhost in vhosts),
    )


async def show(request: Request) -> Any:
    """Show the broker. Message counts are those of the last sample, a few seconds ago; for users without monitoring
    rights, they include only their virtual hosts.
    """
    from leveret import __version__

    services = request.services
    whole = services.history.find(services.broker)
    series: Numbers | None = whole
    if not request.caller.has(Access.MONITORING):
        series = Sum(VHOST, [services.history.find(vhost) for vhost in request.vhosts()])
    values = series.now if series is not None else (0,) * len(BROKER)
    wanted = spans(request.query)
    found = Overview(
        management_version=API_VERSION,
        sample_retention_policies={"global": [kept for kept, _ in GLOBAL], "basic": [605, 3660], "detailed": [605]},
        exchange_types=exchange_types(),
        product_name="Leveret",
        product_version=__version__,
        rabbitmq_version=API_VERSION,
        cluster_name=services.cluster_name,
        cluster_tags={},
        node_tags={},
        erlang_version="",
        erlang_full_version=f"{platform.python_implementation()} {platform.python_version()}",
        crypto_lib_version=ssl.OPENSSL_VERSION,
        message_stats=with_details((*PUBLISHES, *DELIVERIES), BROKER, values, series, wanted["msg_rates"])
        | with_details(DISK, NOWHERE, (0, 0), None, wanted["msg_rates"]),
        churn_rates=with_details(CHURN, CHURNED, of_churn(services.broker), whole, wanted["lengths"]),
        queue_totals=with_details(LENGTHS, BROKER, values, series, wanted["lengths"]),
        object_totals=await totals(request),
        node=services.node,
        listeners=[listener_item(services, port) for port in services.facts.ports],
        contexts=contexts(services),
    )
    return pick(found, request.query.columns)


OPERATIONS = [
    Operation(
        "GET",
        "/overview",
        show,
        Access.MANAGEMENT,
        "Show an overview of the broker: versions, rates, totals and listeners.",
        answers=Overview,
        query=(*COLUMNS, *SAMPLES),
    ),
]
