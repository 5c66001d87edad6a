"""Transaction: publishes and acknowledgements of a channel in tx mode, until commit or rollback.

Everything is checked when it comes in; a commit can then only be refused by a queue.
Source: rabbit_channel.erl (tx field, handle_method tx.*).
"""

from __future__ import annotations

from mypy_extensions import i64

from leveret.core.errors.amqp import AmqpError
from leveret.core.exchange.exchange import Route
from leveret.core.message.budget import COST
from leveret.core.message.confirm import Confirm, ConfirmListener
from leveret.core.message.destination import Destination, give_up, hand_out
from leveret.core.message.message import Message
from leveret.core.queue.entry import QueueEntry
from leveret.session.base.lane import Lane
from leveret.session.settle.settling import settle
from leveret.session.settle.unacked import Unacked
from leveret.wire.constants import PRECONDITION_FAILED


class Transaction(ConfirmListener):
    """What waits for tx.commit. committing: a commit waits for its messages to be safe."""

    def __init__(self, channel: Lane, unacked: Unacked) -> None:
        self._channel = channel
        self._unacked = unacked
        self._publishes: list[tuple[Message, list[Destination], Route]] = []
        self._size: i64 = 0  # bytes of memory that these need, about
        self._settlements: list[tuple[int, QueueEntry, int]] = []
        self._failed = False
        self._open: i64 = 0
        self.committing = False

    def publish(self, message: Message, queues: list[Destination], route: Route) -> None:
        """Keep a message that was routed. Raises: AmqpError 406 when the transaction has become too large."""
        budget = self._channel.connection.broker.budget
        size: i64 = COST + len(message.content)
        if self._publishes and self._size + size > budget.part():
            text = f"the messages of a transaction must not need more than {budget.part()} bytes of memory"
            raise AmqpError(PRECONDITION_FAILED, text)
        self._size += size
        budget.hold(message)
        self._publishes.append((message, queues, route))

    def settle(self, taken: list[tuple[int, QueueEntry]], how: int) -> None:
        """Keep acknowledgements."""
        self._settlements += [(tag, stored, how) for tag, stored in taken]

    def settlements(self) -> list[tuple[int, QueueEntry]]:
        """The deliveries, by tag, whose acknowledgements wait for the commit."""
        return [(tag, stored) for tag, stored, _ in self._settlements]

    def commit(self) -> None:
        """Do it all; the channel hears committed() when every message is safe."""
        publishes = self._take_publishes()
        settlements, self._settlements = self._settlements, []
        self.committing = True
        self._failed = False
        self._open = 1
        counters = self._channel.counters
        for message, queues, route in publishes:
            counters.inflow(route.exchange.counters).published += 1
            live = [queue for queue in queues if not queue.deleted]
            if live:
                route.exchange.count(live, 1)
                self._open += 1
                hand_out(message, live, Confirm(self, 0, len(live)))
            else:
                self._channel.stranded(message, route.exchange.counters, route.mandatory)
        self._channel.connection.broker.flow()  # what was published goes before what comes back
        for _, stored, how in settlements:
            settle(stored, how, counters)
        self.confirmed(0)

    def rollback(self) -> None:
        """Drop the messages; the deliveries are outstanding again."""
        for message, queues, _ in self._take_publishes():
            give_up(message, queues)
        self._unacked.give_back([(tag, stored) for tag, stored, _ in self._settlements])
        self._settlements = []

    def _take_publishes(self) -> list[tuple[Message, list[Destination], Route]]:
        publishes, self._publishes = self._publishes, []
        self._size = 0
        budget = self._channel.connection.broker.budget
        for message, _, _ in publishes:
            budget.let_go(message)
        return publishes

    def confirmed(self, tag: i64) -> None:
        """One message is safe."""
        self._open -= 1
        if self._open == 0:
            self.committing = False
            self._channel.committed(self._failed)

    def fail(self, doing: str, error: Exception) -> None:
        """The connection has failed."""
        self._channel.connection.fail(doing, error)

    def refused(self, tag: i64) -> None:
        """One message was not taken."""
        self._failed = True
        self.confirmed(tag)
