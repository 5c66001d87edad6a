"""Exchange and Binding: where messages come in, and where they go from there.

A message visits each exchange at most once and each queue at most once, so bindings between exchanges may form
cycles. An alternate exchange gets what found no binding at all.
Source: rabbit_exchange.erl route/3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from leveret.core.errors import unknown_exchange_type
from leveret.core.hints import Origin
from leveret.core.message import Address
from leveret.core.queue import Queue
from leveret.core.routing.direct import DirectRouter
from leveret.core.routing.fanout import FanoutRouter
from leveret.core.routing.headers import HeadersRouter
from leveret.core.routing.router import Router
from leveret.core.routing.topic import TopicRouter
from leveret.wire.fields import LONGSTR, Table, comparable

if TYPE_CHECKING:
    from leveret.core.arguments import Definition
    from leveret.core.policy import Policy
    from leveret.core.vhost import VirtualHost

TOPIC: Final = "topic"  # the one type that topic permissions are about
ROUTERS: Final[dict[str, Callable[[], Router]]] = {
    "direct": DirectRouter,
    "fanout": FanoutRouter,
    TOPIC: TopicRouter,
    "headers": HeadersRouter,
}


class Binding:
    """From an exchange to a queue or to another exchange. Equal when source, destination, key and arguments are."""

    __slots__ = ("_identity", "arguments", "exchange", "key", "queue", "source")

    def __init__(
        self, source: Exchange, queue: Queue | None, exchange: Exchange | None, key: str, arguments: Table
    ) -> None:
        self.source = source
        self.queue = queue
        self.exchange = exchange
        self.key = key
        self.arguments = arguments
        self._identity = (source.name, self.kind, self.destination, key, comparable(arguments))

    @property
    def kind(self) -> str:
        """What the destination is: queue or exchange."""
        return "queue" if self.queue is not None else "exchange"

    @property
    def destination(self) -> str:
        """Name of the destination."""
        if self.queue is not None:
            return self.queue.name
        assert self.exchange is not None
        return self.exchange.name

    @property
    def durable(self) -> bool:
        """Whether it survives a restart: both ends do."""
        target_durable = (
            self.queue.durable if self.queue is not None else self.exchange is not None and self.exchange.durable
        )
        return self.source.durable and target_durable

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Binding) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)


class Routing:
    """The result of a look-up. reads_headers: whether another message with the same key may go elsewhere."""

    __slots__ = ("queues", "reads_headers")

    def __init__(self, queues: list[Queue], reads_headers: bool) -> None:
        self.queues = queues
        self.reads_headers = reads_headers


class Exchange:
    """One exchange.

    bindings: those it is the source of; incoming: those it is the destination of.
    alternate: the exchange for what finds no binding. policy, operator_policy: those that apply.
    """

    def __init__(
        self,
        vhost: VirtualHost,
        name: str,
        kind: str,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Table,
        origin: Origin,
    ) -> None:
        self.vhost = vhost
        self.origin = origin
        self.name = name
        self.kind = kind
        self.durable = durable
        self.auto_delete = auto_delete
        self.internal = internal
        self.arguments = arguments
        self.alternate: str | None = None
        self.policy: Policy | None = None
        self.operator_policy: Policy | None = None
        self.apply({})
        make_router = ROUTERS.get(kind)
        if make_router is None:
            raise unknown_exchange_type(kind)
        self.router = make_router()
        self.bindings: dict[Binding, None] = {}
        self.incoming: dict[Binding, None] = {}

    def apply(self, definition: Definition) -> None:
        """Take what policies say, where the arguments say nothing. The default exchange has no alternate."""
        argument = self.arguments.get("alternate-exchange")
        said = definition.get("alternate-exchange")
        self.alternate = None
        if argument is not None:
            self.alternate = argument.text if argument.kind == LONGSTR else None
        elif self.name and isinstance(said, str):
            self.alternate = said

    def route(self, keys: list[str], headers: Table) -> Routing:
        """All queues that a message reaches from here, each once."""
        found: dict[Queue, None] = {}
        seen: dict[Exchange, None] = {self: None}
        pending = [self]
        reads_headers = False
        while pending:
            exchange = pending.pop(0)
            matched = exchange._match(keys, headers, found, seen, pending)
            if exchange.router.reads_headers:
                reads_headers = True
            if not matched and exchange.alternate is not None:
                alternate = exchange.vhost.exchanges.get(exchange.alternate)
                if alternate is not None and alternate not in seen:
                    seen[alternate] = None
                    pending.append(alternate)
        return Routing(list(found), reads_headers)

    def _match(
        self,
        keys: list[str],
        headers: Table,
        found: dict[Queue, None],
        seen: dict[Exchange, None],
        pending: list[Exchange],
    ) -> bool:
        """Put what this exchange's own bindings lead to into found or pending. Returns: whether there was any."""
        matched = False
        if self.name == "":
            for key in keys:
                queue = self.vhost.find_queue(key)
                if queue is not None:
                    found[queue] = None
                    matched = True
            return matched
        for key in keys:
            for binding in self.router.match(key, headers):
                matched = True
                if binding.queue is not None:
                    found[binding.queue] = None
                else:
                    target = binding.exchange
                    assert target is not None
                    if target not in seen:
                        seen[target] = None
                        pending.append(target)
        return matched


class Route:
    """Where publishes with the same arguments go, as long as the virtual host's generation stays the same.

    queues: for a routing that does not read headers. mandatory: as in the publish.
    reads_headers: whether each message has to be looked into: to route it, or because its routing key is not allowed.
    """

    __slots__ = ("address", "exchange", "generation", "mandatory", "queues", "reads_headers")

    def __init__(
        self, exchange: Exchange, address: Address, routing: Routing, generation: int, mandatory: bool
    ) -> None:
        self.exchange = exchange
        self.address = address
        self.queues = routing.queues
        self.reads_headers = routing.reads_headers
        self.generation = generation
        self.mandatory = mandatory
