"""Exchange and Binding: where messages come in, and where they go from there.

A message visits each exchange at most once and each queue at most once, so bindings between exchanges may form
cycles. An alternate exchange gets what found no binding at all.
Source: rabbit_exchange.erl route/3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from leveret.core.errors.amqp import AmqpError, unknown_exchange_type
from leveret.core.errors.hints import Origin
from leveret.core.exchange.deduplication import DEDUPLICATION, Deduplication, is_wanted
from leveret.core.exchange.delayed import Delay
from leveret.core.exchange.history import History
from leveret.core.exchange.interceptor import Gate
from leveret.core.exchange.routing.consistent_hash import ConsistentHashRouter
from leveret.core.exchange.routing.direct import DirectRouter
from leveret.core.exchange.routing.fanout import FanoutRouter
from leveret.core.exchange.routing.headers import HeadersRouter
from leveret.core.exchange.routing.modulus_hash import ModulusHashRouter
from leveret.core.exchange.routing.random_choice import LocalRandomRouter, RandomRouter
from leveret.core.exchange.routing.router import Router
from leveret.core.exchange.routing.topic import TopicRouter
from leveret.core.message.message import Address, Message
from leveret.core.queue.queue import Queue
from leveret.wire.constants import PRECONDITION_FAILED
from leveret.wire.fields import LONGSTR, Table, in_order, table_bytes
from leveret.wire.properties import BasicProperties

if TYPE_CHECKING:
    from leveret.core.policy.arguments import Definition
    from leveret.core.policy.policy import Policy
    from leveret.core.vhost import VirtualHost

TOPIC: Final = "topic"  # the one type that topic permissions are about
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
    HISTORY: FanoutRouter,
    DEDUPLICATION: FanoutRouter,
}
TYPES: Final = (*ROUTERS, DELAYED)
NO_PROPERTIES: Final = BasicProperties()  # of a message that there is not


class Binding:
    """From an exchange to a queue or to another exchange. Equal when source, destination, key and arguments are.

    arguments: in order, however they came. encoded: the same as bytes, so that fields of different types are different,
    as are integers of two widths.
    Raises: ValueError when the name of an argument is too long to be written.
    Source: rabbit_binding.erl (sort_field_table), rabbit_db_binding.erl (a set of bindings).
    """

    __slots__ = ("_hash", "_identity", "arguments", "encoded", "exchange", "key", "queue", "source")

    def __init__(
        self, source: Exchange, queue: Queue | None, exchange: Exchange | None, key: str, arguments: Table
    ) -> None:
        self.source = source
        self.queue = queue
        self.exchange = exchange
        self.key = key
        self.arguments = in_order(arguments)
        self.encoded = table_bytes(self.arguments) if arguments else b""
        self._identity = (source.name, self.kind, self.destination, key, self.encoded)
        self._hash = hash(self._identity)  # once

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
        return self._hash


class Routing:
    """The result of a look-up. varies: whether another message with the same key may go elsewhere."""

    __slots__ = ("queues", "varies")

    def __init__(self, queues: list[Queue], varies: bool) -> None:
        self.queues = queues
        self.varies = varies


def routing_type(kind: str, arguments: Table) -> str:
    """The type that routes for an exchange: its own, but what x-delayed-type says for a delayed one.

    Raises: AmqpError 406 when there is no such type.
    """
    if kind == DELAYED:
        inner = arguments.get("x-delayed-type")
        if inner is None or inner.kind != LONGSTR or inner.text == DELAYED:
            text = "Invalid argument, 'x-delayed-type' must be an existing exchange type"
            raise AmqpError(PRECONDITION_FAILED, text)
        kind = inner.text
    if kind not in ROUTERS:
        raise unknown_exchange_type(kind)
    return kind


class Exchange:
    """One exchange.

    bindings: those it is the source of; incoming: those it is the destination of.
    alternate: the exchange for what finds no binding. policy, operator_policy: those that apply.
    gates: what messages pass first. log_id: of the messages that rest here in the MessageLog; 0 if none ever do.
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
        log_id: int = 0,
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
        self.log_id = log_id
        self.bindings: dict[Binding, None] = {}
        self.incoming: dict[Binding, None] = {}
        routes_as = routing_type(kind, arguments)
        self.router = ROUTERS[routes_as]()
        self.router.configure(arguments, vhost.broker)
        self.gates: list[Gate] = []
        if routes_as == DEDUPLICATION or is_wanted(arguments):
            self.gates.append(Deduplication(self))
        if kind == DELAYED:
            self.gates.append(Delay(self, len(self.gates) + 1))
        if routes_as == HISTORY:
            self.gates.append(History(self))

    def apply(self, definition: Definition) -> None:
        """Take what policies say, where the arguments say nothing. The default exchange has no alternate."""
        argument = self.arguments.get("alternate-exchange")
        said = definition.get("alternate-exchange")
        self.alternate = None
        if argument is not None:
            self.alternate = argument.text if argument.kind == LONGSTR else None
        elif self.name and isinstance(said, str):
            self.alternate = said

    def route(
        self,
        keys: list[str],
        properties: BasicProperties | None = NO_PROPERTIES,
        message: Message | None = None,
        gates_passed: int = 0,
    ) -> Routing:
        """All queues that a message reaches from here, each once.

        properties: None to decode those of the message if an exchange on the way wants to know them.
        message: None to look where one would go, of which the gates on the way do not hear.
        gates_passed: how many of this exchange's gates the message has passed before.
        """
        found: dict[Queue, None] = {}
        seen: dict[Exchange, None] = {self: None}
        pending = [self]
        gates: list[Gate] = []
        varies = False
        while pending:
            exchange = pending.pop(0)
            if exchange.router.varies or exchange.gates:
                varies = True
                if properties is None:
                    properties = message.readable_properties() if message is not None else NO_PROPERTIES
            known = properties if properties is not None else NO_PROPERTIES
            taken = exchange._pass_gates(message, known, gates_passed if exchange is self else 0)
            if exchange.gates:
                gates += exchange.gates
            if taken is None:
                matched = exchange._match(keys, known, found, seen, pending)
            else:
                matched = len(taken) > 0
                for queue in taken:
                    found[queue] = None
            if not matched and exchange.alternate is not None:
                alternate = exchange.vhost.exchanges.get(exchange.alternate)
                if alternate is not None and alternate not in seen:
                    seen[alternate] = None
                    pending.append(alternate)
        queues = list(found)
        if gates and message is not None:
            for gate in gates:
                queues = gate.routed(queues)
        return Routing(queues, varies)

    def _pass_gates(self, message: Message | None, properties: BasicProperties, passed: int) -> list[Queue] | None:
        """What becomes of a message at a gate; None when it passes all."""
        if message is None or not self.gates:
            return None
        for gate in self.gates[passed:]:
            taken = gate.admit(message, properties)
            if taken is not None:
                return taken
        return None

    def _match(
        self,
        keys: list[str],
        properties: BasicProperties,
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
        for key in keys if self.router.every_key else keys[:1]:
            for binding in self.router.match(key, properties):
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

    queues: unless it varies. varies: whether each message has to be looked into: to route it, to trace it, or
    because its routing key is not allowed. mandatory: as in the publish.
    """

    __slots__ = ("address", "exchange", "generation", "mandatory", "queues", "varies")

    def __init__(
        self, exchange: Exchange, address: Address, routing: Routing, generation: int, mandatory: bool
    ) -> None:
        self.exchange = exchange
        self.address = address
        self.queues = routing.queues
        self.varies = routing.varies
        self.generation = generation
        self.mandatory = mandatory
