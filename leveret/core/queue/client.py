"""Client and Observer: whose messages come and go, and who sees that; Held: one that a client has."""

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
    """One delivery that waits for its ack.

    connection: its name. label: what its client calls it. channel: number of the channel. consumer_tag: empty for
    basic.get. delivery_tag: on that channel. entry: its place in the queue.
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
    """A connection, as an administrator sees it. Before its login it is nobody's, and before its open it is nowhere.

    What it lets go of is left to the log, or found again: contents of deliveries that wait for an ack, cached routes.
    """

    @abstractmethod
    def belongs_to(self, user: User | None, vhost: Home | None) -> bool:
        """Whether it is this user's and uses this virtual host; None for any."""

    @abstractmethod
    def forget_queue(self, queue: EntryOwner) -> None:
        """A queue that is exclusive to it is deleted."""

    @abstractmethod
    def held(self, queue: EntryOwner | None) -> list[Held]:
        """What its client has of a queue, or of all, and has not settled. Cost: a look at all of it."""

    def note_oldest(self, sent_ms: dict[int, int]) -> None:
        """Note when the oldest message was sent that its client has, on the core's clock, by the id of its queue.

        sent_ms: what is known so far, of others. Cost: a look at all that it has.
        """
        for held in self.held(None):
            queue_id = held.entry.queue.queue_id
            sent_ms[queue_id] = min(int(held.since_ms), sent_ms.get(queue_id, int(held.since_ms)))

    @abstractmethod
    def count_routes(self) -> None:
        """Let exchanges count what is only noted with its cached routes. Cost: those used since the last time."""

    @abstractmethod
    def total(self) -> ConnectionCounters:
        """All that it has done."""

    @abstractmethod
    def force_close(self, reason: str) -> None:
        """Close it with connection.close 320."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """Something that was done for it has failed: it is closed, as soon as what is going on now is through."""


PASS: Final = 0  # what becomes of a publish
REFUSE: Final = 1  # it goes nowhere, and is nacked if its publisher waits for confirms
STRAY: Final = 2  # it goes nowhere, as one that no binding matches
HOLD: Final = 3  # it goes its way, but its confirm has to wait
FOLLOW: Final = 4  # it goes its way, and a Follower hears how that ends

WATCH: Final = "show an observer what passes"  # what fails when an observer does


@mypyc_attr(allow_interpreted_subclasses=True)
class Follower:
    """Who follows a message that is published, which is a Followed from then on, as long as it is in memory."""

    @abstractmethod
    def on_published(self, is_confirmed: bool, how: int) -> None:
        """The publish is over, confirmed or refused; at once where nobody waits for that, or it waits for a commit.

        how: one of those of core/message/confirm.py with which it was refused, 0 if it was not.
        """


@mypyc_attr(allow_interpreted_subclasses=True)
class Observer:
    """Who sees what clients do with messages in a virtual host. Called in the middle of it: it may only take notes.

    needs_contents: whether the content of a delivery is to stay in memory until it is settled.
    """

    needs_contents = True

    @abstractmethod
    def on_publish(self, client: Client, message: Message, queues: list[Destination], mandatory: bool) -> int:
        """A message goes to these queues. Returns: what becomes of it. Raises: Refusal, which the client gets."""

    @abstractmethod
    def on_held(self, confirm: Confirm) -> None:
        """This confirm is held for the last on_publish(), and has to be paid or refused once."""

    def follower(self) -> Follower | None:
        """Who follows the message of the last on_publish(), which has said FOLLOW."""
        return None

    @abstractmethod
    def on_delivery(self, client: Client, entry: QueueEntry, tag: i64, no_ack: bool, is_get: bool) -> None:
        """A message was sent to a client. tag: its delivery tag. is_get: the client has asked for it with basic.get."""

    @abstractmethod
    def on_settle(self, entry: QueueEntry, how: int) -> None:
        """A delivery is settled: ACK, REQUEUE, RETURN or DISCARD of core/client/settling.py."""

    def on_death(self, entry: QueueEntry, reason: str) -> None:
        """A queue gives up a message, which may become a dead letter. reason: one of those of dead_letter.py."""
