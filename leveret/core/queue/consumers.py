"""Consumers of a queue: their turns and prefetch windows.

A consumer is in turn, or parked because its window or its socket is full. Parked consumers cost nothing until they
are woken; so next() checks few consumers, however many there are.
Source: rabbit_queue_consumers.erl (active and blocked consumers, priorities), rabbit_limiter.erl (shared windows).
"""

from __future__ import annotations

from abc import abstractmethod

from mypy_extensions import i64

from leveret.core.counting.counters import ConsumerCounters
from leveret.core.errors.bounds import MILLISECONDS
from leveret.core.queue.entry import EntryOwner, QueueEntry
from leveret.core.turn.turn import Sharer, Turn
from leveret.wire.fields import Table


class Prefetch:
    """A prefetch window. limit: messages; 0 for no limit. used: unacknowledged messages in it.

    asked: the requested limit, before cap().
    """

    __slots__ = ("asked", "limit", "used")

    def __init__(self, limit: i64) -> None:
        self.asked: i64 = limit
        self.limit: i64 = limit
        self.used: i64 = 0

    def cap(self, most: i64) -> None:
        """Limit the window, whatever was requested; below 1 for no limit."""
        asked = self.asked
        self.limit = most if most > 0 and (asked == 0 or asked > most) else asked

    def has_room(self) -> bool:
        """Whether another message fits."""
        return self.limit == 0 or self.used < self.limit


class SharedPrefetch(Prefetch, Sharer):
    """The prefetch window of all consumers of a channel (basic.qos with global).

    Consumers that wait for room get it queue by queue, the longest waiting first: a queue that got some room and wants
    more waits behind the others. Broker.settle() passes on room that a queue does not need. So at rest, no consumer
    waits while there is room.
    """

    __slots__ = ("_is_sharing", "_turn", "_waiting")

    def __init__(self, turn: Turn) -> None:
        super().__init__(0)
        self._turn = turn
        self._is_sharing = False  # settle() will check whether room is left
        self._waiting: dict[EntryOwner, dict[Consumer, None]] = {}  # parked consumers, in the order of parking

    def wait(self, consumer: Consumer) -> None:
        """Wake a parked consumer when it is its turn."""
        waiting = self._waiting.get(consumer.queue)
        if waiting is None:
            waiting = self._waiting[consumer.queue] = {}
        waiting[consumer] = None

    def forget(self, consumer: Consumer) -> None:
        """A consumer has ended."""
        waiting = self._waiting.get(consumer.queue)
        if waiting is not None:
            waiting.pop(consumer, None)
            if not waiting:
                del self._waiting[consumer.queue]

    def resize(self, limit: i64) -> None:
        """Set the limit; 0 for none."""
        self.limit = limit
        self.share()

    def share(self) -> None:
        """Give free room to waiting consumers."""
        if self._waiting and not self._is_sharing and self.has_room():
            self._is_sharing = True
            self._turn.sharing.append(self)
            self._wake_next()

    def share_more(self) -> bool:
        """Wake the next ones if room is left. Returns: whether there were any."""
        if self._waiting and self.has_room():
            self._wake_next()
            return True
        self._is_sharing = False
        return False

    def _wake_next(self) -> None:
        queue = next(iter(self._waiting))
        queue.wake_all(list(self._waiting.pop(queue)))


class Subscriber:
    """Takes deliveries: the consuming half of a client."""

    @abstractmethod
    def deliver(self, consumer: Consumer, entry: QueueEntry) -> None:
        """Send one message. The queue has already counted it in the consumer's windows."""

    @abstractmethod
    def can_take(self) -> bool:
        """Whether the connection to the client has room."""

    @abstractmethod
    def cancelled(self, consumer: Consumer) -> None:
        """The queue has ended, and the consumer with it."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """One of the calls above has failed: close the client later."""


class Consumer:
    """One basic.consume.

    window: its own prefetch; shared: that of all consumers of its channel. A consumer without acknowledgements uses
    neither, but a full shared window stops it too.
    timeout_ms: how long a delivery may wait for its ack; below 0 if not set.
    counts: without acks; see total(). head: data of the protocol for the beginning of each delivery; the core does not
    use it.
    """

    __slots__ = (
        "active",
        "arguments",
        "counts",
        "exclusive",
        "head",
        "no_ack",
        "parked",
        "priority",
        "queue",
        "shared",
        "subscriber",
        "tag",
        "timeout_ms",
        "window",
    )

    def __init__(
        self,
        subscriber: Subscriber,
        queue: EntryOwner,
        tag: str,
        no_ack: bool,
        exclusive: bool,
        priority: i64,
        arguments: Table,
        window: Prefetch,
        shared: SharedPrefetch,
    ) -> None:
        self.subscriber = subscriber
        self.queue = queue
        self.tag = tag
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.priority: i64 = priority
        self.arguments = arguments
        self.window = window
        self.shared = shared
        self.timeout_ms = MILLISECONDS.of(arguments.get("x-consumer-timeout"), -1) if arguments else -1
        self.counts = ConsumerCounters(no_ack)
        self.head: object = None
        self.parked = False
        self.active = True  # until it is cancelled or fails

    def total(self) -> ConsumerCounters:
        """All that it has done."""
        return self.counts.total(self.window.used)

    def can_take(self) -> bool:
        """Whether a message may be sent now."""
        if self.shared.limit and not self.shared.has_room():
            return False
        if not self.no_ack and not self.window.has_room():
            return False
        try:
            return self.subscriber.can_take()
        except Exception as error:
            self.fail("ask a consumer for room", error)
            return False

    def fail(self, doing: str, error: Exception) -> None:
        """Its subscriber has failed: it gets no more messages, and its client is closed."""
        self.active = False
        self.subscriber.fail(doing, error)

    def park(self) -> None:
        """It has no room: wake it when it may have some."""
        self.parked = True
        if self.active and not self.shared.has_room():
            self.shared.wait(self)


class Consumers:
    """All consumers of one queue.

    single_active: only one gets messages, until it ends; then the first one of the highest priority.
    has_least_loaded_first: among those of the highest priority, the consumer with the fewest unacknowledged messages is
    next, not the one that has waited longest. gives_way: when a consumer of higher priority comes, the single active
    one gets no more messages, and is replaced once it has none outstanding, as in quorum queues. Source:
    rabbit_fifo.erl activate_next_consumer.
    """

    __slots__ = (
        "_chosen",
        "_is_leaving",
        "_is_special",
        "_stale",
        "_turn",
        "all",
        "gives_way",
        "has_least_loaded_first",
        "single_active",
    )

    def __init__(self, single_active: bool, gives_way: bool = False) -> None:
        self.all: dict[Consumer, None] = {}  # in the order of arrival
        self.single_active = single_active
        self.gives_way = gives_way
        self.has_least_loaded_first = False
        self._is_special = single_active  # next() does not only go by turns
        self._chosen: Consumer | None = None  # the single active consumer
        self._is_leaving = False  # it will be replaced
        self._turn: list[Consumer] = []  # not parked; higher priority first, then the longest waiting
        self._stale = 0  # ended consumers in _turn

    def __len__(self) -> int:
        return len(self.all)

    @property
    def exclusive(self) -> bool:
        """Whether the only consumer is exclusive."""
        return len(self.all) == 1 and next(iter(self.all)).exclusive

    @property
    def chosen(self) -> Consumer | None:
        """The single active consumer, if any."""
        return self._chosen

    def add(self, consumer: Consumer) -> None:
        """Add a consumer behind the others of its priority."""
        if self.single_active:
            self._choose(consumer)
        self.all[consumer] = None
        self._enqueue(consumer)

    def remove(self, consumer: Consumer) -> None:
        """The consumer has ended. Its place in turn is cleared later, with others: thousands may end at once."""
        consumer.active = False
        consumer.shared.forget(consumer)
        del self.all[consumer]
        if consumer is self._chosen:
            self._chosen = None
            self._is_leaving = False
        if not consumer.parked:
            self._stale += 1
            if self._stale * 2 > len(self._turn):
                self._clear_stale()

    def wake(self, consumer: Consumer) -> None:
        """A parked consumer may have room again."""
        if consumer.parked and consumer.active:
            consumer.parked = False
            self._enqueue(consumer)

    def next(self) -> Consumer | None:
        """The consumer whose turn it is; it moves behind the others of its priority."""
        if self._is_special:
            return self._first() if self.single_active else self._least_loaded()
        turn = self._turn
        at = 0
        while at < len(turn):
            consumer = turn[at]
            if consumer.active and consumer.can_take():
                if at:
                    del turn[:at]  # in one step: there may be thousands
                if len(turn) > 1:
                    del turn[0]
                    self._enqueue(consumer)
                return consumer
            if not consumer.active and self._stale:
                self._stale -= 1
            consumer.park()
            at += 1
        turn.clear()
        self._stale = 0
        return None

    def set_order(self, has_least_loaded_first: bool) -> None:
        """Set how the next consumer is chosen."""
        self.has_least_loaded_first = has_least_loaded_first
        self._is_special = self.single_active or has_least_loaded_first

    def _least_loaded(self) -> Consumer | None:
        """The consumer with the fewest unacknowledged messages; the longest waiting one if several have as few.

        Cost: a pass over those of the highest priority, up to the first that has none.
        """
        turn = self._turn
        while True:
            best: i64 = -1
            load: i64 = 0
            at: i64 = 0
            while at < len(turn):
                consumer = turn[at]
                if best >= 0 and consumer.priority < turn[best].priority:
                    break
                if consumer.active and (best < 0 or consumer.window.used < load):
                    best = at
                    load = consumer.window.used
                    if not load:
                        break
                at += 1
            if best < 0:
                return None
            consumer = turn[best]
            del turn[best]
            if consumer.can_take():
                self._enqueue(consumer)
                return consumer
            consumer.park()

    def _first(self) -> Consumer | None:
        """The single active consumer, if it has room."""
        consumer = self._chosen
        if consumer is None or (self._is_leaving and consumer.window.used == 0):
            consumer = self._best()  # only now: thousands may have ended at once
            self._chosen = consumer
            self._is_leaving = False
        if consumer is None or not consumer.active:
            return None  # no consumer, or about to be removed
        if consumer.parked and consumer.shared.limit:
            return None  # others may have waited longer for the room in their window
        if not self._is_leaving and consumer.can_take():
            return consumer
        if not consumer.parked:
            consumer.park()
            self._turn.remove(consumer)
        return None

    def _choose(self, coming: Consumer) -> None:
        """Choose the active consumer when another one comes."""
        chosen = self._chosen or self._best() or coming
        self._chosen = chosen
        if self.gives_way and coming.priority > chosen.priority:
            self._is_leaving = True

    def _best(self) -> Consumer | None:
        """The first one of the highest priority."""
        best: Consumer | None = None
        for consumer in self.all:
            if best is None or consumer.priority > best.priority:
                best = consumer
        return best

    def _clear_stale(self) -> None:
        self._turn = [consumer for consumer in self._turn if consumer.active]
        self._stale = 0

    def _enqueue(self, consumer: Consumer) -> None:
        turn = self._turn
        at = len(turn)
        while at > 0 and turn[at - 1].priority < consumer.priority:
            at -= 1
        turn.insert(at, consumer)
