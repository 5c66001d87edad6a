"""Bindings: list, show, create and delete. Source: rabbit_mgmt_wm_binding*.erl."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

import msgspec

from leveret.api.access import Access
from leveret.api.errors import bad_request, not_authorised, not_there
from leveret.api.listing import Listing
from leveret.api.names import arguments_of, check_name
from leveret.api.operation import LISTING, Operation
from leveret.api.request import DONE, Answer, Request
from leveret.api.views.exchanges import DEFAULT
from leveret.core.client import topology
from leveret.core.client.errand import Errand
from leveret.core.exchange.exchange import Binding
from leveret.core.vhost import VirtualHost
from leveret.management.arguments import to_json

HASH_BYTES = 6  # of the hash of the arguments in a properties_key


class BindingItem(msgspec.Struct, kw_only=True):
    """A binding. properties_key: identifies its routing key and arguments in paths."""

    source: str
    vhost: str
    destination: str
    destination_type: str
    routing_key: str
    arguments: dict[str, Any]
    properties_key: str


class BindingDeclaration(msgspec.Struct, kw_only=True):
    """A binding to create."""

    routing_key: str = ""
    arguments: dict[str, Any] | list[Any] = {}


def properties_key(binding: Binding) -> str:
    """The key that identifies a binding in paths. Source: rabbit_mgmt_format.erl pack_binding_props."""
    key = quote_plus(binding.key.encode("utf-8", "surrogateescape")).replace("~", "%7E")
    if not binding.arguments:
        return key or "~"
    digest = hashlib.blake2b(binding.encoded, digest_size=HASH_BYTES).digest()
    return f"{key}~{base64.urlsafe_b64encode(digest).decode()}"


def item(binding: Binding) -> BindingItem:
    """The item of a binding that a client created."""
    return BindingItem(
        source=binding.source.name,
        vhost=binding.source.vhost.name,
        destination=binding.destination,
        destination_type=binding.kind,
        routing_key=binding.key,
        arguments=to_json(binding.arguments),
        properties_key=properties_key(binding),
    )


def implicit(vhost: str, queue: str) -> BindingItem:
    """The implicit binding of a queue to the default exchange."""
    return BindingItem(
        source="",
        vhost=vhost,
        destination=queue,
        destination_type="queue",
        routing_key=queue,
        arguments={},
        properties_key=quote_plus(queue.encode("utf-8", "surrogateescape")).replace("~", "%7E"),
    )


def _listing(found: Iterable[Binding | BindingItem]) -> Listing:
    return Listing(
        found,
        lambda each: each if isinstance(each, BindingItem) else item(each),
        lambda each: each.source if isinstance(each, BindingItem) else each.source.name,
        _order,
    )


def _order(each: Binding | BindingItem) -> tuple[str, bool, str]:
    """The sort key of a binding: those to the default exchange first, by queue."""
    if isinstance(each, BindingItem):
        return (each.vhost, False, each.destination)
    return (each.source.vhost.name, True, each.source.name)


def _all(vhost: VirtualHost) -> Iterable[Binding | BindingItem]:
    for name in list(vhost.queues):
        yield implicit(vhost.name, name)
    for exchange in list(vhost.exchanges.values()):
        yield from list(exchange.bindings)


async def list_bindings(request: Request) -> Listing:
    """List bindings in the virtual hosts that the caller may access."""
    return _listing(each for vhost in request.vhosts() for each in _all(vhost))


async def list_of_source(request: Request) -> Listing:
    """List the bindings that have an exchange as their source."""
    vhost, name = request.vhost(), request.path["exchange"]
    if name == DEFAULT:
        return _listing(implicit(vhost.name, queue) for queue in list(vhost.queues))
    exchange = vhost.exchanges.get(name)
    return _listing([] if exchange is None else exchange.bindings)


async def list_of_destination(request: Request) -> Listing:
    """List the bindings that have an exchange as their destination."""
    exchange = request.vhost().exchanges.get(request.path["exchange"])
    return _listing([] if exchange is None else exchange.incoming)


async def list_of_queue(request: Request) -> Listing:
    """List the bindings that have a queue as their destination."""
    vhost, name = request.vhost(), request.path["queue"]
    queue = vhost.queues.get(name)
    if queue is None:
        raise not_there()
    return _listing([implicit(vhost.name, name), *vhost.bindings_to(queue)])


def between(request: Request) -> list[Binding]:
    """The bindings between the source and the destination in the path."""
    vhost = request.vhost()
    kind = _kind(request)
    source = vhost.exchanges.get(_source(request))
    if source is None:
        return []
    name = request.path["destination"]
    return [each for each in source.bindings if each.kind == kind and each.destination == name]


def _kind(request: Request) -> str:
    kinds = {"q": "queue", "e": "exchange"}
    if request.path["dtype"] not in kinds:
        raise bad_request("the type of a destination must be q for a queue or e for an exchange")
    return kinds[request.path["dtype"]]


def _source(request: Request) -> str:
    name = request.path["source"]
    return "" if name == DEFAULT else name


async def list_between(request: Request) -> Listing:
    """List the bindings between a source and a destination."""
    found = between(request)
    name = request.path["destination"]
    if not _source(request) and _kind(request) == "queue" and name in request.vhost().queues:
        return _listing([implicit(request.vhost().name, name)])
    return _listing(found)


def find(request: Request) -> Binding:
    """The binding that the path names. Raises: ApiError 404."""
    wanted = request.path["props"]
    for binding in between(request):
        if properties_key(binding) == wanted or (not binding.arguments and binding.key == unquote_plus(wanted)):
            return binding
    raise not_there()


async def show(request: Request) -> BindingItem:
    """Show one binding."""
    return item(find(request))


async def bind(request: Request) -> Answer:
    """Bind a queue or an exchange to an exchange."""
    vhost, kind = request.vhost(), _kind(request)
    source, destination = _source(request), request.path["destination"]
    wanted = request.read(BindingDeclaration)
    arguments = arguments_of(wanted.arguments)
    key = wanted.routing_key
    check_name("routing_key", key)
    if not source or (kind == "exchange" and destination == DEFAULT):
        raise not_authorised("Access refused.")
    step = topology.bind_queue if kind == "queue" else topology.bind_exchange

    def make(errand: Errand) -> str:
        step(errand, destination, source, key, arguments)
        made = (each for each in between(request) if each.key == key and to_json(each.arguments) == to_json(arguments))
        return properties_key(next(made))

    props = await request.act(vhost, make, _is_persisted(request))
    return Answer(201, headers={"Location": f"{quote(destination, safe='')}/{quote(props, safe='')}"})


def _is_persisted(request: Request) -> bool:
    """Whether bindings between the source and the destination in the path are durable."""
    vhost, name = request.vhost(), request.path["destination"]
    destination = vhost.queues.get(name) if _kind(request) == "queue" else vhost.exchanges.get(name)
    source = vhost.exchanges.get(_source(request))
    return all(end is None or end.durable for end in (source, destination))


async def unbind(request: Request) -> Answer:
    """Delete a binding."""
    binding = find(request)
    step = topology.unbind_queue if binding.queue is not None else topology.unbind_exchange
    source, destination, key, arguments = binding.source.name, binding.destination, binding.key, binding.arguments
    await request.act(
        request.vhost(), lambda errand: step(errand, destination, source, key, arguments), _is_persisted(request)
    )
    return DONE


BETWEEN = "/bindings/{vhost}/e/{source}/{dtype}/{destination}"
OPERATIONS = [
    Operation(
        "GET",
        "/bindings",
        list_bindings,
        Access.MANAGEMENT,
        "List all bindings in the virtual hosts that the user may access.",
        answers=list[BindingItem],
        query=LISTING,
    ),
    Operation(
        "GET",
        "/bindings/{vhost}",
        list_bindings,
        Access.MANAGEMENT,
        "List the bindings in a virtual host.",
        answers=list[BindingItem],
        query=LISTING,
    ),
    Operation(
        "GET",
        "/exchanges/{vhost}/{exchange}/bindings/source",
        list_of_source,
        Access.MANAGEMENT,
        "List the bindings that have an exchange as their source.",
        answers=list[BindingItem],
        query=LISTING,
    ),
    Operation(
        "GET",
        "/exchanges/{vhost}/{exchange}/bindings/destination",
        list_of_destination,
        Access.MANAGEMENT,
        "List the bindings that have an exchange as their destination.",
        answers=list[BindingItem],
        query=LISTING,
    ),
    Operation(
        "GET",
        "/queues/{vhost}/{queue}/bindings",
        list_of_queue,
        Access.MANAGEMENT,
        "List the bindings that have a queue as their destination.",
        answers=list[BindingItem],
        query=LISTING,
    ),
    Operation(
        "GET",
        BETWEEN,
        list_between,
        Access.MANAGEMENT,
        "List the bindings between an exchange and a queue (q) or exchange (e).",
        answers=list[BindingItem],
        query=LISTING,
    ),
    Operation(
        "POST",
        BETWEEN,
        bind,
        Access.MANAGEMENT,
        "Bind a queue (q) or exchange (e) to an exchange; the header Location has the path of the binding.",
        takes=BindingDeclaration,
        statuses=(201,),
    ),
    Operation(
        "GET",
        BETWEEN + "/{props}",
        show,
        Access.MANAGEMENT,
        "Show one binding, by its properties_key.",
        answers=BindingItem,
    ),
    Operation(
        "DELETE",
        BETWEEN + "/{props}",
        unbind,
        Access.MANAGEMENT,
        "Delete a binding, by its properties_key.",
        statuses=(204,),
    ),
]
