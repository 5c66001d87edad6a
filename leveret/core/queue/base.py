"""BaseQueue: a queue, as its own parts see it: what it is made of, and what they ask of it."""

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
from leveret.core.turn.flow_control import Pace
from leveret.wire.fields import Table


class BaseQueue(EntryOwner, Logged, Pageable):
    """What there is of one queue.

    owner: the connection's number if exclusive, else 0. log: where its messages rest.
    unacked: messages that subscribers hold; unacked_bytes: of their bodies. delivered: messages ever sent or fetched.
    letters: dead ones that must arrive elsewhere, and have not; letter_bytes: of their bodies.
    unfinished: messages of which something failed, and what.
    overrides: what an operator has said of it, by the keys of policies; see core/policy/overrides.py.
    counters: without those of consumers that are there, and without acks; see total().
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
        self.pace = Pace()
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
        """What counts its messages."""
        return self.counters

    def total(self) -> QueueCounters:
        """All that it has done."""
        return self.counters.total([consumer.counts for consumer in self.consumers.all], self.unacked)

    def resident(self) -> i64:
        """Bytes that ready messages need in memory, about."""
        return self.ready.resident

    def giving_up(self, message: Message) -> i64:
        """What it costs to give up a message: those that become dead letters are made no faster than they are sent."""
        return freeing(message) if self.settings.dead_letter_exchange is None else sending(message)

    def returning(self, message: Message) -> i64:
        """What it costs to take a message back; quorum queues write into its headers that it was delivered."""
        return copying(message) if self.settings.queue_type == QUORUM else 1

    def consumer_timeout_ms(self) -> int:
        """How long a delivery may wait for its ack; below 0 where the queue does not say."""
        return self.settings.consumer_timeout_ms

    def is_held_back(self) -> bool:
        """Whether it is paused or has a rate: then it is nothing unusual that it does not get empty."""
        return self.settings.is_paused or self.settings.delivery_rate > 0

    def waiting(self) -> int:
        """How many messages are ready."""
        return len(self.ready)

    @abstractmethod
    def apply(self, settings: QueueSettings) -> None:
        """Take other settings at once: limits drop as much as this turn has room for, and the idle time starts anew.

        A message keeps the deadline that it came with. Source: rabbit_amqqueue_process.erl process_args_policy.
        """

    # -- what the log has

    @abstractmethod
    def load(self, entry: QueueEntry) -> bool:
        """Fetch the content of a single message that rests. Returns: whether it could be read, or is gone."""

    # -- what flows

    @abstractmethod
    def touch(self) -> None:
        """Something changed that may let messages flow: look at it at the end of this call into the broker."""

    @abstractmethod
    def pump(self) -> None:
        """Give ready messages to the consumers that can take them, one each in turn, and the rest of many later."""

    @abstractmethod
    def flow(self) -> None:
        """Let flow what can flow, before somebody looks at the queue or changes its consumers.

        A message that a consumer waits for is never counted, fetched, dropped or expired instead of delivered.
        Cost: nothing if nothing has changed since the last pump(); else that, or some of them where much flows.
        """

    @abstractmethod
    def trim(self) -> None:
        """Throw away more of what has expired or is too much."""

    @abstractmethod
    def fetch(self) -> None:
        """Bring the head into memory, with what rests beside it in the log, and let it flow."""

    @abstractmethod
    def deliver(self, portion: i64) -> bool:
        """Deliver some messages, whatever brakes the queue. Returns: whether more could be delivered now."""

    @abstractmethod
    def fetch_later(self) -> None:
        """Go on soon: many may want that at once, and it takes milliseconds."""

    @abstractmethod
    def look(self) -> None:
        """Drop what has expired at the head, as much as this turn has room for."""

    @abstractmethod
    def let_in(self, entry: QueueEntry) -> None:
        """A message was held until its time, which has come: it goes to the place that it would have had."""

    @abstractmethod
    def take_back(self, entry: QueueEntry) -> None:
        """A message that came back has waited long enough: it goes to its old place."""

    # -- what ends

    @abstractmethod
    def die(self, entry: QueueEntry, reason: str) -> None:
        """A message is given up. reason: one of those of dead_letter.py."""

    @abstractmethod
    def forget(self, entry: QueueEntry) -> None:
        """Nothing has to remember this message any longer."""

    @abstractmethod
    def trim_later(self) -> None:
        """One call was not enough for what has to go from the queue."""

    # -- faults

    @abstractmethod
    def repair(self) -> None:
        """Try again what has failed, and go on. What fails again makes the queue faulty again."""
