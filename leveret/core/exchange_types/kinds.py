"""Kinds: all exchange types, and the only place that creates exchanges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leveret.core.errors.diagnostics import Origin
from leveret.core.errors.refusals import UNFIT, Refusal, unknown_exchange_type
from leveret.core.exchange.exchange import Exchange, NameSpace
from leveret.core.exchange.router import Router
from leveret.core.exchange_types.consistent_hash import ConsistentHashRouter
from leveret.core.exchange_types.deduplication import Deduplication
from leveret.core.exchange_types.delayed import Delay
from leveret.core.exchange_types.direct import DirectRouter
from leveret.core.exchange_types.fanout import FanoutRouter
from leveret.core.exchange_types.federation import FederationUpstreamRouter
from leveret.core.exchange_types.headers import HeadersRouter
from leveret.core.exchange_types.history import History
from leveret.core.exchange_types.modulus_hash import ModulusHashRouter
from leveret.core.exchange_types.random_choice import LocalRandomRouter, RandomRouter
from leveret.core.exchange_types.topic import TopicRouter
from leveret.core.policy.arguments import DEDUPLICATION, is_deduplicating
from leveret.wire.fields import LONGSTR, Table

TOPIC: Final = "topic"  # the only type that topic permissions apply to
DELAYED: Final = "x-delayed-message"
HISTORY: Final = "x-recent-history"
ROUTERS: Final[dict[str, Callable[[], Router]]] = {
    "direct": DirectRouter,
    "fanout": FanoutRouter,
    TOPIC: TopicRouter,
    "headers": HeadersRouter,
    "x-consistent-hash": ConsistentHashRouter,
    "x-modulus-hash": ModulusHashRouter,
    "x-random": RandomRouter,
    "x-local-random": LocalRandomRouter,
    "x-federation-upstream": FederationUpstreamRouter,
    HISTORY: FanoutRouter,
    DEDUPLICATION: FanoutRouter,
}
TYPES: Final = (*ROUTERS, DELAYED)


def routing_type(kind: str, arguments: Table) -> str:
    """The type that routes for an exchange: its own, or that in x-delayed-type for a delayed one.

    Raises: Refusal UNFIT for an unknown type.
    """
    if kind == DELAYED:
        inner = arguments.get("x-delayed-type")
        if inner is None or inner.kind != LONGSTR or inner.text == DELAYED:
            text = "Invalid argument, 'x-delayed-type' must be an existing exchange type"
            raise Refusal(UNFIT, text)
        kind = inner.text
    if kind not in ROUTERS:
        raise unknown_exchange_type(kind)
    return kind


def new_exchange(
    vhost: NameSpace,
    name: str,
    kind: str,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: Table,
    origin: Origin,
    log_id: int = 0,
) -> Exchange:
    """Create an exchange. Raises: Refusal UNFIT for an unknown type or an invalid argument."""
    routes_as = routing_type(kind, arguments)
    router = ROUTERS[routes_as]()
    router.configure(arguments, vhost.broker)
    exchange = Exchange(vhost, name, kind, durable, auto_delete, internal, arguments, origin, router, log_id)
    interceptors = exchange.interceptors
    if routes_as == DEDUPLICATION or is_deduplicating(arguments):
        interceptors.append(Deduplication(exchange))
    if kind == DELAYED:
        interceptors.append(Delay(exchange, len(interceptors) + 1))
    if routes_as == HISTORY:
        interceptors.append(History(exchange))
    return exchange
