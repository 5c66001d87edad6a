"""QueueEntry: the place of a message in one queue; and what it, and whoever holds it, has to know of that queue."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from leveret.core.counting.counters import VirtualHostCounters
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message
from leveret.core.turn.turn import Turn

if TYPE_CHECKING:
    from leveret.core.queue.client import Observer
    from leveret.core.queue.consumers import Consumer

MAX_ACQUIRED: Final = 0xFFFFFFFF  # the lower half of QueueEntry.counts
FAILURE: Final = 0x100000000  # 1 in the upper half
MAX_FAILURES: Final = 0x7FFFFFFF


class Home:
    """The virtual host, as its queues see it.

    observer: who sees all messages, for tests, recordings, traces and spans. past: what exchanges, queues and
    connections have done that are gone. consumers: how many there are, of all queues.
    """

    def __init__(self, turn: Turn, name: str, observer: Observer | None) -> None:
        self.turn = turn
        self.name = name
        self.observer = observer
        self.past = VirtualHostCounters()
        self.consumers = 0

    @abstractmethod
    def remove_queue(self, queue: EntryOwner) -> int:
        """Delete a queue with its bindings. Returns: how many messages were ready."""

    @abstractmethod
    def route_letter(self, exchange: str, message: Message, again: bool) -> list[Destination] | None:
        """Where a dead letter goes that is published to this exchange; None when there is no such exchange.

        again: some have got it already, and it has passed what the exchange does with each message.
        """


class EntryOwner(Destination):
    """A queue, as those see it who hold its entries and consume from it. queue_id: its name in the logs."""

    def __init__(self, vhost: Home, name: str, queue_id: int) -> None:
        super().__init__(name)
        self.vhost = vhost
        self.queue_id = queue_id

    @abstractmethod
    def settle(self, entry: QueueEntry) -> None:
        """An unacknowledged message is done with."""

    @abstractmethod
    def requeue(self, entry: QueueEntry, failed: bool) -> None:
        """An unacknowledged message goes back to its old place, marked as redelivered, perhaps after a while.

        failed: whether this counts for the delivery limit, which may end the message.
        """

    @abstractmethod
    def discard(self, entry: QueueEntry) -> None:
        """An unacknowledged message was rejected."""

    def giving_up(self, message: Message) -> i64:
        """What it costs to give up a message, in units of core/turn/work.py."""
        return 1

    def returning(self, message: Message) -> i64:
        """What it costs to take a message back."""
        return 1

    def leave(self, entry: QueueEntry, what: str, error: Exception) -> None:
        """Something could not be done with a message that nobody holds any more. what: FORGET, RETURN or a reason."""

    def consumer_timeout_ms(self) -> int:
        """How long a delivery may wait for its ack; below 0 where the queue does not say."""
        return -1

    def waiting(self) -> int:
        """How many messages are ready."""
        return 0

    def pause(self) -> None:
        """Deliver nothing, and drop nothing that is too much, until resume(): many messages are about to come back."""

    def resume(self) -> None:
        """Go on, if nobody else wants a pause."""

    def unsubscribe(self, consumer: Consumer) -> None:
        """A consumer ends."""

    @abstractmethod
    def leave_content(self, entry: QueueEntry) -> bool:
        """Leave the content of an unacknowledged message to the log, if it rests there and no observer needs it.

        Returns: whether that can be said now: what is on its way to the log can rest later.
        """

    @abstractmethod
    def wake(self, consumer: Consumer) -> None:
        """A consumer may have room again: it is in turn, if it does not share its window with others that wait too."""

    @abstractmethod
    def wake_all(self, consumers: list[Consumer]) -> None:
        """There is room in the window that these share, and it is their turn."""


class QueueEntry:
    """The place of a message in one queue, from publish until it is settled.

    position: grows with every message of the queue; decides the order, also after a requeue.
    consumer: who holds it while unacked; None for basic.get.
    log_id: under which name the log remembers it: that of its queue, or the negative one if it is there only to rest
    (see core/message/budget.py); 0 for not at all.
    deadline_ms: when it expires, on the core's clock; 0 for never.
    level: its priority in the queue, 0 without priorities.
    sent_ms: when it was last given to somebody who has to settle it, on the core's clock.
    counts: how often it came back: FAILURE for each time that counts for the delivery limit, and 1 for each at all.
    """

    __slots__ = (
        "consumer",
        "counts",
        "deadline_ms",
        "level",
        "log_id",
        "message",
        "position",
        "queue",
        "redelivered",
        "sent_ms",
    )

    def __init__(self, message: Message, queue: EntryOwner, position: i64, log_id: i64) -> None:
        self.message = message
        self.queue = queue
        self.position: i64 = position
        self.log_id: i64 = log_id
        self.redelivered = False
        self.deadline_ms: i64 = 0
        self.level: i64 = 0
        self.sent_ms: i64 = 0
        self.counts: i64 = 0
        self.consumer: Consumer | None = None

    @property
    def failures(self) -> i64:
        """Deliveries that count for the delivery limit."""
        return self.counts >> 32

    @property
    def acquired(self) -> i64:
        """How often it was given to somebody and came back."""
        return self.counts & MAX_ACQUIRED
