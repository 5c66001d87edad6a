"""Errand: one request of a client without a connection, such as a request to the HTTP API to declare, publish or get.

It has the rights of its user, and ends when it is answered: the creator calls end(). The functions of topology.py
accept an errand as any other party.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.access.user import User
from leveret.core.broker import Broker
from leveret.core.client.party import Party
from leveret.core.client.publisher import Publisher
from leveret.core.client.receiver import Receiver
from leveret.core.client.settling import REQUEUE, settle
from leveret.core.counting.counters import ChannelCounters
from leveret.core.errors.refusals import Refusal
from leveret.core.exchange.exchange import Route
from leveret.core.message.budget import COST
from leveret.core.message.log import NotHereYet
from leveret.core.message.message import Address, Message, address
from leveret.core.queue.client import Held
from leveret.core.queue.consumers import Consumer
from leveret.core.queue.entry import EntryOwner, QueueEntry
from leveret.core.queue.queue import Queue
from leveret.core.turn.background import BackgroundJob
from leveret.core.vhost import VirtualHost
from leveret.wire.properties import BasicProperties

PIECE: Final = 50  # messages fetched at a time
MAX_BYTES: Final = 16 << 20  # of all messages of one request, with their properties, except the last one
PATIENCE_MS: Final = 5_000  # timeout of a log that does not return a message


class Errand(Party):
    """The client of one request, while the request lasts. name: in the log and in traces."""

    def __init__(self, broker: Broker, name: str, user: User, vhost: VirtualHost) -> None:
        super().__init__(broker, name)
        self.user = user
        self.vhost = vhost

    def end(self) -> None:
        """The request is answered."""
        self.forget_routes()
        self.end_counters()

    def held(self, queue: EntryOwner | None) -> list[Held]:
        """Always empty: messages are settled within the request."""
        return []

    def force_close(self, reason: str) -> None:
        """Does nothing: the request ends soon."""

    def close_failed(self) -> None:
        """Does nothing: the request ends soon."""

    def fail(self, doing: str, error: Exception) -> None:
        """Report a failed action."""
        self.broker.faults.tell(self.name, doing, error)


class Posting(Publisher):
    """One message that is published for an errand.

    is_routed: whether a queue gets it. is_settled: whether the outcome is known. refusal: how a queue refused it, as in
    Confirm; 0 if no queue refused it.
    """

    __slots__ = ("_exchange", "_key", "is_routed", "is_settled", "refusal")

    def __init__(self, errand: Errand) -> None:
        super().__init__(errand, ChannelCounters(0, errand.counters), None)
        self.wants_confirms = True
        self.is_routed = True
        self.is_settled = False
        self.refusal: i64 = 0
        self._exchange = ""
        self._key = ""

    def post(self, exchange: str, key: str, properties: BasicProperties, body: bytes) -> None:
        """Publish it; the outcome follows later. Raises: Refusal, as Publisher.publish()."""
        self._exchange = exchange
        self._key = key
        try:
            self.publish_parts(b"", properties, body)
        finally:
            self.party.count_routes()
            self.counters.end()

    def resolve(self, target: bytes) -> Route:
        """The route of the message. Raises: Refusal."""
        return self.route_to(address(self._exchange, self._key), True)

    def named(self, target: bytes) -> Address | None:
        """The address of the message."""
        return address(self._exchange, self._key)

    def returned(self, message: Message) -> None:
        """No queue gets it."""
        self.is_routed = False

    def confirmed(self, tag: i64) -> None:
        """The message is safe, or was not routed."""
        self.is_settled = True

    def refused(self, tag: i64, how: int) -> None:
        """A queue did not take it."""
        self.is_settled = True
        self.refusal = how


class Taken:
    """A message taken from a queue. left: messages still ready."""

    __slots__ = ("entry", "left", "message", "redelivered")

    def __init__(self, entry: QueueEntry, left: int) -> None:
        self.entry = entry
        self.message = entry.message
        self.redelivered = entry.redelivered
        self.left = left


class Taker(Receiver):
    """Takes messages for an errand."""

    __slots__ = ("taken",)

    def __init__(self, errand: Errand) -> None:
        super().__init__(errand, ChannelCounters(0, errand.counters))
        self.taken: list[Taken] = []

    def answer_get(self, tag: i64, entry: QueueEntry, no_ack: bool) -> None:
        """Keep a message for the answer."""
        self.taken.append(Taken(entry, entry.queue.waiting()))

    def deliver(self, consumer: Consumer, entry: QueueEntry) -> None:
        """Not called: it has no consumers."""

    def can_take(self) -> bool:
        """Always false: it has no consumers."""
        return False

    def cancelled(self, consumer: Consumer) -> None:
        """Not called: it has no consumers."""


class Collection(BackgroundJob):
    """Takes messages from the head of a queue for an errand, and settles them when all have been taken.

    taken: messages so far. size: approximate bytes of memory that they need. is_done: all are settled. refusal: why no
    more came. count: number of messages wanted. how: one of those of settling.py.
    """

    def __init__(self, errand: Errand, queue: str, count: int, how: int) -> None:
        self.size: i64 = 0
        self.is_done = False
        self.refusal: Refusal | None = None
        self._errand = errand
        self._taker = Taker(errand)
        self._queue: Queue = self._taker.queue_to_get(queue)
        self._count = count
        self._how = how
        self._has_all = False
        self._until_ms: i64 = errand.broker.clock.now_ms + PATIENCE_MS

    @property
    def taken(self) -> list[Taken]:
        """The messages so far, in order."""
        return self._taker.taken

    def work(self) -> bool:
        """Take some, or settle some. Returns: whether that is all for now."""
        if not self._has_all:
            try:
                self._has_all = self._take_some()
            except NotHereYet:
                if self._errand.broker.clock.now_ms < self._until_ms:
                    self._queue.wait_for_log(self)
                    return True
                self._has_all = True
            except Refusal as refusal:
                self.refusal = refusal
                self._has_all = True
            return False
        return self._settle_some()

    def _take_some(self) -> bool:
        """Take up to PIECE messages. Returns: whether no more are wanted or ready. Raises: NotHereYet, Refusal."""
        queue = self._queue
        for _ in range(PIECE):
            if len(self.taken) >= self._count or self.size >= MAX_BYTES or queue.deleted:
                return True
            if not queue.clear_head():
                return False
            if not self._taker.take(queue, False):
                return True
            self.size += len(self.taken[-1].message.content) + COST
        return False

    def _settle_some(self) -> bool:
        """Settle up to PIECE messages. Returns: whether none is left."""
        unacked = self._taker.unacked
        for _ in range(PIECE):
            entry = unacked.take_oldest(self._taker.last_tag)
            if entry is None:
                self._taker.counters.end()
                self.is_done = True
                return True
            settle(entry, self._how, self._taker.counters)
        return False

    def fail(self, doing: str, error: Exception) -> None:
        """Report the fault; the job is tried again."""
        self._errand.fail(doing, error)

    def give_up(self) -> None:
        """It has failed too often: requeue its messages."""
        for _, entry in self._taker.unacked.take_up_to(0):
            settle(entry, REQUEUE, self._taker.counters)
        self._taker.counters.end()
        self.is_done = True
