"""Exchanges: list, show, declare and delete. Source: rabbit_mgmt_wm_exchange*.erl."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from leveret.api.access import Access
from leveret.api.errors import not_authorised, not_there
from leveret.api.listing import Listing, pick
from leveret.api.names import arguments_of, check_name
from leveret.api.operation import COLUMNS, LISTING, SAMPLES, Operation
from leveret.api.query import Span
from leveret.api.request import CREATED, DONE, Answer, Request
from leveret.api.sampler import EXCHANGE, of_exchange
from leveret.api.services import Services
from leveret.api.statistics import Statistics, spans, with_details
from leveret.api.values import Truth, is_true
from leveret.core.client import topology
from leveret.core.exchange.exchange import Exchange
from leveret.management.arguments import to_json

INTERNAL = "rmq-internal"  # as user, for exchanges that the broker declared
DEFAULT = "amq.default"  # name of the default exchange in paths


class ExchangeItem(msgspec.Struct, kw_only=True):
    """An exchange with its statistics."""

    name: str
    vhost: str
    type: str
    durable: bool
    auto_delete: bool
    internal: bool
    arguments: dict[str, Any]
    policy: str | UnsetType = UNSET
    user_who_performed_action: str
    message_stats: Statistics


class ExchangeAlone(ExchangeItem, kw_only=True):
    """An exchange in detail. incoming, outgoing: always empty, as in RabbitMQ with its default rates_mode."""

    incoming: list[Any] = []
    outgoing: list[Any] = []


class ExchangeDeclaration(msgspec.Struct, kw_only=True):
    """An exchange to declare."""

    type: str = "direct"
    durable: Truth = False
    auto_delete: Truth = False
    internal: Truth = False
    arguments: dict[str, Any] | list[Any] = {}


def fields(services: Services, exchange: Exchange, span: Span | None) -> dict[str, Any]:
    """The fields of ExchangeItem."""
    policy = exchange.policy
    series = services.history.find(exchange)
    return {
        "name": exchange.name,
        "vhost": exchange.vhost.name,
        "type": exchange.kind,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": to_json(exchange.arguments),
        "policy": UNSET if policy is None else policy.name,
        "user_who_performed_action": exchange.origin.user or INTERNAL,
        "message_stats": with_details(EXCHANGE, EXCHANGE, of_exchange(exchange), series, span),
    }


async def list_exchanges(request: Request) -> Listing:
    """List the exchanges that the caller may see."""
    span = spans(request.query)["msg_rates"]
    found = (exchange for vhost in request.vhosts() for exchange in list(vhost.exchanges.values()))
    return Listing(
        found,
        lambda each: ExchangeItem(**fields(request.services, each, span)),
        lambda each: each.name,
        lambda each: (each.vhost.name, each.name),
    )


def find(request: Request) -> Exchange:
    """The exchange that the path names. Raises: ApiError 404."""
    exchange = request.vhost().exchanges.get(name_in(request))
    if exchange is None:
        raise not_there()
    return exchange


def name_in(request: Request) -> str:
    """The name of the exchange in the path; empty for the default exchange."""
    name = request.path["exchange"]
    return "" if name == DEFAULT else name


async def show(request: Request) -> Any:
    """Show one exchange."""
    span = spans(request.query)["msg_rates"]
    return pick(ExchangeAlone(**fields(request.services, find(request), span)), request.query.columns)


async def declare(request: Request) -> Answer:
    """Declare an exchange; an existing one must be equivalent."""
    vhost, name = request.vhost(), name_in(request)
    wanted = request.read(ExchangeDeclaration)
    check_name("exchange", name)
    is_new = name not in vhost.exchanges
    if not name or (is_new and name.startswith("amq.")):
        raise not_authorised("Access refused.")
    arguments = arguments_of(wanted.arguments)
    durable, auto_delete, internal = is_true(wanted.durable), is_true(wanted.auto_delete), is_true(wanted.internal)
    await request.act(
        vhost,
        lambda errand: topology.declare_exchange(errand, name, wanted.type, durable, auto_delete, internal, arguments),
        durable,
    )
    if durable and request.services.broker.shared is not None:  # another node may have been faster
        await request.act(
            vhost,
            lambda _: vhost.check_declared_exchange(name, wanted.type, auto_delete, internal, arguments),
            False,
        )
    return CREATED if is_new else DONE


async def delete(request: Request) -> Answer:
    """Delete an exchange; with if-unused, only if nothing is bound to it."""
    exchange = find(request)
    if not exchange.name or exchange.name.startswith("amq."):
        raise not_authorised("Access refused.")
    if_unused = request.query.flag("if-unused")
    await request.act(
        request.vhost(), lambda errand: topology.delete_exchange(errand, exchange.name, if_unused), exchange.durable
    )
    return DONE


OPERATIONS = [
    Operation(
        "GET",
        "/exchanges",
        list_exchanges,
        Access.MANAGEMENT,
        "List all exchanges in the virtual hosts that the user may access.",
        answers=list[ExchangeItem],
        query=(*LISTING, *SAMPLES),
    ),
    Operation(
        "GET",
        "/exchanges/{vhost}",
        list_exchanges,
        Access.MANAGEMENT,
        "List the exchanges in a virtual host.",
        answers=list[ExchangeItem],
        query=(*LISTING, *SAMPLES),
    ),
    Operation(
        "GET",
        "/exchanges/{vhost}/{exchange}",
        show,
        Access.MANAGEMENT,
        "Show one exchange; amq.default is the default exchange.",
        answers=ExchangeAlone,
        query=(*COLUMNS, *SAMPLES),
    ),
    Operation(
        "PUT",
        "/exchanges/{vhost}/{exchange}",
        declare,
        Access.MANAGEMENT,
        "Declare an exchange.",
        takes=ExchangeDeclaration,
        statuses=(201, 204),
    ),
    Operation(
        "DELETE",
        "/exchanges/{vhost}/{exchange}",
        delete,
        Access.MANAGEMENT,
        "Delete an exchange.",
        query=("if-unused",),
        statuses=(204,),
    ),
]
