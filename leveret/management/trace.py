"""Trace: the events of selected messages in a virtual host.

A trace is an observer: while it is active, the broker notifies it of every publish, delivery and settlement, which
costs each message in the virtual host a few microseconds. It shows no bodies. If the reader is too slow, events are
dropped and counted.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice
from typing import Final

import msgspec

from leveret.core.client.party import Party
from leveret.core.client.receiver import Receiver
from leveret.core.client.settling import ACK, DISCARD, REQUEUE, RETURN
from leveret.core.message.confirm import Confirm
from leveret.core.message.destination import Destination
from leveret.core.message.message import Address, Message
from leveret.core.queue.base import BaseQueue
from leveret.core.queue.client import PASS, Client, Observer
from leveret.core.queue.dead_letter import REJECTED
from leveret.core.queue.entry import QueueEntry
from leveret.core.turn.clock import Clock
from leveret.management.explaining.reasons import topic_parts

BUFFER: Final = 1_000  # events not read yet
MOST_QUEUES: Final = 20  # listed for one publish
KNOWN: Final = 10_000  # remembered message numbers, and unsettled deliveries
KNOWN_SIZE: Final = 16 << 20  # maximum total size of these messages in bytes

ENDS: Final = {ACK: "ack", REQUEUE: "requeue", RETURN: "requeue", DISCARD: "reject"}


class Filter(msgspec.Struct, kw_only=True):
    """Selects messages that match all given conditions.

    queue: in this queue. exchange, message_id: of the message. user: the publisher or receiver. routing_key: a topic
    pattern that one of the message's keys matches.
    """

    queue: str | None = None
    exchange: str | None = None
    user: str | None = None
    message_id: str | None = None
    routing_key: str | None = None

    def __str__(self) -> str:
        said = [f"{name.replace('_', ' ')} '{value}'" for name, value in msgspec.structs.asdict(self).items() if value]
        return " and ".join(said) or "everything"

    def fits(self, where: Address) -> bool:
        """Whether exchange and routing key match."""
        if self.exchange is not None and where.exchange != self.exchange:
            return False
        pattern = self.routing_key
        return pattern is None or any(topic_parts(pattern, key) is not None for key in where.keys)


class TraceEvent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An event of a message.

    event: publish, deliver, ack, requeue, reject, dead_letter or drop. at_ms: since 1970. message: a number that is the
    same in all events of a message, as long as it is remembered. user, connection: of the client. published_by: the
    user who published it, if known. queues: some of the queues that a publish reaches; queue_count: their total number.
    outcome: routed, unroutable or returned. reason: why a queue dropped or dead-lettered it.
    """

    event: str
    at_ms: int
    message: int
    exchange: str
    routing_key: str
    more_keys: list[str] = []
    message_id: str = ""
    size: int = 0
    user: str = ""
    connection: str = ""
    published_by: str = ""
    queue: str = ""
    queues: list[str] = []
    queue_count: int = 0
    outcome: str = ""
    consumer_tag: str = ""
    redelivered: bool = False
    no_ack: bool = False
    reason: str = ""
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str = ""


class Delivered:
    """The last receiver of a message of a queue, and the number of the message."""

    __slots__ = ("connection", "message_id", "number", "user")

    def __init__(self, number: int, message_id: str, user: str, connection: str) -> None:
        self.number = number
        self.message_id = message_id
        self.user = user
        self.connection = connection


class Numbers:
    """Numbers messages, and recognizes recent ones by their contents."""

    def __init__(self) -> None:
        self._last = 0
        self._known: OrderedDict[int, tuple[int, bytes]] = OrderedDict()  # by the id of the content
        self._size = 0

    def of(self, message: Message) -> int:
        """The number of a message."""
        content = message.content
        found = self._known.get(id(content)) if content else None
        if found is not None:
            return found[0]
        self._last += 1
        if content:
            self._known[id(content)] = (self._last, content)
            self._size += len(content)
            while len(self._known) > KNOWN or self._size > KNOWN_SIZE:
                self._size -= len(self._known.popitem(last=False)[1][1])
        return self._last


class Trace(Observer):
    """A trace of selected messages. most: events after which it ends. wake: called for new events and at the end.

    told: number of events. dropped: number of events lost. is_over: no further events.
    """

    def __init__(self, filter: Filter, clock: Clock, most: int, wake: Callable[[], None]) -> None:
        self.needs_contents = False
        self.told = 0
        self.dropped = 0
        self._filter = filter
        self._clock = clock
        self._most = most
        self._wake = wake
        self._events: deque[TraceEvent] = deque()
        self._numbers = Numbers()
        self._held: OrderedDict[tuple[int, int], Delivered] = OrderedDict()  # by queue and position, until it is gone

    @property
    def is_over(self) -> bool:
        """Whether the maximum number of events is reached."""
        return self.told >= self._most

    def take(self) -> TraceEvent | None:
        """The next event; None if there is none."""
        return self._events.popleft() if self._events else None

    # -- Observer

    def on_publish(self, client: Client, message: Message, queues: list[Destination], mandatory: bool) -> int:
        """Record the event."""
        wanted = self._filter
        if self.is_over or not isinstance(client, Party) or not wanted.fits(message.address):
            return PASS
        if wanted.queue is not None and all(queue.name != wanted.queue for queue in queues):
            return PASS
        user, message_id = client.user.name, message.message_id()
        if self._is_meant(message_id, user):
            names = (queue.name for queue in queues if queue.name)
            self._tell(
                "publish",
                message,
                message_id,
                user=user,
                connection=client.name,
                queues=list(islice(names, MOST_QUEUES)),
                queue_count=sum(1 for queue in queues if queue.name),
                outcome="routed" if queues else "returned" if mandatory else "unroutable",
            )
        return PASS

    def on_held(self, confirm: Confirm) -> None:
        """Not used: nothing is held."""

    def on_delivery(self, client: Client, entry: QueueEntry, tag: int, no_ack: bool, is_get: bool) -> None:
        """Record the event."""
        if self.is_over or not isinstance(client, Party) or not self._is_of(entry):
            return
        message = entry.message
        user, message_id = client.user.name, message.message_id()
        if not self._is_meant(message_id, user, message.address.user):
            return
        place = _place(entry)
        before = self._held.get(place)
        number = self._tell(
            "deliver",
            message,
            message_id,
            0 if before is None else before.number,
            user=user,
            connection=client.name,
            published_by=message.address.user,
            queue=entry.queue.name,
            consumer_tag="" if entry.consumer is None else entry.consumer.tag,
            redelivered=entry.redelivered,
            no_ack=no_ack,
        )
        if not no_ack:
            self._held[place] = Delivered(number, message_id, user, client.name)
            if len(self._held) > KNOWN:
                self._held.popitem(last=False)

    def on_settle(self, entry: QueueEntry, how: int) -> None:
        """Record the event."""
        if self.is_over or not self._is_of(entry):
            return
        message = entry.message
        place = _place(entry)
        held = self._held.get(place) or _holder(entry)
        if how == ACK:
            self._held.pop(place, None)
        if self._is_meant(held.message_id, held.user, message.address.user):
            self._tell(
                ENDS[how],
                message,
                held.message_id,
                held.number,
                user=held.user,
                connection=held.connection,
                published_by=message.address.user,
                queue=entry.queue.name,
            )

    def on_death(self, entry: QueueEntry, reason: str) -> None:
        """Record the event, unless the rejection was already recorded."""
        if self.is_over or not self._is_of(entry):
            return
        message, queue = entry.message, entry.queue
        held = self._held.pop(_place(entry), None)
        message_id = message.message_id() if held is None else held.message_id
        settings = queue.settings if isinstance(queue, BaseQueue) else None
        exchange = None if settings is None else settings.dead_letter_exchange
        if (exchange is None and reason == REJECTED) or not self._is_meant(message_id, message.address.user):
            return
        key = None if settings is None else settings.dead_letter_routing_key
        self._tell(
            "drop" if exchange is None else "dead_letter",
            message,
            message_id,
            0 if held is None else held.number,
            published_by=message.address.user,
            queue=queue.name,
            reason=reason,
            dead_letter_exchange=exchange,
            dead_letter_routing_key="" if exchange is None else message.address.routing_key if key is None else key,
        )

    # -- internal

    def _is_of(self, entry: QueueEntry) -> bool:
        """Whether queue, exchange and routing key match."""
        wanted = self._filter
        return (wanted.queue is None or wanted.queue == entry.queue.name) and wanted.fits(entry.message.address)

    def _is_meant(self, message_id: str, *users: str) -> bool:
        wanted = self._filter
        if wanted.message_id is not None and wanted.message_id != message_id:
            return False
        return wanted.user is None or wanted.user in users

    def _tell(self, event: str, message: Message, message_id: str, number: int = 0, **about: object) -> int:
        """Add an event. number: of the message, 0 to look it up. Returns: the number."""
        number = number or self._numbers.of(message)
        if len(self._events) >= BUFFER:
            self.dropped += 1
            return number
        where = message.address
        found = TraceEvent(
            event=event,
            at_ms=self._clock.today_ms,
            message=number,
            exchange=where.exchange,
            routing_key=where.routing_key,
            more_keys=[*where.copies, *where.hidden],
            message_id=message_id,
            size=int(message.size),
        )
        for name, value in about.items():
            setattr(found, name, value)
        self.told += 1
        self._events.append(found)
        if len(self._events) == 1 or self.is_over:
            self._wake()
        return number


def _place(entry: QueueEntry) -> tuple[int, int]:
    return int(entry.queue.queue_id), int(entry.position)


def _holder(entry: QueueEntry) -> Delivered:
    """The receiver of a message delivered before the trace began."""
    consumer = entry.consumer
    receiver = None if consumer is None else consumer.subscriber
    party = receiver.party if isinstance(receiver, Receiver) else None
    user, connection = ("", "") if party is None else (party.user.name, party.name)
    return Delivered(0, entry.message.message_id(), user, connection)


def pattern_error(pattern: str) -> str:
    """Why a topic pattern is not allowed; empty if it is."""
    count: int = sum(1 for word in pattern.split(".") if word == "#")
    return f"routing_key can contain at most 2 '#', as in a topic exchange; it has {count}" if count > 2 else ""
