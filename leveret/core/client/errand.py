"""Errand: one request of somebody who has no connection, as the HTTP API gets them: to declare, to publish, to get.

It has the rights of its user, and is gone when it is answered: whoever makes one calls end(). What topology.py has
takes an errand as it takes any other party.
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

PIECE: Final = 50  # messages that are fetched at a time
MAX_BYTES: Final = 16 << 20  # of all messages of one request, with their properties, but for the last one
PATIENCE_MS: Final = 5_000  # for a log that does not bring a message


class Errand(Party):
    """Whoever asks, for as long as one request takes. name: what the log and traces call it."""

    def __init__(self, broker: Broker, name: str, user: User, vhost: VirtualHost) -> None:
        super().__init__(broker, name)
        self.user = user
        self.vhost = vhost

    def end(self) -> None:
        """It is answered."""
        self.forget_routes()
        self.end_counters()

    def held(self, queue: EntryOwner | None) -> list[Held]:
        """Nothing that anybody could ask back: what is taken is given back in a moment."""
        return []

    def force_close(self, reason: str) -> None:
        """It ends by itself."""

    def close_failed(self) -> None:
        """It ends by itself."""

    def fail(self, doing: str, error: Exception) -> None:
        """Something that was done for it has failed."""
        self.broker.faults.tell(self.name, doing, error)


class Posting(Publisher):
    """One message that is published for an errand. is_routed: whether a queue gets it; is_settled: whether it is known
    what became of it; refusal: how a queue did not take it, as a Confirm says it, 0 if all have it.
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
        """Publish it; what comes of it is known later. Raises: Refusal, as Publisher.publish()."""
        self._exchange = exchange
        self._key = key
        try:
            self.publish_parts(b"", properties, body)
        finally:
            self.party.count_routes()
            self.counters.end()

    def resolve(self, target: bytes) -> Route:
        """The one route there is. Raises: Refusal."""
        return self.route_to(address(self._exchange, self._key), True)

    def named(self, target: bytes) -> Address | None:
        """The same, for people."""
        return address(self._exchange, self._key)

    def returned(self, message: Message) -> None:
        """No queue gets it."""
        self.is_routed = False

    def confirmed(self, tag: i64) -> None:
        """It is safe, or nowhere."""
        self.is_settled = True

    def refused(self, tag: i64, how: int) -> None:
        """A queue did not take it."""
        self.is_settled = True
        self.refusal = how


class Taken:
    """A message that was taken from a queue. left: how many were ready behind it."""

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
        """Keep it for the answer."""
        self.taken.append(Taken(entry, entry.queue.waiting()))

    def deliver(self, consumer: Consumer, entry: QueueEntry) -> None:
        """Not called: it has no consumers."""

    def can_take(self) -> bool:
        """It has no consumers."""
        return False

    def cancelled(self, consumer: Consumer) -> None:
        """Not called: it has no consumers."""


class Collection(BackgroundJob):
    """Messages that are taken from the head of a queue for an errand, and settled when all of them are there.

    taken: so far. size: what these need of memory, about. is_done: all is over. refusal: why no more came.
    count: how many are wanted. how: one of those of settling.py.
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
        """What there is so far, in order."""
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
        """Returns: whether no more is wanted, or there. Raises: NotHereYet, Refusal."""
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
        """Returns: whether nothing is left."""
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
        """It has failed; it is tried again."""
        self._errand.fail(doing, error)

    def give_up(self) -> None:
        """It has failed too often: what it holds goes back."""
        for _, entry in self._taker.unacked.take_up_to(0):
            settle(entry, REQUEUE, self._taker.counters)
        self._taker.counters.end()
        self.is_done = True
