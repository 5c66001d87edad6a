"""QueueEntry: the place of a message in one queue; and the interfaces of that queue for the holders of its messages."""

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

    observer: sees all messages, for tests, recordings, traces and spans. past: counters of deleted exchanges and queues
    and of closed connections. consumers: number of consumers of all queues.
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
        """The destinations of a dead letter published to this exchange; None when the exchange does not exist.

        again: some destinations have it already, and it has passed the exchange's own processing.
        """


class EntryOwner(Destination):
    """A queue, as its consumers and the holders of its messages see it. queue_id: its name in the logs."""

    def __init__(self, vhost: Home, name: str, queue_id: int) -> None:
        super().__init__(name)
        self.vhost = vhost
        self.queue_id = queue_id

    @abstractmethod
    def settle(self, entry: QueueEntry) -> None:
        """An unacknowledged message is acknowledged."""

    @abstractmethod
    def requeue(self, entry: QueueEntry, failed: bool) -> None:
        """Requeue an unacknowledged message at its old place, marked as redelivered, perhaps after a delay.

        failed: whether this counts for the delivery limit, which may remove the message.
        """

    @abstractmethod
    def discard(self, entry: QueueEntry) -> None:
        """An unacknowledged message was rejected without requeue."""

    def giving_up(self, message: Message) -> i64:
        """The cost of giving up a message, in units of core/turn/work.py."""
        return 1

    def returning(self, message: Message) -> i64:
        """The cost of requeuing a message."""
        return 1

    def leave(self, entry: QueueEntry, what: str, error: Exception) -> None:
        """An operation failed on a message without a holder. what: FORGET, RETURN or a reason."""

    def consumer_timeout_ms(self) -> int:
        """The timeout of deliveries in milliseconds; below 0 if the queue sets none."""
        return -1

    def waiting(self) -> int:
        """The number of ready messages."""
        return 0

    def pause(self) -> None:
        """Deliver nothing, and enforce no length limit, until resume(): many messages are about to return."""

    def resume(self) -> None:
        """Continue, unless another pause() is in effect."""

    def unsubscribe(self, consumer: Consumer) -> None:
        """A consumer ends."""

    @abstractmethod
    def leave_content(self, entry: QueueEntry) -> bool:
        """Page out the content of an unacknowledged message, if the log has it and no observer needs it.

        Returns: False if the message is on its way to the log and can be paged out later, else True.
        """

    @abstractmethod
    def wake(self, consumer: Consumer) -> None:
        """A consumer may have room again: put it in turn, unless it shares its window with others that wait too."""

    @abstractmethod
    def wake_all(self, consumers: list[Consumer]) -> None:
        """The shared window of these consumers has room, and it is their turn."""


class QueueEntry:
    """The place of a message in one queue, from publish until it is settled.

    position: increases with every message of the queue; defines the order, also after a requeue. consumer: the holder
    while unacknowledged; None for basic.get. log_id: the id under which the log has it: that of its queue, or the
    negative one if it was only spilled (see core/message/budget.py); 0 if the log does not have it. deadline_ms: when
    it expires, on the core's clock; 0 for never. level: its priority in the queue, 0 without priorities. sent_ms: when
    it was last delivered with acknowledgement, on the core's clock. counts: how often it was returned: FAILURE for each
    return that counts for the delivery limit, plus 1 for each return.
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
        """How often it was delivered and returned."""
        return self.counts & MAX_ACQUIRED
