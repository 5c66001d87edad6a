"""Transaction: publishes and acknowledgements of a client that wait until commit or rollback.

All checks are made when they come in; so only a queue can refuse a commit.
Source: rabbit_channel.erl (tx field, handle_method tx.*).
"""

from __future__ import annotations

from abc import abstractmethod

from mypy_extensions import i64

from leveret.core.broker import Broker
from leveret.core.client.settling import settle
from leveret.core.client.unacked import Unacked
from leveret.core.counting.counters import ChannelCounters
from leveret.core.errors.refusals import UNFIT, Refusal
from leveret.core.exchange.exchange import Route
from leveret.core.message.budget import COST
from leveret.core.message.confirm import Confirm, ConfirmListener
from leveret.core.message.destination import Destination, give_up, hand_out
from leveret.core.message.message import Message
from leveret.core.queue.entry import QueueEntry


class PublishListener(ConfirmListener):
    """A publisher, which receives the results of its publishes. counters: see ChannelCounters.total()."""

    def __init__(self, counters: ChannelCounters) -> None:
        self.counters = counters

    def stranded(self, message: Message, route: Route) -> None:
        """No queue gets a message: count it, and return it to the publisher if it is mandatory."""
        inflow = self.counters.inflow(route.exchange.counters)
        inflow.unroutable += 1
        if route.mandatory:
            inflow.returned += 1
            self.returned(message)

    @abstractmethod
    def returned(self, message: Message) -> None:
        """No queue gets a mandatory message. A confirm follows, if requested."""

    def committed(self, failed: bool) -> None:
        """A commit is complete. failed: at least one queue did not take a message."""


class Transaction(ConfirmListener):
    """The operations that wait for the commit. committing: a commit waits until its messages are safe."""

    def __init__(self, listener: PublishListener, broker: Broker, unacked: Unacked) -> None:
        self._listener = listener
        self._broker = broker
        self._unacked = unacked
        self._publishes: list[tuple[Message, list[Destination], Route]] = []
        self._size: i64 = 0  # approximate bytes of memory of these
        self._settlements: list[tuple[int, QueueEntry, int]] = []
        self._failed = False
        self._open: i64 = 0
        self.committing = False

    def publish(self, message: Message, queues: list[Destination], route: Route) -> None:
        """Keep a routed message. Raises: Refusal UNFIT when the transaction has become too large."""
        budget = self._broker.budget
        size: i64 = COST + len(message.content)
        if self._publishes and self._size + size > budget.part():
            text = f"the messages of a transaction must not need more than {budget.part()} bytes of memory"
            raise Refusal(UNFIT, text)
        self._size += size
        budget.hold(message)
        self._publishes.append((message, queues, route))

    def settle(self, taken: list[tuple[int, QueueEntry]], how: int) -> None:
        """Keep acknowledgements."""
        self._settlements += [(tag, entry, how) for tag, entry in taken]

    def settlements(self) -> list[tuple[int, QueueEntry]]:
        """The deliveries, by tag, whose acknowledgements wait for the commit."""
        return [(tag, entry) for tag, entry, _ in self._settlements]

    @property
    def messages(self) -> int:
        """The number of messages that wait for the commit."""
        return len(self._publishes)

    @property
    def acks(self) -> int:
        """The number of acknowledgements that wait for the commit."""
        return len(self._settlements)

    def commit(self) -> None:
        """Execute all; the listener gets committed() when every message is safe."""
        publishes = self._take_publishes()
        settlements, self._settlements = self._settlements, []
        self.committing = True
        self._failed = False
        self._open = 1
        listener = self._listener
        counters = listener.counters
        for message, queues, route in publishes:
            counters.inflow(route.exchange.counters).published += 1
            live = [queue for queue in queues if not queue.deleted or queue.fault]
            if live:
                route.exchange.count(live, 1)
                self._open += 1
                hand_out(message, live, Confirm(self, 0, len(live)))
            else:
                listener.stranded(message, route)
        self._broker.flow()  # publishes go before requeued messages
        for _, entry, how in settlements:
            settle(entry, how, counters)
        self.confirmed(0)

    def rollback(self) -> None:
        """Drop the messages; the deliveries are outstanding again."""
        for message, queues, _ in self._take_publishes():
            give_up(message, queues)
        self._unacked.give_back([(tag, entry) for tag, entry, _ in self._settlements])
        self._settlements = []

    def _take_publishes(self) -> list[tuple[Message, list[Destination], Route]]:
        publishes, self._publishes = self._publishes, []
        self._size = 0
        budget = self._broker.budget
        for message, _, _ in publishes:
            budget.release(message)
        return publishes

    def confirmed(self, tag: i64) -> None:
        """One message is safe."""
        self._open -= 1
        if self._open == 0:
            self.committing = False
            self._listener.committed(self._failed)

    def fail(self, doing: str, error: Exception) -> None:
        """Report the fault to the client."""
        self._listener.fail(doing, error)

    def refused(self, tag: i64, how: int) -> None:
        """One message was not taken."""
        self._failed = True
        self.confirmed(tag)
