"""Deduplication: an exchange, or a queue, that takes the same message only once.

Same is what has the same value in the header x-deduplication-header; messages without it always pass. An exchange
(type x-message-deduplication, or argument x-message-deduplication on any type) knows the values of its window. A
queue (argument x-message-deduplication) knows those of the messages that it holds. A duplicate is gone, but confirmed.
Source: rabbit_message_deduplication_exchange.ex, rabbit_message_deduplication_queue.ex of the community plugin.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.errors.amqp import AmqpError
from leveret.core.errors.bounds import SEEN_MS, WINDOW, Range
from leveret.core.errors.hints import Origin
from leveret.core.exchange.exchange import Exchange
from leveret.core.exchange.interceptor import Interceptor
from leveret.core.exchange.routing.hashing import identity
from leveret.core.exchange.seen import SeenValues, shortened
from leveret.core.message.confirm import Confirm
from leveret.core.message.destination import Destination
from leveret.core.message.log import Recovered, Resting
from leveret.core.message.message import Message
from leveret.core.queue.entry import Home, QueueEntry
from leveret.core.queue.queue import Queue
from leveret.core.queue.ready import Ready
from leveret.core.queue.surroundings import Surroundings
from leveret.wire.constants import PRECONDITION_FAILED
from leveret.wire.fields import LONGSTR, Field, Table
from leveret.wire.properties import BasicProperties

DEDUPLICATION: Final = "x-message-deduplication"  # type of an exchange, and argument
HEADER: Final = "x-deduplication-header"
HEADER_NAME: Final = HEADER.encode()
DEFAULT_SIZE: Final = 100_000  # of a window whose size was not asked for


def is_wanted(arguments: Table) -> bool:
    """Whether the argument asks for deduplication."""
    field = arguments.get(DEDUPLICATION)
    return field is not None and field.value is True


def _number(arguments: Table, name: str, problem: str, counts: Range) -> int:
    """An argument that is a number above 0, or its digits. Raises: AmqpError 406."""
    number = counts.of(arguments[name], 0)
    if number < 1:
        raise AmqpError(PRECONDITION_FAILED, f"{problem}, '{name}' must be an integer greater than 0")
    return number


def _persists(field: Field | None) -> bool:
    if field is not None and (field.kind != LONGSTR or field.text not in ("disk", "memory")):
        text = "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'"
        raise AmqpError(PRECONDITION_FAILED, text)
    return field is None or field.text == "disk"


class Deduplication(Interceptor):
    """Drops what was in the exchange already. duplicates: how many that were."""

    def __init__(self, exchange: Exchange) -> None:
        arguments = exchange.arguments
        broker = exchange.vhost.broker
        size = DEFAULT_SIZE
        if "x-cache-size" in arguments:
            size = _number(arguments, "x-cache-size", "Missing or invalid argument", WINDOW)
        elif exchange.kind == DEDUPLICATION:
            text = "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0"
            raise AmqpError(PRECONDITION_FAILED, text)
        self._ttl_ms = 0
        if "x-cache-ttl" in arguments:
            self._ttl_ms = _number(arguments, "x-cache-ttl", "Invalid argument", SEEN_MS)
        is_durable = _persists(arguments.get("x-cache-persistence")) and exchange.durable
        header = arguments.get(HEADER)
        if header is not None and header.kind != LONGSTR:
            raise AmqpError(PRECONDITION_FAILED, f"Invalid argument, '{HEADER}' must be the name of a header")
        self._header = HEADER if header is None else header.text
        self._header_name = self._header.encode("utf-8", "surrogateescape")
        self._broker = broker
        self.window = SeenValues(broker, size, (exchange.vhost.name, exchange.name) if is_durable else None)
        self._exchange = exchange
        self._echo = Echo(exchange, self)
        self._claims: dict[int, Claim] = {}  # by the number of queues
        self._admitted: bytes | None = None  # value of the message that was let pass last
        self.duplicates = 0

    def admit(self, message: Message, properties: BasicProperties) -> list[Destination] | None:
        """Drop a duplicate; what is none is remembered when a queue has taken it."""
        headers = properties.headers if properties.headers is not None else {}
        field = headers.get(self._header)
        self._admitted = None
        if field is None:
            return None
        value = shortened(identity(field))
        window = self.window
        if window.has(value):
            self.duplicates += 1
            return [] if window.is_safe(value) else [self._echo]
        ttl = headers.get("x-cache-ttl")
        own_ms = SEEN_MS.nearest(ttl.integer) if ttl is not None and ttl.is_integer else 0
        ttl_ms = own_ms or self._ttl_ms
        window.reserve(value, ttl_ms)
        self._admitted = value
        return None

    def routed(self, queues: list[Destination]) -> list[Destination]:
        """Put a claim around the queues that the message goes to."""
        value, self._admitted = self._admitted, None
        if value is None:
            return queues
        count = 0
        for queue in queues:
            if queue.name:
                count += 1
        if not count:
            self.window.keep(value)  # nobody gets it, and nobody is to get another one
            return queues
        claim = self._claims.get(count)
        if claim is None:
            claim = self._claims[count] = Claim(self._exchange, self, count)
        return [claim, *queues, claim]

    def value_of(self, message: Message) -> bytes | None:
        """The value of a message that has one."""
        field = message.header(self._header_name)
        return None if field is None else shortened(identity(field))

    def open(self) -> None:
        """Hear of failures of the log."""
        if self.window.is_durable:
            self._broker.journals.append(self.window)

    def close(self) -> None:
        """Forget the window."""
        if self.window.is_durable:
            self._broker.journals.remove(self.window)
        self.window.clear()


class Echo(Destination):
    """Where a duplicate goes whose original is not safe yet: nowhere, but it is confirmed no earlier than that."""

    def __init__(self, exchange: Exchange, interceptor: Deduplication) -> None:
        super().__init__("")
        self._broker = exchange.vhost.broker
        self._interceptor = interceptor

    def publish(self, message: Message, confirm: Confirm | None) -> None:
        """Drop a message."""
        if confirm is not None:
            self._interceptor.window.when_safe(self._interceptor.value_of(message), confirm)

    def not_taken(self, error: Exception) -> None:
        """It could not be found out whether a message is a duplicate."""
        self._broker.faults.own("look for duplicates", error)


class Claim(Destination):
    """In front of so many queues, and behind them: sees whether one of them takes a message, which only then counts."""

    def __init__(self, exchange: Exchange, interceptor: Deduplication, count: int) -> None:
        super().__init__("")
        self._broker = exchange.vhost.broker
        self._interceptor = interceptor
        self._count = count
        self._is_between = False
        self._refusals = 0  # in the broker, before the first of them

    def publish(self, message: Message, confirm: Confirm | None) -> None:
        """The queues are about to get a message, or have just got it."""
        is_behind, self._is_between = self._is_between, not self._is_between
        if not is_behind:
            self._refusals = self._broker.refusals
        elif self._broker.refusals - self._refusals < self._count:
            self._keep(message)
        else:
            self.release(message)
        if confirm is not None:
            confirm.pay()

    def not_taken(self, error: Exception) -> None:
        """It could not be found out whether a message is a duplicate."""
        self._broker.faults.own("look for duplicates", error)

    def _keep(self, message: Message) -> None:
        value = self._interceptor.value_of(message)
        if value is not None:
            self._interceptor.window.keep(value)

    def release(self, message: Message) -> None:
        """A message was not taken, or is not even published: another one with its value is no duplicate."""
        value = self._interceptor.value_of(message)
        if value is not None:
            self._interceptor.window.release(value)


def give_up(message: Message, queues: list[Destination]) -> None:
    """A message that was routed to these queues is not published after all."""
    for queue in queues:
        if not isinstance(queue, Claim):
            break
        queue.release(message)


class DeduplicatingQueue(Queue):
    """A queue that does not take what it holds already. duplicates: how many it did not take."""

    def __init__(
        self,
        vhost: Home,
        broker: Surroundings,
        name: str,
        queue_id: int,
        durable: bool,
        owner: int,
        auto_delete: bool,
        arguments: Table,
        origin: Origin,
    ) -> None:
        super().__init__(vhost, broker, name, queue_id, durable, owner, auto_delete, arguments, origin)
        self._held: dict[bytes, int] = {}  # position by value
        self._values: dict[int, bytes] = {}  # value by position
        self._purged: list[Ready] = []  # lines of which something is still to be thrown away
        self.duplicates = 0

    def publish(self, message: Message, confirm: Confirm | None) -> None:
        """Take a message, unless it is a duplicate."""
        value = _value(message)
        if value is None:
            super().publish(message, confirm)
        elif value in self._held and not self._is_purged(self._held[value]):
            self.duplicates += 1
            if confirm is not None:
                confirm.pay()
        else:
            position = int(self._position) + 1
            self._hold(value, position)
            try:
                super().publish(message, confirm)
            except Exception:
                self._let_go(position)
                raise
            if self._position < position:  # it was refused
                self._let_go(position)

    def restore(self, found: Recovered) -> None:
        """Take a message from the log at start-up."""
        value = _value(found.message)
        if value is not None:
            self._hold(value, found.position)
        super().restore(found)

    def rest(self, found: Resting) -> int:
        """Take messages from the log at start-up: what it holds has to be known."""
        messages = self.broker.log.fetch(self.queue_id, found.positions())
        for message in messages:
            self.restore(message)
        return len(messages)

    def die(self, stored: QueueEntry, reason: str) -> None:
        """A message is given up."""
        self._let_go(int(stored.position))
        super().die(stored, reason)

    def forget(self, stored: QueueEntry) -> None:
        """Nothing has to remember this message any longer."""
        self._let_go(int(stored.position))
        super().forget(stored)

    def purge(self) -> int:
        """Drop everything that is ready; it can be published again at once, whatever is still to be thrown away."""
        for stored in self.retries.items():
            self._let_go(int(stored.position))
        line = self.ready
        count = super().purge()
        if len(line):
            self._purged.append(line)
        return count

    def page_out(self, keep: i64, want: i64) -> None:
        """Nothing: what it holds has to be known."""

    def leave_content(self, stored: QueueEntry) -> bool:
        """Nothing can rest."""
        return True

    def _is_purged(self, position: int) -> bool:
        """Whether the message with this position was purged, and only has not been thrown away yet."""
        if not self._purged:
            return False
        self._purged = [line for line in self._purged if len(line)]
        return any(line.pick([position]) for line in self._purged)

    def _hold(self, value: bytes, position: int) -> None:
        self._held[value] = position
        self._values[position] = value

    def _let_go(self, position: int) -> None:
        value = self._values.pop(position, None)
        if value is not None and self._held.get(value) == position:
            del self._held[value]


def new_queue(
    vhost: Home,
    broker: Surroundings,
    name: str,
    queue_id: int,
    durable: bool,
    owner: int,
    auto_delete: bool,
    arguments: Table,
    origin: Origin,
) -> Queue:
    """A queue of the kind that its arguments ask for."""
    if is_wanted(arguments):
        return DeduplicatingQueue(vhost, broker, name, queue_id, durable, owner, auto_delete, arguments, origin)
    return Queue(vhost, broker, name, queue_id, durable, owner, auto_delete, arguments, origin)


def _value(message: Message) -> bytes | None:
    field = message.header(HEADER_NAME)
    return shortened(identity(field)) if field is not None else None
