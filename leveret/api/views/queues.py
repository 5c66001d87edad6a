"""Queues: list, show, declare, delete and purge. Source: rabbit_mgmt_wm_queue*.erl."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from leveret.api.access import Access
from leveret.api.errors import bad_request, not_authorised, not_there
from leveret.api.history import Series
from leveret.api.listing import Listing, pick
from leveret.api.names import arguments_of, check_name
from leveret.api.operation import COLUMNS, LISTING, SAMPLES, Operation
from leveret.api.query import Span
from leveret.api.request import CREATED, DONE, Answer, Request
from leveret.api.sampler import DELIVERIES, QUEUE, of_queue
from leveret.api.services import Services
from leveret.api.statistics import Details, Statistics, details, idle_since, spans, with_details
from leveret.api.values import Truth, is_true
from leveret.api.views.clients import ConsumerItem, consumer_item
from leveret.api.views.erlang import GARBAGE_COLLECTION, GarbageCollection
from leveret.core.client import topology
from leveret.core.message.budget import COST
from leveret.core.policy.arguments import CLASSIC, QUORUM
from leveret.core.policy.overrides import as_arguments
from leveret.core.policy.policy import effective_definition
from leveret.core.queue.queue import Queue
from leveret.management.arguments import to_json
from leveret.wire.fields import longstr

OBJECT = 2_400  # approximate bytes of memory of an empty queue
MESSAGE_STATS = ("publish", *DELIVERIES)
MINUTE = Span(60, 5)
USUAL_PRIORITY = "4"  # default priority in quorum queues, as in rabbit_fifo.erl
RETRIES = {(False, False): "disabled", (True, False): "failed", (False, True): "returned", (True, True): "all"}


class QueueBase(msgspec.Struct, kw_only=True):
    """The definition of a queue. leader, members, online, delivery_limit: only for quorum queues."""

    name: str
    vhost: str
    type: str
    durable: bool
    auto_delete: bool
    exclusive: bool
    internal: bool = False
    internal_owner: bool = False
    arguments: dict[str, Any]
    node: str
    state: str
    policy: str | None
    operator_policy: str | None
    effective_policy_definition: dict[str, Any]
    leader: str | UnsetType = UNSET
    members: list[str] | UnsetType = UNSET
    online: list[str] | UnsetType | None = UNSET
    delivery_limit: int | UnsetType = UNSET


class QueueTotals(QueueBase, kw_only=True):
    """The definition of a queue, and its numbers of messages."""

    messages: int
    messages_ready: int
    messages_unacknowledged: int


class OwnerDetails(msgspec.Struct):
    """The connection that owns an exclusive queue."""

    name: str
    peer_host: str
    peer_port: int


class QueueItem(QueueBase, kw_only=True):
    """A queue with its statistics. Byte counts are those of message bodies, except for `memory`.

    messages_persistent, message_bytes_persistent: all messages of a durable queue, even transient ones, and none of
    another queue. consumer_utilisation: fraction of the last minute's samples in which no message was waiting for a
    consumer. Only for quorum queues: delayed_retry, messages_delayed, messages_dlx, message_bytes_dlx,
    messages_ready_returned (returned by consumers) and messages_by_priority (all messages under RabbitMQ's default
    priority, since the queue ignores priorities). Only if it applies: paused; delivery_rate and delivery_burst (rate
    limit); messages_held and message_bytes_held (held until a time, and not in any other number); changed_arguments
    (changed by an operator).
    """

    messages: int
    messages_details: Details
    messages_ready: int
    messages_ready_details: Details
    messages_unacknowledged: int
    messages_unacknowledged_details: Details
    messages_ram: int
    messages_ready_ram: int
    messages_unacknowledged_ram: int
    messages_persistent: int
    message_bytes: int
    message_bytes_ready: int
    message_bytes_unacknowledged: int
    message_bytes_ram: int
    message_bytes_persistent: int
    message_stats: Statistics
    consumers: int
    consumer_utilisation: float | int
    consumer_capacity: float | int
    memory: int
    reductions: int = 0
    reductions_details: Details
    storage_version: int = 2
    idle_since: str | UnsetType = UNSET
    exclusive_consumer_tag: str | None
    single_active_consumer_tag: str | None
    head_message_timestamp: int | None
    delayed_retry: str | UnsetType = UNSET
    messages_delayed: int | UnsetType = UNSET
    messages_dlx: int | UnsetType = UNSET
    messages_ready_returned: int | UnsetType = UNSET
    messages_active_priorities: int | UnsetType = UNSET
    messages_by_priority: dict[str, int] | UnsetType = UNSET
    message_bytes_dlx: int | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    delivery_rate: float | UnsetType = UNSET
    delivery_burst: int | UnsetType = UNSET
    messages_held: int | UnsetType = UNSET
    message_bytes_held: int | UnsetType = UNSET
    changed_arguments: dict[str, Any] | UnsetType = UNSET


class QueueDetailed(QueueItem, kw_only=True):
    """A queue with fields that take longer to compute."""

    garbage_collection: GarbageCollection
    owner_pid_details: OwnerDetails | UnsetType = UNSET


class QueueAlone(QueueDetailed, kw_only=True):
    """A queue with its consumers. deliveries, incoming: always empty, as in RabbitMQ with its default rates_mode."""

    consumer_details: list[ConsumerItem]
    deliveries: list[Any] = []
    incoming: list[Any] = []


class QueueDeclaration(msgspec.Struct, kw_only=True):
    """A queue to declare. node: if given, must be this node."""

    durable: Truth = False
    auto_delete: Truth = False
    exclusive: Truth = False
    arguments: dict[str, Any] | list[Any] = {}
    node: str | None = None


class Action(msgspec.Struct):
    """An action on a queue."""

    action: str


def _state(queue: Queue) -> str:
    """The state of a queue, as RabbitMQ names it: down when another node has it."""
    if queue.deleted:
        return "down"
    return "crashed" if queue.fault else "running"


def base(services: Services, queue: Queue) -> dict[str, Any]:
    """The fields of QueueBase."""
    policy, operator_policy = queue.policy, queue.operator_policy
    kind = queue.settings.queue_type
    node = (services.broker.ownership.home(queue.queue_id) if queue.deleted else "") or services.node
    found: dict[str, Any] = {
        "name": queue.name,
        "vhost": queue.vhost.name,
        "type": kind,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "exclusive": queue.owner != 0,
        "arguments": {"x-queue-type": kind, **to_json(queue.arguments)},
        "node": node,
        "state": _state(queue),
        "policy": None if policy is None else policy.name,
        "operator_policy": None if operator_policy is None else operator_policy.name,
        "effective_policy_definition": effective_definition(policy, operator_policy),
    }
    if kind == QUORUM:
        members = [node]
        found |= {"leader": node, "members": members, "online": members}
        found["delivery_limit"] = int(queue.settings.delivery_limit)
    return found


def utilisation(queue: Queue, series: Series | None) -> float | int:
    """The fraction of the last minute's samples in which no message was waiting; 0 without consumers."""
    if not len(queue.consumers) or series is None:
        return 0
    waiting = [value for _, value in series.samples("messages_ready", MINUTE)]
    return round(waiting.count(0) / len(waiting), 3) if waiting else 1.0


def figures(services: Services, queue: Queue, lengths: Span | None, rates: Span | None) -> dict[str, Any]:
    """The fields that QueueItem adds to QueueBase."""
    series = services.history.find(queue)
    values = of_queue(queue)
    ready, unacked = values[QUEUE["messages_ready"]], values[QUEUE["messages_unacknowledged"]]
    ready_bytes, unacked_bytes = int(queue.ready.size), int(queue.unacked_bytes)
    resting, resting_bytes = queue.ready.at_rest()
    kept = queue.durable
    used = utilisation(queue, series)
    consumers = queue.consumers
    chosen = consumers.chosen
    found = {
        **with_details(("messages", "messages_ready", "messages_unacknowledged"), QUEUE, values, series, lengths),
        "messages_ram": ready + unacked - resting,
        "messages_ready_ram": ready - resting,
        "messages_unacknowledged_ram": unacked,
        "messages_persistent": ready + unacked if kept else 0,
        "message_bytes": ready_bytes + unacked_bytes,
        "message_bytes_ready": ready_bytes,
        "message_bytes_unacknowledged": unacked_bytes,
        "message_bytes_ram": ready_bytes - resting_bytes + unacked_bytes,
        "message_bytes_persistent": ready_bytes + unacked_bytes if kept else 0,
        "message_stats": with_details(MESSAGE_STATS, QUEUE, values, series, rates),
        "consumers": len(queue.consumers),
        "consumer_utilisation": used,
        "consumer_capacity": used,
        "memory": OBJECT + int(queue.resident()) + unacked_bytes + unacked * COST,
        "reductions_details": details(None, "", lengths),
        "idle_since": idle_since(series),
        "exclusive_consumer_tag": next(iter(consumers.all)).tag if consumers.exclusive else None,
        "single_active_consumer_tag": None if chosen is None or not consumers.single_active else chosen.tag,
        "head_message_timestamp": head_timestamp(queue),
    }
    if queue.settings.queue_type == QUORUM:
        found["delayed_retry"] = RETRIES[queue.settings.delays_failed, queue.settings.delays_returned]
        found["messages_delayed"] = len(queue.retries)
        found["messages_ready_returned"] = queue.ready.came_back()
        in_line = len(queue.ready)
        found["messages_active_priorities"] = 1 if in_line else 0
        found["messages_by_priority"] = {USUAL_PRIORITY: in_line} if in_line else {}
        found["messages_dlx"] = found["message_bytes_dlx"] = 0  # dead-lettering is immediate here
    return found | oddities(queue)


def oddities(queue: Queue) -> dict[str, Any]:
    """Fields of Leveret's extensions, for queues that use them."""
    settings = queue.settings
    found: dict[str, Any] = {}
    if settings.is_paused:
        found["paused"] = True
    if settings.delivery_rate:
        found |= {"delivery_rate": settings.delivery_rate, "delivery_burst": settings.delivery_burst}
    if settings.hold_until or queue.detours.held():
        found |= {"messages_held": queue.detours.held(), "message_bytes_held": int(queue.detours.held_bytes())}
    if queue.overrides:
        found["changed_arguments"] = as_arguments(queue.overrides)
    return found


def head_timestamp(queue: Queue) -> int | None:
    """The timestamp property of the next message, in seconds since 1970; None if the message is paged out."""
    if not queue.ready.has_near_head():
        return None
    return queue.ready.first().message.readable_properties().timestamp


def more(services: Services, queue: Queue) -> dict[str, Any]:
    """The fields that QueueDetailed adds to QueueItem."""
    owner = services.broker.connections.get(queue.owner)
    found: dict[str, Any] = {
        "garbage_collection": GARBAGE_COLLECTION,
    }
    if owner is not None:
        from leveret.api.views.clients import ends

        where = ends(owner)
        found["owner_pid_details"] = OwnerDetails(where.name, where.peer_host, where.peer_port)
    return found


def view(request: Request, is_detailed: bool) -> Any:
    """A function that returns a queue's item in lists."""
    services = request.services
    spans_ = spans(request.query)
    lengths, rates = spans_["lengths"], spans_["msg_rates"]
    has_stats = not request.query.flag("disable_stats")
    has_totals = request.query.flag("enable_queue_totals")

    def tell(queue: Queue) -> Any:
        if queue.deleted and not queue.fault:
            return None
        if not has_stats:
            if not has_totals:
                return QueueBase(**base(services, queue))
            values = of_queue(queue)[-3:]
            return QueueTotals(
                **{"online": None} | base(services, queue),
                messages=values[0],
                messages_ready=values[1],
                messages_unacknowledged=values[2],
            )
        found = base(services, queue) | figures(services, queue, lengths, rates)
        return QueueDetailed(**found, **more(services, queue)) if is_detailed else QueueItem(**found)

    return tell


QUICK: dict[str, Callable[[Queue], object]] = {
    "name": lambda queue: queue.name,
    "vhost": lambda queue: queue.vhost.name,
    "messages": lambda queue: len(queue.ready) + len(queue.retries) + int(queue.unacked),
    "messages_ready": lambda queue: len(queue.ready) + len(queue.retries),
    "messages_unacknowledged": lambda queue: int(queue.unacked),
    "consumers": lambda queue: len(queue.consumers),
}
"""The columns by which clients sort queues most often."""


def _list(request: Request, is_detailed: bool, user: str | None = None) -> Listing:
    """The queues that the caller may see. user: only queues that this user declared."""
    queues = (
        queue
        for vhost in request.vhosts()
        for queue in list(vhost.queues.values())
        if user in (None, queue.origin.user)
    )
    return Listing(
        queues, view(request, is_detailed), lambda queue: queue.name, lambda each: (each.vhost.name, each.name), QUICK
    )


async def list_queues(request: Request) -> Listing:
    """List the queues that the caller may see."""
    return _list(request, False)


async def list_detailed(request: Request) -> Listing:
    """List the queues that the caller may see, with all fields."""
    return _list(request, True)


def find(request: Request) -> Queue:
    """The queue that the path names. Raises: ApiError 404."""
    queue = request.vhost().queues.get(request.path["queue"])
    if queue is None:
        raise not_there()
    return queue


async def show(request: Request) -> Any:
    """Show one queue."""
    services, queue = request.services, find(request)
    wanted = spans(request.query)
    consumers = [consumer_item(services, consumer) for consumer in queue.consumers.all]
    found = QueueAlone(
        **base(services, queue),
        **figures(services, queue, wanted["lengths"], wanted["msg_rates"]),
        **more(services, queue),
        consumer_details=[each for each in consumers if each is not None],
    )
    return pick(found, request.query.columns)


async def declare(request: Request) -> Answer:
    """Declare a queue; an existing one must be equivalent."""
    vhost = request.vhost()
    name = request.path["queue"]
    wanted = request.read(QueueDeclaration)
    check_name("queue", name)
    if wanted.node and not request.services.is_node(wanted.node):
        raise bad_request(f"Node {wanted.node} is not a cluster member")
    if name.startswith("amq."):
        raise not_authorised("Access refused.")
    arguments = arguments_of(wanted.arguments)
    if arguments.get("x-queue-type") == longstr(CLASSIC) and (name in vhost.queues or not vhost.default_queue_type):
        existing = vhost.queues.get(name)
        if existing is None or "x-queue-type" not in existing.arguments:
            del arguments["x-queue-type"]  # this API adds it to answers, and clients send it back
    is_new = name not in vhost.queues
    durable, auto_delete = is_true(wanted.durable), is_true(wanted.auto_delete)
    await request.act(
        vhost, lambda errand: topology.declare_queue(errand, name, durable, False, auto_delete, arguments), durable
    )
    if durable and request.services.broker.shared is not None:  # another node may have been faster
        await request.act(vhost, lambda _: vhost.check_declared_queue(name, auto_delete, arguments), False)
    return CREATED if is_new else DONE


async def delete(request: Request) -> Answer:
    """Delete a queue; with if-unused or if-empty, only under this condition."""
    queue = find(request)
    if_unused, if_empty = request.query.flag("if-unused"), request.query.flag("if-empty")
    await request.act(
        request.vhost(), lambda errand: topology.delete_queue(errand, queue.name, if_unused, if_empty), queue.durable
    )
    return DONE


async def purge(request: Request) -> Answer:
    """Drop all ready messages of a queue."""
    queue = find(request)
    await request.act(request.vhost(), lambda errand: topology.purge_queue(errand, queue.name), is_persisted=False)
    return DONE


async def list_of_user(request: Request) -> Listing:
    """List the queues that a user declared and the caller may see."""
    return _list(request, False, request.path["user"])


async def quorum_status(request: Request) -> list[dict[str, Any]] | Answer:
    """Show the members of a quorum queue: only this node, as leader."""
    if find(request).settings.queue_type != QUORUM:
        return Answer(503, {"status": "failed", "reason": "classic_queue_not_supported"})
    return [{"Node Name": request.services.node, "Raft State": "leader", "Membership": "voter"}]


async def act(request: Request) -> Answer:
    """Always an error: the only actions were those of mirrored queues."""
    find(request)
    raise bad_request(f"unknown action '{request.read(Action).action[:40]}'")


LISTED = (*LISTING, *SAMPLES, "disable_stats", "enable_queue_totals")
OPERATIONS = [
    Operation(
        "GET",
        "/queues",
        list_queues,
        Access.MANAGEMENT,
        "List all queues in the virtual hosts that the user may access.",
        answers=list[QueueItem],
        query=LISTED,
    ),
    Operation(
        "GET",
        "/queues/detailed",
        list_detailed,
        Access.MANAGEMENT,
        "List all queues, with fields that take longer to compute.",
        answers=list[QueueDetailed],
        query=LISTED,
    ),
    Operation(
        "GET",
        "/users/{user}/queues",
        list_of_user,
        Access.MANAGEMENT,
        "List the queues that a user declared.",
        answers=list[QueueItem],
        query=LISTED,
    ),
    Operation(
        "GET",
        "/queues/quorum/{vhost}/{queue}/status",
        quorum_status,
        Access.MANAGEMENT,
        "Show the members of a quorum queue: always one.",
        answers=list[dict[str, Any]],
    ),
    Operation(
        "GET",
        "/queues/{vhost}",
        list_queues,
        Access.MANAGEMENT,
        "List the queues in a virtual host.",
        answers=list[QueueItem],
        query=LISTED,
    ),
    Operation(
        "GET",
        "/queues/{vhost}/{queue}",
        show,
        Access.MANAGEMENT,
        "Show one queue.",
        answers=QueueAlone,
        query=(*COLUMNS, *SAMPLES),
    ),
    Operation(
        "PUT",
        "/queues/{vhost}/{queue}",
        declare,
        Access.MANAGEMENT,
        "Declare a queue.",
        takes=QueueDeclaration,
        statuses=(201, 204),
    ),
    Operation(
        "DELETE",
        "/queues/{vhost}/{queue}",
        delete,
        Access.MANAGEMENT,
        "Delete a queue.",
        query=("if-unused", "if-empty"),
        statuses=(204,),
    ),
    Operation(
        "DELETE",
        "/queues/{vhost}/{queue}/contents",
        purge,
        Access.MANAGEMENT,
        "Purge a queue: drop all ready messages.",
        statuses=(204,),
    ),
    Operation(
        "POST",
        "/queues/{vhost}/{queue}/actions",
        act,
        Access.MANAGEMENT,
        "Run an action on a queue; always an error: there are no actions.",
        takes=Action,
        statuses=(204,),
    ),
]
