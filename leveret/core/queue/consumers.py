"""Consumers of a queue: whose turn it is, and how much each may hold unacknowledged.

A consumer is in turn, or parked because its window is full or its socket is. Parked ones cost nothing until they are
woken; next() therefore looks at few consumers however many there are.
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

    asked: the limit that somebody has asked for, where it is capped.
    """

    __slots__ = ("asked", "limit", "used")

    def __init__(self, limit: i64) -> None:
        self.asked: i64 = limit
        self.limit: i64 = limit
        self.used: i64 = 0

    def cap(self, most: i64) -> None:
        """Let it be no wider than this, whatever was asked for; below 1 for any width."""
        asked = self.asked
        self.limit = most if most > 0 and (asked == 0 or asked > most) else asked

    def has_room(self) -> bool:
        """Whether one more fits."""
        return self.limit == 0 or self.used < self.limit


class SharedPrefetch(Prefetch, Sharer):
    """The prefetch window of all consumers of a channel (basic.qos with global).

    Those that it has kept waiting get its room queue by queue, the one that waits longest first: a queue that has got
    something, and would have more, waits behind the others. Room that it does not need is handed on by Broker.settle().
    So at rest there is never room, and somebody who waits for it.
    """

    __slots__ = ("_is_sharing", "_turn", "_waiting")

    def __init__(self, turn: Turn) -> None:
        super().__init__(0)
        self._turn = turn
        self._is_sharing = False  # settle() will look whether there is room left
        self._waiting: dict[EntryOwner, dict[Consumer, None]] = {}  # parked, in the order in which they were

    def wait(self, consumer: Consumer) -> None:
        """A parked consumer is to be woken when it is its turn."""
        waiting = self._waiting.get(consumer.queue)
        if waiting is None:
            waiting = self._waiting[consumer.queue] = {}
        waiting[consumer] = None

    def forget(self, consumer: Consumer) -> None:
        """A consumer is gone."""
        waiting = self._waiting.get(consumer.queue)
        if waiting is not None:
            waiting.pop(consumer, None)
            if not waiting:
                del self._waiting[consumer.queue]

    def resize(self, limit: i64) -> None:
        """From now on it holds so many; 0 for no limit."""
        self.limit = limit
        self.share()

    def share(self) -> None:
        """There may be room: let those have it who wait for it."""
        if self._waiting and not self._is_sharing and self.has_room():
            self._is_sharing = True
            self._turn.sharing.append(self)
            self._wake_next()

    def share_more(self) -> bool:
        """Wake the next ones if those before have left room. Returns: whether there were any."""
        if self._waiting and self.has_room():
            self._wake_next()
            return True
        self._is_sharing = False
        return False

    def _wake_next(self) -> None:
        queue = next(iter(self._waiting))
        queue.wake_all(list(self._waiting.pop(queue)))


class Subscriber:
    """Who takes deliveries: the consuming half of a client."""

    @abstractmethod
    def deliver(self, consumer: Consumer, entry: QueueEntry) -> None:
        """Send one message. The queue has counted it in the consumer's windows already."""

    @abstractmethod
    def can_take(self) -> bool:
        """Whether there is room on the way to the client."""

    @abstractmethod
    def cancelled(self, consumer: Consumer) -> None:
        """The queue is gone, and the consumer with it."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """One of the calls above has failed: its client is to be closed, later."""


class Consumer:
    """One basic.consume.

    window: its own prefetch; shared: the one of all consumers of its channel. Without acknowledgements it takes no room
    in either, but the shared one, when it is full, stops it too.
    timeout_ms: how long a delivery to it may wait for its ack; below 0 where it does not say.
    counts: without acks; see total(). head: what its protocol keeps here, as the beginning of each delivery; the core
    does not look at it.
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
        self.active = True  # until it is cancelled, or fails

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
        """Its subscriber has failed: it gets nothing any more, and its client is closed."""
        self.active = False
        self.subscriber.fail(doing, error)

    def park(self) -> None:
        """It cannot take what it was offered, and is to be woken when it may have room."""
        self.parked = True
        if self.active and not self.shared.has_room():
            self.shared.wait(self)


class Consumers:
    """All consumers of one queue.

    single_active: only one gets messages, until it goes; then the first one of the highest priority.
    has_least_loaded_first: not the one that has waited longest is next, but of the highest priority the one with the
    fewest unacknowledged messages.
    gives_way: it goes as well when one of higher priority comes, as soon as it holds no message any more, and gets
    none until then. So do quorum queues. Source: rabbit_fifo.erl activate_next_consumer.
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
        self.all: dict[Consumer, None] = {}  # in the order in which they came
        self.single_active = single_active
        self.gives_way = gives_way
        self.has_least_loaded_first = False
        self._is_special = single_active  # next() does not go by turns alone
        self._chosen: Consumer | None = None  # the single active one
        self._is_leaving = False  # it gives way
        self._turn: list[Consumer] = []  # not parked; higher priority first, then who waited longest
        self._stale = 0  # consumers in _turn that are gone

    def __len__(self) -> int:
        return len(self.all)

    @property
    def exclusive(self) -> bool:
        """Whether one of them has the queue for itself."""
        return len(self.all) == 1 and next(iter(self.all)).exclusive

    @property
    def chosen(self) -> Consumer | None:
        """The single active one, if only one gets messages."""
        return self._chosen

    def add(self, consumer: Consumer) -> None:
        """A new consumer takes its place behind those of its priority."""
        if self.single_active:
            self._choose(consumer)
        self.all[consumer] = None
        self._enqueue(consumer)

    def remove(self, consumer: Consumer) -> None:
        """The consumer is gone. Its place in turn is cleared later, with others: thousands may go at once."""
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
        """Whose turn it is; the one given goes behind the others of its priority."""
        if self._is_special:
            return self._first() if self.single_active else self._least_loaded()
        turn = self._turn
        at = 0
        while at < len(turn):
            consumer = turn[at]
            if consumer.active and consumer.can_take():
                if at:
                    del turn[:at]  # in one go: they may be thousands
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
        """Say who is next from now on."""
        self.has_least_loaded_first = has_least_loaded_first
        self._is_special = self.single_active or has_least_loaded_first

    def _least_loaded(self) -> Consumer | None:
        """The one with the fewest unacknowledged messages; of two with as many, the one that has waited longer.

        Cost: a look at those of the highest priority, up to the first that has none.
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
        """The only one that gets messages, if it can take one."""
        consumer = self._chosen
        if consumer is None or (self._is_leaving and consumer.window.used == 0):
            consumer = self._best()  # found late: thousands may have gone at once
            self._chosen = consumer
            self._is_leaving = False
        if consumer is None or not consumer.active:
            return None  # or about to be removed
        if consumer.parked and consumer.shared.limit:
            return None  # others may have waited longer for the room in their window
        if not self._is_leaving and consumer.can_take():
            return consumer
        if not consumer.parked:
            consumer.park()
            self._turn.remove(consumer)
        return None

    def _choose(self, coming: Consumer) -> None:
        """Say which one is active, now that another one comes."""
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
