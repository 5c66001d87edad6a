"""Clients: connections, channels and consumers. Source: rabbit_mgmt_wm_connection*.erl, rabbit_mgmt_wm_channel*.erl."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType, structs

from leveret.api.access import Access
from leveret.api.errors import bad_request, not_authorised, not_there
from leveret.api.listing import Listing, pick
from leveret.api.operation import COLUMNS, LISTING, SAMPLES, Operation
from leveret.api.query import Span
from leveret.api.request import DONE, Answer, Request
from leveret.api.sampler import CHANNEL, DELIVERIES, PUBLISHES, of_channel
from leveret.api.services import Services
from leveret.api.statistics import Details, Statistics, details, idle_since, spans, with_details
from leveret.api.views.erlang import GARBAGE_COLLECTION, GarbageCollection
from leveret.api.views.tls import WITHOUT_TLS, TlsDetails, tls_details
from leveret.core.access.user import User
from leveret.core.client.leased import LeasedParty
from leveret.core.client.receiver import Receiver
from leveret.core.queue.consumers import Consumer
from leveret.core.queue.queue import Queue
from leveret.management.arguments import to_json
from leveret.session.base.lane import OPEN
from leveret.session.channel import Channel
from leveret.session.connection.connection import Connection
from leveret.session.connection.life import RUNNING

REASON = "Closed via management plugin"


class ConnectionDetails(msgspec.Struct):
    """A reference to a connection."""

    name: str
    peer_host: str
    peer_port: int


class ConnectionItem(TlsDetails, kw_only=True):
    """A connection of a client. connected_at: milliseconds since 1970. timeout: heartbeat, in seconds.

    state: running, blocked (by an alarm), flow (its queues are slow), or closing. recv_oct, send_oct: bytes. recv_cnt,
    send_cnt: reads from and writes to the socket.
    """

    name: str
    node: str
    user_provided_name: str | UnsetType = UNSET
    user: str
    user_who_performed_action: str
    vhost: str
    protocol: str = "AMQP 0-9-1"
    type: str = "network"
    state: str
    auth_mechanism: str
    client_properties: dict[str, Any]
    connected_at: int
    host: str
    port: int
    peer_host: str
    peer_port: int
    timeout: int
    frame_max: int
    channel_max: int
    channels: int
    recv_oct: int
    recv_oct_details: Details
    recv_cnt: int
    send_oct: int
    send_oct_details: Details
    send_cnt: int
    send_pend: int
    garbage_collection: GarbageCollection = GARBAGE_COLLECTION
    reductions: int = 0
    reductions_details: Details


class ChannelDetails(msgspec.Struct):
    """A reference to a channel."""

    name: str
    number: int
    connection_name: str
    peer_host: str
    peer_port: int
    user: str
    node: str


class QueueReference(msgspec.Struct):
    """A reference to a queue."""

    name: str
    vhost: str


class ConsumerItem(msgspec.Struct, kw_only=True):
    """A consumer. consumer_timeout: milliseconds to acknowledge a delivery; null without a limit."""

    consumer_tag: str
    queue: QueueReference
    channel_details: ChannelDetails
    ack_required: bool
    active: bool
    activity_status: str
    exclusive: bool
    prefetch_count: int
    arguments: dict[str, Any]
    consumer_timeout: int | None


class ChannelItem(msgspec.Struct, kw_only=True):
    """A channel of a connection."""

    name: str
    node: str
    number: int
    user: str
    user_who_performed_action: str
    vhost: str
    connection_details: ConnectionDetails
    state: str
    confirm: bool
    transactional: bool
    consumer_count: int
    prefetch_count: int
    global_prefetch_count: int
    messages_unacknowledged: int
    messages_unconfirmed: int
    messages_uncommitted: int
    acks_uncommitted: int
    message_stats: Statistics
    idle_since: str | UnsetType = UNSET
    cached_segments: int = 0
    pending_raft_commands: int = 0
    garbage_collection: GarbageCollection = GARBAGE_COLLECTION
    reductions: int = 0
    reductions_details: Details


class ChannelAlone(ChannelItem, kw_only=True):
    """A channel with its consumers. publishes, deliveries: always empty, as in RabbitMQ with its default rates_mode."""

    consumer_details: list[ConsumerItem]
    publishes: list[Any] = []
    deliveries: list[Any] = []


class Ends(msgspec.Struct):
    """The two ends of a connection. name: PEER:PORT -> HOST:PORT."""

    name: str
    peer_host: str
    peer_port: int
    host: str
    port: int


def ends(client: Any) -> Ends:
    """The two ends of a connection, taken from its name."""
    peer, _, ours = client.name.partition(" -> ")
    peer_host, peer_port = _address(peer)
    host, port = _address(ours)
    return Ends(client.name, peer_host, peer_port, host, port)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdigit() else (text, 0)


def connections(request: Request) -> list[Connection]:
    """The connections that the caller may see: all for monitoring users, otherwise the caller's own."""
    caller = request.caller
    sees_all = caller.has(Access.MONITORING)
    return [
        client
        for client in request.broker.connections.values()
        if isinstance(client, Connection) and client.state >= RUNNING and (sees_all or client.user is caller.user)
    ]


def state_of(connection: Connection) -> str:
    """The state of a connection. Source: rabbit_reader.erl, connection_state."""
    if connection.state != RUNNING:
        return "closing"
    if connection.is_blocked:
        return "blocked"
    return "flow" if connection.is_in_flow else "running"


def connection_item(services: Services, connection: Connection, span: Span | None) -> ConnectionItem | None:
    """The item of a connection; None if it has ended."""
    if connection.finished:
        return None
    where = ends(connection)
    total = connection.total()
    series = services.history.find(connection)
    protocol = services.driver.protocols.get(connection.number)
    transport = None if protocol is None else protocol.transport
    label = connection.label
    return ConnectionItem(
        name=connection.name,
        node=services.node,
        user_provided_name=UNSET if label == connection.name else label,
        user=connection.user.name,
        user_who_performed_action=connection.user.name,
        vhost=connection.vhost.name,
        state=state_of(connection),
        auth_mechanism=connection.mechanism,
        client_properties=to_json(connection.client_properties),
        connected_at=connection.connected_ms,
        host=where.host,
        port=where.port,
        peer_host=where.peer_host,
        peer_port=where.peer_port,
        timeout=connection.heartbeat_s,
        frame_max=int(connection.reader.frame_max),
        channel_max=connection.channel_max,
        channels=len(connection.channels),
        recv_cnt=int(total.reads),
        send_cnt=int(total.writes),
        send_pend=0 if transport is None else transport.get_write_buffer_size(),
        **tls_details(transport),
        recv_oct=int(total.bytes_in),
        recv_oct_details=details(series, "recv_oct", span),
        send_oct=int(total.bytes_out),
        send_oct_details=details(series, "send_oct", span),
        reductions_details=details(None, "", span),
    )


def channel_details(services: Services, party: Connection | LeasedParty, number: int) -> ChannelDetails:
    """A reference to a channel. An HTTP consumer has no channel; its own name is used instead."""
    if isinstance(party, LeasedParty):
        return ChannelDetails(party.name, 0, party.name, party.host, 0, party.user.name, services.node)
    where = ends(party)
    name = f"{party.name} ({number})"
    return ChannelDetails(name, number, party.name, where.peer_host, where.peer_port, party.user.name, services.node)


def consumer_item(services: Services, consumer: Consumer) -> ConsumerItem | None:
    """The item of a consumer; None for internal consumers."""
    receiver = consumer.subscriber
    queue = consumer.queue
    if not isinstance(receiver, Receiver) or not isinstance(receiver.party, Connection | LeasedParty):
        return None
    is_single = isinstance(queue, Queue) and queue.consumers.single_active
    is_active = not is_single or (isinstance(queue, Queue) and queue.consumers.chosen is consumer)
    status = "up" if not is_single else "single_active" if is_active else "waiting"
    timeout_ms = consumer.timeout_ms if consumer.timeout_ms >= 0 else queue.consumer_timeout_ms()
    if timeout_ms < 0:
        timeout_ms = services.broker.consumer_timeout_ms
    return ConsumerItem(
        consumer_tag=consumer.tag,
        queue=QueueReference(queue.name, queue.vhost.name),
        channel_details=channel_details(services, receiver.party, receiver.number),
        ack_required=not consumer.no_ack,
        active=is_active,
        activity_status=status,
        exclusive=consumer.exclusive,
        prefetch_count=int(consumer.window.limit),
        arguments=to_json(consumer.arguments),
        consumer_timeout=timeout_ms or None,
    )


def _user_of(consumer: Consumer) -> User | None:
    receiver = consumer.subscriber
    return receiver.party.user if isinstance(receiver, Receiver) else None


def _channel_fields(services: Services, channel: Channel, span: Span | None) -> dict[str, Any]:
    connection = channel.connection
    publishing, consuming = channel.publishing, channel.consuming
    where = ends(connection)
    series = services.history.find(channel)
    confirms, transaction = publishing.confirms, publishing.transaction
    return {
        "name": f"{connection.name} ({channel.number})",
        "node": services.node,
        "number": channel.number,
        "user": connection.user.name,
        "user_who_performed_action": connection.user.name,
        "vhost": connection.vhost.name,
        "connection_details": ConnectionDetails(where.name, where.peer_host, where.peer_port),
        "state": "running" if channel.state == OPEN else "closing",
        "confirm": publishing.wants_confirms,
        "transactional": transaction is not None,
        "consumer_count": len(consuming.consumers),
        "prefetch_count": int(consuming.prefetch),
        "global_prefetch_count": int(consuming.shared.limit),
        "messages_unacknowledged": len(consuming.unacked),
        "messages_unconfirmed": 0 if confirms is None else int(publishing.last_tag) - confirms.settled,
        "messages_uncommitted": 0 if transaction is None else transaction.messages,
        "acks_uncommitted": 0 if transaction is None else transaction.acks,
        "message_stats": with_details(
            (*PUBLISHES, *DELIVERIES), CHANNEL, of_channel(channel.counters.total()), series, span
        ),
        "idle_since": idle_since(series),
        "reductions_details": details(None, "", span),
    }


def channel_item(services: Services, channel: Channel, span: Span | None) -> ChannelItem | None:
    """The item of a channel; None if it has ended."""
    if channel.connection.finished or channel.number not in _channels(channel.connection):
        return None
    return ChannelItem(**_channel_fields(services, channel, span))


def _channels(connection: Any) -> dict[int, Channel]:
    assert isinstance(connection, Connection)
    return connection.channels


def _connection_list(request: Request, found: Iterable[Connection]) -> Listing:
    span = spans(request.query)["data_rates"]
    return Listing(
        found,
        lambda each: connection_item(request.services, each, span),
        lambda each: each.name,
        lambda each: each.name,
    )


def _channel_list(request: Request, found: Iterable[Connection]) -> Listing:
    span = spans(request.query)["msg_rates"]
    channels = (channel for each in found for channel in list(each.channels.values()))
    return Listing(
        channels,
        lambda each: channel_item(request.services, each, span),
        lambda each: f"{each.connection.name} ({each.number})",
        lambda each: each.connection.name,
    )


async def list_connections(request: Request) -> Listing:
    """List the connections that the caller may see."""
    return _connection_list(request, connections(request))


async def list_vhost_connections(request: Request) -> Listing:
    """List the connections to one virtual host."""
    vhost = request.vhost()
    return _connection_list(request, [each for each in connections(request) if each.vhost is vhost])


async def list_user_connections(request: Request) -> Listing:
    """List the connections of one user."""
    name = request.path["username"]
    return _connection_list(request, [each for each in connections(request) if each.user.name == name])


def find_connection(request: Request) -> Connection:
    """The connection that the path names. Raises: ApiError 404; 401 for a connection of another user."""
    name = request.path["connection"]
    for client in request.broker.connections.values():
        if isinstance(client, Connection) and client.name == name and client.state >= RUNNING:
            if client.user is not request.caller.user and not request.caller.has(Access.MONITORING):
                raise not_authorised("User not authorised to access object")
            return client
    raise not_there()


async def show_connection(request: Request) -> Any:
    """Show one connection."""
    connection = find_connection(request)
    found = connection_item(request.services, connection, spans(request.query)["data_rates"])
    if found is not None and not found.ssl:
        found = structs.replace(found, **WITHOUT_TLS)
    return pick(found, request.query.columns)


async def list_sessions(request: Request) -> list[Any]:
    """Always an error: only AMQP 1.0 has sessions."""
    find_connection(request)
    raise bad_request("connection does not use AMQP 1.0")


async def close_connection(request: Request) -> Answer:
    """Close a connection. The header X-Reason has the reason."""
    connection = find_connection(request)
    if connection.user is not request.caller.user:
        request.caller.check(Access.ADMINISTRATOR)
    _close(request, [connection])
    return DONE


async def close_user_connections(request: Request) -> Answer:
    """Close all connections of a user."""
    name = request.path["username"]
    found = [each for each in connections(request) if each.user.name == name]
    if name != request.caller.user.name:
        request.caller.check(Access.ADMINISTRATOR)
    _close(request, found)
    return DONE


def _close(request: Request, found: list[Connection]) -> None:
    reason = request.headers.get("x-reason", REASON)[:200]
    for each in found:
        each.force_close(reason)
    request.services.driver.turn()


async def list_connection_channels(request: Request) -> Listing:
    """List the channels of one connection."""
    return _channel_list(request, [find_connection(request)])


async def list_channels(request: Request) -> Listing:
    """List the channels of all connections that the caller may see."""
    return _channel_list(request, connections(request))


async def list_vhost_channels(request: Request) -> Listing:
    """List the channels in one virtual host."""
    vhost = request.vhost()
    return _channel_list(request, [each for each in connections(request) if each.vhost is vhost])


async def show_channel(request: Request) -> Any:
    """Show one channel."""
    name = request.path["channel"]
    for connection in connections(request):
        if not name.startswith(connection.name):
            continue
        for channel in connection.channels.values():
            if name == f"{connection.name} ({channel.number})":
                services = request.services
                consumers = [consumer_item(services, each) for each in channel.consuming.consumers.values()]
                found = ChannelAlone(
                    **_channel_fields(services, channel, spans(request.query)["msg_rates"]),
                    consumer_details=[each for each in consumers if each is not None],
                )
                return pick(found, request.query.columns)
    raise not_there()


async def list_consumers(request: Request) -> Listing:
    """List consumers: all for monitoring users, otherwise those of the caller's own connections."""
    caller = request.caller
    sees_all = caller.has(Access.MONITORING)
    found = (
        consumer
        for vhost in request.vhosts(for_monitors=True)
        for queue in list(vhost.queues.values())
        for consumer in list(queue.consumers.all)
        if sees_all or _user_of(consumer) is caller.user
    )
    return Listing(
        found,
        lambda each: consumer_item(request.services, each),
        lambda each: each.tag,
        lambda each: (each.queue.vhost.name, each.queue.name),
    )


OPERATIONS = [
    Operation(
        "GET",
        "/connections",
        list_connections,
        Access.MANAGEMENT,
        "List open connections: all for monitoring users, otherwise the user's own.",
        answers=list[ConnectionItem],
        query=(*LISTING, *SAMPLES),
    ),
    Operation(
        "GET",
        "/connections/{connection}",
        show_connection,
        Access.MANAGEMENT,
        "Show one connection.",
        answers=ConnectionItem,
        query=(*COLUMNS, *SAMPLES),
    ),
    Operation(
        "DELETE",
        "/connections/{connection}",
        close_connection,
        Access.MANAGEMENT,
        "Close a connection; the client receives the text of the header X-Reason.",
        statuses=(204,),
    ),
    Operation(
        "GET",
        "/connections/username/{username}",
        list_user_connections,
        Access.MANAGEMENT,
        "List the connections of one user.",
        answers=list[ConnectionItem],
        query=(*LISTING, *SAMPLES),
    ),
    Operation(
        "DELETE",
        "/connections/username/{username}",
        close_user_connections,
        Access.MANAGEMENT,
        "Close all connections of one user.",
        statuses=(204,),
    ),
    Operation(
        "GET",
        "/connections/{connection}/channels",
        list_connection_channels,
        Access.MANAGEMENT,
        "List the channels of one connection.",
        answers=list[ChannelItem],
        query=(*LISTING, *SAMPLES),
    ),
    Operation(
        "GET",
        "/connections/{connection}/sessions",
        list_sessions,
        Access.MANAGEMENT,
        "List the sessions of an AMQP 1.0 connection; always an error: Leveret has no AMQP 1.0 connections.",
        answers=list[Any],
    ),
    Operation(
        "GET",
        "/vhosts/{vhost}/connections",
        list_vhost_connections,
        Access.MANAGEMENT,
        "List the connections to one virtual host.",
        answers=list[ConnectionItem],
        query=(*LISTING, *SAMPLES),
    ),
    Operation(
        "GET",
        "/vhosts/{vhost}/channels",
        list_vhost_channels,
        Access.MANAGEMENT,
        "List the channels in one virtual host.",
        answers=list[ChannelItem],
        query=(*LISTING, *SAMPLES),
    ),
    Operation(
        "GET",
        "/channels",
        list_channels,
        Access.MANAGEMENT,
        "List open channels: all for monitoring users, otherwise those of the user's own connections.",
        answers=list[ChannelItem],
        query=(*LISTING, *SAMPLES),
    ),
    Operation(
        "GET",
        "/channels/{channel}",
        show_channel,
        Access.MANAGEMENT,
        "Show one channel.",
        answers=ChannelAlone,
        query=(*COLUMNS, *SAMPLES),
    ),
    Operation(
        "GET",
        "/consumers",
        list_consumers,
        Access.MANAGEMENT,
        "List the consumers of all queues.",
        answers=list[ConsumerItem],
        query=LISTING,
    ),
    Operation(
        "GET",
        "/consumers/{vhost}",
        list_consumers,
        Access.MANAGEMENT,
        "List the consumers in one virtual host.",
        answers=list[ConsumerItem],
        query=LISTING,
    ),
]
