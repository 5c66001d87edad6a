"""Virtual hosts. Source: rabbit_mgmt_wm_vhost*.erl."""

from __future__ import annotations

from typing import Any

import msgspec

from leveret.api.access import Access
from leveret.api.errors import bad_request, not_authorised, not_there
from leveret.api.listing import Listing, pick
from leveret.api.names import check_name
from leveret.api.operation import COLUMNS, LISTING, SAMPLES, Operation
from leveret.api.query import Span
from leveret.api.request import CREATED, DONE, Answer, Request
from leveret.api.sampler import BYTES, DELIVERIES, LENGTHS, PUBLISHES, VHOST
from leveret.api.services import Services
from leveret.api.statistics import Details, Statistics, details, spans, with_details
from leveret.api.values import Truth, is_true
from leveret.core.vhost import VirtualHost


class Metadata(msgspec.Struct):
    """The metadata of a virtual host."""

    description: str
    tags: list[str]
    default_queue_type: str


class VhostItem(msgspec.Struct, kw_only=True):
    """A virtual host. Numbers of messages and bytes are those of the last sample, a few seconds ago."""

    name: str
    description: str
    tags: list[str]
    default_queue_type: str
    metadata: Metadata
    protected_from_deletion: bool
    tracing: bool
    cluster_state: dict[str, str]
    messages: int
    messages_details: Details
    messages_ready: int
    messages_ready_details: Details
    messages_unacknowledged: int
    messages_unacknowledged_details: Details
    recv_oct: int
    recv_oct_details: Details
    send_oct: int
    send_oct_details: Details
    message_stats: Statistics


class VhostDeclaration(msgspec.Struct, kw_only=True):
    """A virtual host to create or change. tags: a list, or a text separated by commas. tracing,
    protected_from_deletion: unchanged if missing.
    """

    description: str | None = None
    tags: list[str] | str | None = None
    default_queue_type: str | None = None
    tracing: Truth | None = None
    protected_from_deletion: Truth | None = None


def item(services: Services, vhost: VirtualHost, wanted: dict[str, Span | None]) -> VhostItem:
    """The item of a virtual host."""
    series = services.history.find(vhost)
    values = series.now if series is not None else (0,) * len(VHOST)
    kind, tags = vhost.default_queue_type or "classic", list(vhost.tags)
    found: dict[str, Any] = {}
    for names, span in ((LENGTHS, wanted["lengths"]), (BYTES, wanted["data_rates"])):
        for name in names:
            found[name] = values[VHOST[name]]
            found[f"{name}_details"] = details(series, name, span)
    return VhostItem(
        name=vhost.name,
        description=vhost.description,
        tags=tags,
        default_queue_type=kind,
        metadata=Metadata(vhost.description, tags, kind),
        protected_from_deletion=vhost.protected,
        tracing=vhost.tracing,
        cluster_state={services.node: "running"},
        message_stats=with_details((*PUBLISHES, *DELIVERIES), VHOST, values, series, wanted["msg_rates"]),
        **found,
    )


async def list_vhosts(request: Request) -> Listing:
    """List the virtual hosts that the caller may see."""
    wanted = spans(request.query)
    return Listing(
        request.vhosts(for_monitors=True), lambda vhost: item(request.services, vhost, wanted), lambda vhost: vhost.name
    )


def find(request: Request) -> VirtualHost:
    """The virtual host that the path names. Raises: ApiError 404, 401."""
    vhost = request.broker.vhosts.get(request.path["vhost"])
    if vhost is None:
        raise not_there()
    if not request.caller.may_enter(vhost):
        raise not_authorised(Access.ADMINISTRATOR.value)
    return vhost


async def show(request: Request) -> Any:
    """Show one virtual host."""
    return pick(item(request.services, find(request), spans(request.query)), request.query.columns)


async def put(request: Request) -> Answer:
    """Create a virtual host, in which the caller gets all permissions; or change one."""
    name = request.path["vhost"]
    check_name("vhost", name)
    wanted = request.read(VhostDeclaration)
    given = {
        "description": wanted.description or "",
        "tags": wanted.tags or [],
        "default_queue_type": wanted.default_queue_type or "",
    }
    is_new = name not in request.broker.vhosts
    verbs: list[tuple[str, dict[str, object]]] = [("add_vhost" if is_new else "set_vhost", {"name": name, **given})]
    user = request.caller.user
    if is_new and request.broker.users.get(user.name) is user:  # not the control socket, which has all rights
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        verbs.append(("set_permissions", {"user": user.name, "vhost": name, **everything}))
    if wanted.tracing is not None:
        verbs.append(("trace_vhost", {"name": name, "on": is_true(wanted.tracing)}))
    if wanted.protected_from_deletion is not None:
        verbs.append(("protect_vhost", {"name": name, "on": is_true(wanted.protected_from_deletion)}))
    await request.perform_all(*verbs)
    return CREATED if is_new else DONE


async def delete(request: Request) -> Answer:
    """Delete a virtual host with everything in it."""
    await request.perform("delete_vhost", name=find(request).name)
    return DONE


async def protect(request: Request) -> Answer:
    """Protect a virtual host from deletion, or remove the protection."""
    await request.perform("protect_vhost", name=find(request).name, on=request.method == "POST")
    return DONE


async def start(request: Request) -> Answer:
    """No effect: a virtual host runs as long as the broker does."""
    find(request)
    if not request.services.is_node(request.path["node"]):
        raise bad_request(f"Node {request.path['node']} is not a cluster member")
    return DONE


ADMIN = Access.ADMINISTRATOR
OPERATIONS = [
    Operation(
        "GET",
        "/vhosts",
        list_vhosts,
        Access.MANAGEMENT,
        "List the virtual hosts that the user may see.",
        answers=list[VhostItem],
        query=(*LISTING, *SAMPLES),
    ),
    Operation(
        "GET",
        "/vhosts/{vhost}",
        show,
        Access.MANAGEMENT,
        "Show one virtual host.",
        answers=VhostItem,
        query=(*COLUMNS, *SAMPLES),
    ),
    Operation(
        "PUT",
        "/vhosts/{vhost}",
        put,
        ADMIN,
        "Create or change a virtual host.",
        takes=VhostDeclaration,
        statuses=(201, 204),
    ),
    Operation(
        "DELETE", "/vhosts/{vhost}", delete, ADMIN, "Delete a virtual host with everything in it.", statuses=(204,)
    ),
    Operation(
        "POST",
        "/vhosts/{vhost}/deletion/protection",
        protect,
        ADMIN,
        "Protect a virtual host from deletion.",
        statuses=(204,),
    ),
    Operation(
        "DELETE",
        "/vhosts/{vhost}/deletion/protection",
        protect,
        ADMIN,
        "Remove the protection of a virtual host from deletion.",
        statuses=(204,),
    ),
    Operation(
        "POST",
        "/vhosts/{vhost}/start/{node}",
        start,
        ADMIN,
        "Start a virtual host; no effect: virtual hosts always run.",
        statuses=(204,),
    ),
]
