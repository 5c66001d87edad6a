"""Exchange and Binding: routing of messages.

A message visits each exchange and each queue at most once, so bindings between exchanges may form cycles. An
alternate exchange receives messages that match no binding.
Source: rabbit_exchange.erl route/3.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from leveret.core.counting.counters import ExchangeCounters
from leveret.core.errors.diagnostics import Origin
from leveret.core.message.destination import Destination
from leveret.core.message.message import Address, Message
from leveret.core.policy.arguments import Definition
from leveret.core.policy.policy import Policy
from leveret.core.queue.entry import Home
from leveret.core.queue.queue import Queue
from leveret.core.queue.surroundings import Surroundings
from leveret.wire.fields import LONGSTR, Table, in_order, table_bytes
from leveret.wire.properties import BasicProperties

if TYPE_CHECKING:
    from leveret.core.exchange.interceptor import Interceptor
    from leveret.core.exchange.router import Router

NO_PROPERTIES: Final = BasicProperties()  # for a lookup without a message


class NameSpace(Home):
    """The part of a virtual host that its exchanges use."""

    def __init__(self, broker: Surroundings, name: str) -> None:
        super().__init__(broker, name, broker.observer)
        self.broker = broker
        self.exchanges: dict[str, Exchange] = {}

    @abstractmethod
    def find_queue(self, name: str) -> Destination | None:
        """Where the default exchange routes this routing key: a queue, or a direct reply-to."""


class Binding:
    """A binding from an exchange to a queue or to another exchange.

    Two bindings are equal if they have the same source, destination, routing key and arguments.
    arguments: sorted by name. encoded: the arguments as bytes, which differ for values of different types, and for
    integers of different widths.
    Raises: ValueError when the name of an argument is too long to be encoded.
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
        self._hash = hash(self._identity)  # cached

    @property
    def kind(self) -> str:
        """The kind of the destination: queue or exchange."""
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
        """Whether the binding survives a restart: only if its source and its destination do."""
        target_durable = (
            self.queue.durable if self.queue is not None else self.exchange is not None and self.exchange.durable
        )
        return self.source.durable and target_durable

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Binding) and self._identity == other._identity

    def __hash__(self) -> int:
        return self._hash


class Routing:
    """The result of routing. varies: whether another message with the same key may go to other queues."""

    __slots__ = ("queues", "varies")

    def __init__(self, queues: list[Destination], varies: bool) -> None:
        self.queues = queues
        self.varies = varies


class Exchange:
    """One exchange.

    bindings: those from this exchange; incoming: those to it.
    router: finds the matching bindings. interceptors: process a message before routing.
    alternate: name of the exchange for messages that match no binding. policy, operator_policy: those that apply.
    log_id: under which the exchange stores messages in the MessageLog; 0 if it stores none.
    counters: they lack the counts that cached routes still hold; see Client.count_routes().
    """

    def __init__(
        self,
        vhost: NameSpace,
        name: str,
        kind: str,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Table,
        origin: Origin,
        router: Router,
        log_id: int,
    ) -> None:
        self.vhost = vhost
        self.origin = origin
        self.name = name
        self.kind = kind
        self.durable = durable
        self.auto_delete = auto_delete
        self.internal = internal
        self.arguments = arguments
        self.router = router
        self.interceptors: list[Interceptor] = []
        self.log_id = log_id
        self.counters = ExchangeCounters(name)
        self.bindings: dict[Binding, None] = {}
        self.incoming: dict[Binding, None] = {}
        self.alternate: str | None = None
        self.policy: Policy | None = None
        self.operator_policy: Policy | None = None
        self.apply({})

    def apply(self, definition: Definition) -> None:
        """Set the alternate exchange: from the arguments or, if they name none, from the policies.

        The default exchange has no alternate exchange.
        """
        argument = self.arguments.get("alternate-exchange")
        from_policy = definition.get("alternate-exchange")
        self.alternate = None
        if argument is not None:
            self.alternate = argument.text if argument.kind == LONGSTR else None
        elif self.name and isinstance(from_policy, str):
            self.alternate = from_policy

    def route(
        self,
        keys: list[str],
        properties: BasicProperties | None = NO_PROPERTIES,
        message: Message | None = None,
        passed: int = 0,
    ) -> Routing:
        """All queues that a message reaches from here, each once.

        properties: None to decode those of the message if an exchange on the way needs them.
        message: None for a lookup only, without calling interceptors.
        passed: how many of this exchange's interceptors the message has passed already.
        """
        found: dict[Destination, None] = {}
        seen: dict[Exchange, None] = {self: None}
        pending = [self]
        interceptors: list[Interceptor] = []
        varies = False
        while pending:
            exchange = pending.pop(0)
            if exchange.router.varies or exchange.interceptors:
                varies = True
                if properties is None:
                    properties = message.readable_properties() if message is not None else NO_PROPERTIES
            known = properties if properties is not None else NO_PROPERTIES
            taken = exchange._intercept(message, known, passed if exchange is self else 0)
            if exchange.interceptors:
                interceptors += exchange.interceptors
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
        if interceptors and message is not None:
            for interceptor in interceptors:
                queues = interceptor.routed(queues)
        return Routing(queues, varies)

    def count(self, queues: list[Destination], copies: i64) -> None:
        """Count published messages that this exchange has routed to each of these queues."""
        for queue in queues:
            if queue.name:
                self.counters.count_routed(queue.counted(), copies)

    def _intercept(self, message: Message | None, properties: BasicProperties, passed: int) -> list[Destination] | None:
        """The queues to which an interceptor redirects a message; None if all interceptors let it pass."""
        if message is None or not self.interceptors:
            return None
        for interceptor in self.interceptors[passed:]:
            taken = interceptor.admit(message, properties)
            if taken is not None:
                return taken
        return None

    def _match(
        self,
        keys: list[str],
        properties: BasicProperties,
        found: dict[Destination, None],
        seen: dict[Exchange, None],
        pending: list[Exchange],
    ) -> bool:
        """Add the destinations of matching bindings to found or pending. Returns: whether any binding matched."""
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
    """A cached route, for publishes with the same exchange, routing key and mandatory flag.

    generation: that of the virtual host; when it changes, the route is no longer valid.
    queues: not valid if varies is set. varies: whether each message must be examined: to route it, to trace it, or
    because its routing key is not allowed. watched: whether an observer sees each message.
    published: number of messages sent to all of these queues that the exchange has not counted yet.
    """

    __slots__ = ("address", "exchange", "generation", "mandatory", "published", "queues", "varies", "watched")

    def __init__(
        self, exchange: Exchange, address: Address, routing: Routing, generation: int, mandatory: bool
    ) -> None:
        self.exchange = exchange
        self.address = address
        self.queues = routing.queues
        self.varies = routing.varies
        self.watched = False
        self.generation = generation
        self.mandatory = mandatory
        self.published: i64 = 0

    def count(self) -> None:
        """Add the published messages to the exchange's counters."""
        copies = self.published
        self.published = 0
        self.exchange.count(self.queues, copies)
