"""Client, Observer and Held: a client as its queues see it, who watches it, and one delivery that it holds."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from mypy_extensions import i64, mypyc_attr, trait

from leveret.core.access.user import User
from leveret.core.counting.counters import ConnectionCounters
from leveret.core.message.budget import Holder
from leveret.core.message.confirm import Confirm
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message
from leveret.core.queue.entry import EntryOwner, Home, QueueEntry
from leveret.core.turn.faults import Closable


class Held:
    """One unacknowledged delivery.

    connection: its name. label: the name that the client gives it. channel: number of the channel. consumer_tag: empty
    for basic.get. delivery_tag: on that channel. entry: its place in the queue.
    """

    __slots__ = ("channel", "connection", "consumer_tag", "delivery_tag", "entry", "label")

    def __init__(
        self, connection: str, label: str, channel: int, consumer_tag: str, delivery_tag: int, entry: QueueEntry
    ) -> None:
        self.connection = connection
        self.label = label
        self.channel = channel
        self.consumer_tag = consumer_tag
        self.delivery_tag = delivery_tag
        self.entry = entry

    @property
    def since_ms(self) -> i64:
        """When it was sent, on the core's clock."""
        return self.entry.sent_ms


@trait
class Client(Holder, Closable):
    """A connection, as administration sees it. It has no user before its login, and no virtual host before its open.

    release() pages out the contents of unacknowledged deliveries, and drops cached routes.
    """

    @abstractmethod
    def belongs_to(self, user: User | None, vhost: Home | None) -> bool:
        """Whether it belongs to this user and this virtual host; None for any."""

    @abstractmethod
    def forget_queue(self, queue: EntryOwner) -> None:
        """An exclusive queue of this connection is deleted."""

    @abstractmethod
    def held(self, queue: EntryOwner | None) -> list[Held]:
        """The unacknowledged deliveries of a queue, or of all queues. Cost: a pass over all of them."""

    def note_oldest(self, sent_ms: dict[int, int]) -> None:
        """Note when the oldest unacknowledged message of each queue was sent, on the core's clock, by queue id.

        sent_ms: the times found so far, of other connections. Cost: a pass over all its deliveries.
        """
        for held in self.held(None):
            queue_id = held.entry.queue.queue_id
            sent_ms[queue_id] = min(int(held.since_ms), sent_ms.get(queue_id, int(held.since_ms)))

    @abstractmethod
    def count_routes(self) -> None:
        """Pass the counts of its cached routes to the exchanges. Cost: the routes used since the last time."""

    @abstractmethod
    def total(self) -> ConnectionCounters:
        """All counts."""

    @abstractmethod
    def force_close(self, reason: str) -> None:
        """Close it with connection.close 320."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """An action for the connection has failed: close it after the current call."""


PASS: Final = 0  # what happens to a publish: as usual
REFUSE: Final = 1  # not routed, and nacked if its publisher uses confirms
STRAY: Final = 2  # not routed, as if no binding matched
HOLD: Final = 3  # routed, but its confirm is held back
FOLLOW: Final = 4  # routed, and a Follower gets the result

WATCH: Final = "show an observer what passes"  # the failed action when an observer raises


@mypyc_attr(allow_interpreted_subclasses=True)
class Follower:
    """Follows a published message, which is a Followed from then on, as long as it is in memory."""

    @abstractmethod
    def on_published(self, is_confirmed: bool, how: int) -> None:
        """The publish is confirmed or refused; called at once without confirms, and in a transaction.

        how: the reason of a refusal, one of those of core/message/confirm.py; 0 without one.
        """


@mypyc_attr(allow_interpreted_subclasses=True)
class Observer:
    """Sees what clients do with messages in a virtual host. Called in the middle of it: it may only take notes.

    needs_contents: whether the content of a delivery must stay in memory until it is settled.
    """

    needs_contents = True

    @abstractmethod
    def on_publish(self, client: Client, message: Message, queues: list[Destination], mandatory: bool) -> int:
        """A message is routed to these queues. Returns: what happens to it. Raises: Refusal, which the client gets."""

    @abstractmethod
    def on_held(self, confirm: Confirm) -> None:
        """The confirm held for the last on_publish(); the observer must pay or refuse it once."""

    def follower(self) -> Follower | None:
        """The follower of the last on_publish() that returned FOLLOW."""
        return None

    @abstractmethod
    def on_delivery(self, client: Client, entry: QueueEntry, tag: i64, no_ack: bool, is_get: bool) -> None:
        """A message was sent to a client. tag: its delivery tag. is_get: it was requested with basic.get."""

    @abstractmethod
    def on_settle(self, entry: QueueEntry, how: int) -> None:
        """A delivery is settled: ACK, REQUEUE, RETURN or DISCARD of core/client/settling.py."""

    def on_death(self, entry: QueueEntry, reason: str) -> None:
        """A queue gives up a message, which may become a dead letter. reason: one of those of dead_letter.py."""
