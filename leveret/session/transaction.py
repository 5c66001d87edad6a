"""Transaction: publishes and acknowledgements of a channel in tx mode, until commit or rollback.

Everything is checked when it comes in; a commit can then only be refused by a queue.
Source: rabbit_channel.erl (tx field, handle_method tx.*).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from leveret.core.errors.amqp import AmqpError
from leveret.core.message.budget import COST
from leveret.core.message.confirm import Confirm, ConfirmListener
from leveret.core.message.destination import Destination, give_up, hand_out
from leveret.core.message.message import Message
from leveret.core.queue.dead_letter import REJECTED
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.queue import FORGET
from leveret.core.queue.queue import RETURN as PUT_BACK
from leveret.session import witnessing
from leveret.wire.constants import PRECONDITION_FAILED

if TYPE_CHECKING:
    from leveret.session.channel import Channel

ACK: Final = 0
REQUEUE: Final = 1
RETURN: Final = 2  # requeue, which counts for the delivery limit
DISCARD: Final = 3


def settling(stored: QueueEntry, how: int) -> i64:
    """What settle() costs, in units of core/turn/work.py."""
    queue = stored.queue
    if how == DISCARD:
        return queue.giving_up(stored.message)
    return 1 if how == ACK else queue.returning(stored.message)


def settle(stored: QueueEntry, how: int) -> None:
    """Ack, requeue, return or discard one delivery, which nobody holds any more: if that fails, its queue keeps it."""
    queue = stored.queue
    if queue.vhost.witness is not None:
        witnessing.settled(stored, how)
    try:
        if how == ACK:
            queue.settle(stored)
        elif how == REQUEUE or how == RETURN:
            queue.requeue(stored, how == RETURN)
        else:
            queue.discard(stored)
    except Exception as error:
        queue.leave(stored, FORGET if how == ACK else REJECTED if how == DISCARD else PUT_BACK, error)


class Transaction(ConfirmListener):
    """What waits for tx.commit. committing: a commit waits for its messages to be safe."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._publishes: list[tuple[Message, list[Destination], bool]] = []
        self._size: i64 = 0  # bytes of memory that these need, about
        self._settlements: list[tuple[int, QueueEntry, int]] = []
        self._failed = False
        self._open: i64 = 0
        self.committing = False

    def publish(self, message: Message, queues: list[Destination], mandatory: bool) -> None:
        """Keep a message that was routed. Raises: AmqpError 406 when the transaction has become too large."""
        budget = self._channel.connection.broker.budget
        size: i64 = COST + len(message.content)
        if self._publishes and self._size + size > budget.part():
            text = f"the messages of a transaction must not need more than {budget.part()} bytes of memory"
            raise AmqpError(PRECONDITION_FAILED, text)
        self._size += size
        budget.hold(message)
        self._publishes.append((message, queues, mandatory))

    def settle(self, taken: list[tuple[int, QueueEntry]], how: int) -> None:
        """Keep acknowledgements."""
        self._settlements += [(tag, stored, how) for tag, stored in taken]

    def commit(self) -> None:
        """Do it all; the channel hears committed() when every message is safe."""
        publishes = self._take_publishes()
        settlements, self._settlements = self._settlements, []
        self.committing = True
        self._failed = False
        self._open = 1
        for message, queues, mandatory in publishes:
            live = [queue for queue in queues if not queue.deleted]
            if live:
                self._open += 1
                hand_out(message, live, Confirm(self, 0, len(live)))
            elif mandatory:
                self._channel.publishing.send_back(message)
        self._channel.connection.broker.flow()  # what was published goes before what comes back
        for _, stored, how in settlements:
            settle(stored, how)
        self.confirmed(0)

    def rollback(self) -> None:
        """Drop the messages; the deliveries are outstanding again."""
        for message, queues, _ in self._take_publishes():
            give_up(message, queues)
        self._channel.consuming.unacked.give_back([(tag, stored) for tag, stored, _ in self._settlements])
        self._settlements = []

    def _take_publishes(self) -> list[tuple[Message, list[Destination], bool]]:
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
