"""Deduplication: an exchange that accepts each message only once.

Two messages are the same if they have the same value in the header x-deduplication-header; messages without it always
pass. An exchange (type x-message-deduplication, or argument x-message-deduplication on any type) remembers a window of
values. A duplicate is dropped, but confirmed. For queues that do the same see core/queue/deduplicating.py.
Source: rabbit_message_deduplication_exchange.ex of the community plugin.
"""

from __future__ import annotations

from typing import Final

from leveret.core.errors.bounds import SEEN_MS, WINDOW, Range
from leveret.core.errors.refusals import UNFIT, Refusal
from leveret.core.exchange.exchange import Exchange
from leveret.core.exchange.interceptor import Interceptor
from leveret.core.exchange_types.seen import SeenValues
from leveret.core.message.confirm import Confirm
from leveret.core.message.destination import Destination
from leveret.core.message.hashing import identity, shortened
from leveret.core.message.message import Message
from leveret.core.policy.arguments import DEDUPLICATION, DEDUPLICATION_HEADER
from leveret.wire.fields import LONGSTR, Field, Table
from leveret.wire.properties import BasicProperties

DEFAULT_SIZE: Final = 100_000  # of a window, when x-cache-size is not set


def _number(arguments: Table, name: str, problem: str, counts: Range) -> int:
    """An argument that is an integer above 0, as number or digits. Raises: Refusal UNFIT."""
    number = counts.of(arguments[name], 0)
    if number < 1:
        raise Refusal(UNFIT, f"{problem}, '{name}' must be an integer greater than 0")
    return number


def _persists(field: Field | None) -> bool:
    if field is not None and (field.kind != LONGSTR or field.text not in ("disk", "memory")):
        text = "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'"
        raise Refusal(UNFIT, text)
    return field is None or field.text == "disk"


class Deduplication(Interceptor):
    """Drops messages that the exchange has seen. duplicates: how many it dropped."""

    def __init__(self, exchange: Exchange) -> None:
        arguments = exchange.arguments
        broker = exchange.vhost.broker
        size = DEFAULT_SIZE
        if "x-cache-size" in arguments:
            size = _number(arguments, "x-cache-size", "Missing or invalid argument", WINDOW)
        elif exchange.kind == DEDUPLICATION:
            text = "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0"
            raise Refusal(UNFIT, text)
        self._ttl_ms = 0
        if "x-cache-ttl" in arguments:
            self._ttl_ms = _number(arguments, "x-cache-ttl", "Invalid argument", SEEN_MS)
        is_durable = _persists(arguments.get("x-cache-persistence")) and exchange.durable
        header = arguments.get(DEDUPLICATION_HEADER)
        if header is not None and header.kind != LONGSTR:
            raise Refusal(UNFIT, f"Invalid argument, '{DEDUPLICATION_HEADER}' must be the name of a header")
        self._header = DEDUPLICATION_HEADER if header is None else header.text
        self._header_name = self._header.encode("utf-8", "surrogateescape")
        self._broker = broker
        self.window = SeenValues(broker, size, (exchange.vhost.name, exchange.name) if is_durable else None)
        self._exchange = exchange
        self._echo = Echo(exchange, self)
        self._claims: dict[int, Claim] = {}  # by the number of queues
        self._admitted: bytes | None = None  # value of the last message that passed
        self.duplicates = 0

    def admit(self, message: Message, properties: BasicProperties) -> list[Destination] | None:
        """Drop a duplicate. The value of any other message is stored when a queue has accepted the message."""
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
        """Put a claim before and behind the queues of the message."""
        value, self._admitted = self._admitted, None
        if value is None:
            return queues
        count = 0
        for queue in queues:
            if queue.name:
                count += 1
        if not count:
            self.window.keep(value)  # no queue gets it, and duplicates are dropped
            return queues
        claim = self._claims.get(count)
        if claim is None:
            claim = self._claims[count] = Claim(self._exchange, self, count)
        return [claim, *queues, claim]

    def foresee(self, properties: BasicProperties) -> list[Destination] | None:
        """The result that admit() would have for a message, without side effects."""
        field = properties.headers.get(self._header) if properties.headers is not None else None
        if field is None:
            return None
        value = shortened(identity(field))
        if not self.window.has(value):
            return None
        return [] if self.window.is_safe(value) else [self._echo]

    def value_of(self, message: Message) -> bytes | None:
        """The deduplication value of a message, or None."""
        field = message.header(self._header_name)
        return None if field is None else shortened(identity(field))

    def open(self) -> None:
        """Subscribe to failures of the log."""
        if self.window.is_durable:
            self._broker.journals.append(self.window)

    def close(self) -> None:
        """Forget the window."""
        if self.window.is_durable:
            self._broker.journals.remove(self.window)
        self.window.clear()


class Echo(Destination):
    """The destination of a duplicate whose original is not safe yet: drops it, and confirms it when the original is."""

    def __init__(self, exchange: Exchange, interceptor: Deduplication) -> None:
        super().__init__("")
        self._broker = exchange.vhost.broker
        self._interceptor = interceptor

    def publish(self, message: Message, confirm: Confirm | None) -> None:
        """Drop a message."""
        if confirm is not None:
            self._interceptor.window.when_safe(self._interceptor.value_of(message), confirm)

    def not_taken(self, error: Exception) -> None:
        """Report that the check for a duplicate failed."""
        self._broker.faults.own("check for duplicates", error)


class Claim(Destination):
    """Placed before and behind count queues: stores a message's value only if one of them accepts the message."""

    def __init__(self, exchange: Exchange, interceptor: Deduplication, count: int) -> None:
        super().__init__("")
        self._broker = exchange.vhost.broker
        self._interceptor = interceptor
        self._count = count
        self._is_between = False
        self._refusals = 0  # in the broker, before the first of them

    def publish(self, message: Message, confirm: Confirm | None) -> None:
        """Called before and after the queues get a message."""
        is_behind, self._is_between = self._is_between, not self._is_between
        if not is_behind:
            self._refusals = self._broker.refusals
        elif self._broker.refusals - self._refusals < self._count:
            self._keep(message)
        else:
            self.not_published(message)
        if confirm is not None:
            confirm.pay()

    def not_taken(self, error: Exception) -> None:
        """Report that the check for a duplicate failed."""
        self._broker.faults.own("check for duplicates", error)

    def _keep(self, message: Message) -> None:
        value = self._interceptor.value_of(message)
        if value is not None:
            self._interceptor.window.keep(value)

    def not_published(self, message: Message) -> None:
        """A message was refused or not published: the next one with its value is not a duplicate."""
        value = self._interceptor.value_of(message)
        if value is not None:
            self._interceptor.window.release(value)
