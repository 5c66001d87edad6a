"""BaseQueue: the interface of a queue for its own parts."""

from __future__ import annotations

from abc import abstractmethod

from mypy_extensions import i64

from leveret.core.counting.counters import QueueCounters
from leveret.core.errors.diagnostics import Origin
from leveret.core.message.budget import Pageable
from leveret.core.message.cost import copying, freeing, sending
from leveret.core.message.log import Logged
from leveret.core.message.message import Message
from leveret.core.policy.arguments import QUORUM, Definition, QueueSettings
from leveret.core.queue.consumers import Consumers
from leveret.core.queue.entry import EntryOwner, Home, QueueEntry
from leveret.core.queue.ready import Ready
from leveret.core.queue.surroundings import Surroundings
from leveret.core.turn.flow_control import FlowControl
from leveret.wire.fields import Table


class BaseQueue(EntryOwner, Logged, Pageable):
    """The state of one queue.

    owner: the connection's number if exclusive, else 0. log: the storage of its messages.
    unacked: unacknowledged messages; unacked_bytes: of their bodies. delivered: messages ever sent or fetched.
    letters: dead letters that must arrive elsewhere and have not yet; letter_bytes: of their bodies.
    unfinished: messages for which an operation failed, with its name.
    overrides: changes by an operator, by the keys of policies; see core/policy/overrides.py.
    counters: without those of current consumers and without acks; see total().
    """

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
        super().__init__(vhost, name, queue_id)
        self.broker = broker
        self.log = broker.log
        self.origin = origin
        self.durable = durable
        self.owner = owner
        self.auto_delete = auto_delete
        self.arguments = arguments
        self.overrides: Definition = {}
        self.settings = QueueSettings(arguments, {})
        self.consumers = Consumers(self.settings.single_active, False)
        self.ready = Ready(broker.budget)
        self.flow_control = FlowControl()
        self.counters = QueueCounters(name)
        self.unacked: i64 = 0
        self.unacked_bytes: i64 = 0
        self.letters: i64 = 0
        self.letter_bytes: i64 = 0
        self.delivered: i64 = 0
        self.unfinished: list[tuple[QueueEntry, str]] = []

    def __str__(self) -> str:
        return f"queue '{self.name}' in vhost '{self.vhost.name}'"

    def counted(self) -> QueueCounters:
        """The counters of its messages."""
        return self.counters

    def total(self) -> QueueCounters:
        """All counts."""
        return self.counters.total([consumer.counts for consumer in self.consumers.all], self.unacked)

    def resident(self) -> i64:
        """Approximate bytes of memory that ready messages need."""
        return self.ready.resident

    def giving_up(self, message: Message) -> i64:
        """The cost of giving up a message; a dead letter costs as much as publishing it."""
        return freeing(message) if self.settings.dead_letter_exchange is None else sending(message)

    def returning(self, message: Message) -> i64:
        """The cost of requeuing a message; quorum queues update its headers."""
        return copying(message) if self.settings.queue_type == QUORUM else 1

    def consumer_timeout_ms(self) -> int:
        """The timeout of deliveries in milliseconds; below 0 if the queue sets none."""
        return self.settings.consumer_timeout_ms

    def is_held_back(self) -> bool:
        """Whether the queue is paused or has a rate limit: then a growing backlog is normal."""
        return self.settings.is_paused or self.settings.delivery_rate > 0

    def waiting(self) -> int:
        """The number of ready messages."""
        return len(self.ready)

    @abstractmethod
    def apply(self, settings: QueueSettings) -> None:
        """Apply new settings: limits drop as much as this turn has room for, and the idle time restarts.

        Messages keep their deadlines. Source: rabbit_amqqueue_process.erl process_args_policy.
        """

    # -- the log

    @abstractmethod
    def load(self, entry: QueueEntry) -> bool:
        """Fetch the content of a single paged-out message. Returns: whether it could be read; if not, it is lost."""

    # -- delivery

    @abstractmethod
    def touch(self) -> None:
        """Mark the queue: a change may let messages flow. It is pumped at the end of this call into the broker."""

    @abstractmethod
    def pump(self) -> None:
        """Deliver ready messages to consumers with room, one each in turn; the rest of many later."""

    @abstractmethod
    def flow(self) -> None:
        """Deliver what can be delivered, before a client examines the queue or changes its consumers.

        A message that a consumer waits for is never counted, fetched, dropped or expired instead of delivered.
        Cost: nothing if nothing has changed since the last pump(); else one pump(), or several in a large backlog.
        """

    @abstractmethod
    def trim(self) -> None:
        """Drop more messages that have expired or exceed a limit."""

    @abstractmethod
    def fetch(self) -> None:
        """Fetch the head into memory, with the messages stored beside it in the log, and deliver."""

    @abstractmethod
    def deliver(self, portion: i64) -> bool:
        """Deliver some messages, whatever the brake of the queue. Returns: whether more could be delivered now."""

    @abstractmethod
    def fetch_later(self) -> None:
        """Continue soon, in a background job: many queues may need this at once, and it takes milliseconds."""

    @abstractmethod
    def look(self) -> None:
        """Drop expired messages from the head, as many as this turn has room for."""

    @abstractmethod
    def let_in(self, entry: QueueEntry) -> None:
        """A held message is due: it goes to its place in the order."""

    @abstractmethod
    def take_back(self, entry: QueueEntry) -> None:
        """A returned message has waited for its delay: it goes to its old place."""

    # -- removal

    @abstractmethod
    def die(self, entry: QueueEntry, reason: str) -> None:
        """Give up a message: drop or dead-letter it. reason: one of those of dead_letter.py."""

    @abstractmethod
    def forget(self, entry: QueueEntry) -> None:
        """Remove a message from the log and from deduplication."""

    @abstractmethod
    def trim_later(self) -> None:
        """Drop more in the background: one call had too much to drop."""

    # -- faults

    @abstractmethod
    def repair(self) -> None:
        """Repeat what has failed, and continue. If it fails again, the queue becomes faulty again."""
