"""What the core asks of the world, and what it tells it: small interfaces.

MessageLog and LogListener: where persistent messages rest. DefinitionLog: where declarations rest.
Subscriber: who gets deliveries. ConfirmListener: who hears that a publish is safe. Sink: who has bytes to send.
Client: a connection, as an administrator sees it. Witness: who sees, and may stop, what passes a virtual host.

What one of them raises is caught by whoever calls it on behalf of many, and given to its fail(): see
core/turn/faults.py.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from librt.strings import BytesWriter, write_i64_be
from mypy_extensions import i64, mypyc_attr, trait

from leveret.core.message.budget import Holder

if TYPE_CHECKING:
    from leveret.core.access.user import User
    from leveret.core.message.message import Message, Stored
    from leveret.core.queue.consumers import Consumer
    from leveret.core.queue.queue import Queue
    from leveret.core.vhost import VirtualHost


@mypyc_attr(allow_interpreted_subclasses=True)
class LogListener:
    """What a MessageLog tells. Always called on the thread of the core, never from inside a call of the log."""

    @abstractmethod
    def on_durable(self, queue_id: int, position: int) -> None:
        """Everything of this queue up to and including position is safe, or was removed before it was written."""

    @abstractmethod
    def on_refused(self, queue_id: int, positions: list[int], reason: str) -> None:
        """These messages could not be stored and will not be."""

    @abstractmethod
    def on_definitions_durable(self, revision: int) -> None:
        """Every change of definitions up to and including this revision is safe."""

    @abstractmethod
    def on_behind(self, is_behind: bool) -> None:
        """More waits to be written than should (core/turn/alarms.py, BEHIND_BYTES), or not any more."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """One of the calls above has failed; the log goes on."""


@mypyc_attr(native_class=False)
class Unreadable(Exception):
    """Messages cannot be read from the log now, but can be later: it lacks file descriptors, perhaps."""


class Recovered:
    """A message found in the log. deadline_ms, level: as it was appended. counts: as counted() said last."""

    __slots__ = ("counts", "deadline_ms", "level", "message", "position", "queue_id", "redelivered")

    def __init__(
        self,
        queue_id: int,
        position: int,
        message: Message,
        redelivered: bool,
        deadline_ms: int = 0,
        level: int = 0,
    ) -> None:
        self.queue_id = queue_id
        self.position = position
        self.message = message
        self.redelivered = redelivered
        self.deadline_ms = deadline_ms
        self.level = level
        self.counts: i64 = 0


class Resting:
    """Messages of one queue and one priority that were found in the log, and were left there.

    deadline_ms: of the first one, as it was appended. size: bytes of their bodies. last: position of the last one.
    """

    __slots__ = ("_positions", "deadline_ms", "last", "level", "queue_id", "size")

    def __init__(self, queue_id: int, level: int, deadline_ms: int) -> None:
        self.queue_id = queue_id
        self.level = level
        self.deadline_ms = deadline_ms
        self.size: i64 = 0
        self.last: i64 = 0
        self._positions = BytesWriter()

    def add(self, position: i64, size: i64) -> None:
        """One more, behind the others. size: bytes of its body."""
        write_i64_be(self._positions, position)
        self.last = position
        self.size += size

    def positions(self) -> bytes:
        """Where they are, as fetch() wants it."""
        return self._positions.getvalue()


@mypyc_attr(allow_interpreted_subclasses=True)
class MessageLog:
    """Where persistent messages rest. Never blocks, never calls its listener from inside a call.

    A message of a queue is named by its position, which the queue gives: they increase, from
    behind the last one that recover() has found.
    """

    @abstractmethod
    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int, level: int = 0) -> None:
        """Remember a message. on_durable or on_refused follows.

        deadline_ms: milliseconds since 1970, for the queue to know again after a restart; 0 for none.
        level: its priority in the queue, 0 to 255.
        """

    @abstractmethod
    def remove(self, queue_id: int, position: int) -> None:
        """Forget a message. One that is not yet written never is, and counts as durable."""

    @abstractmethod
    def delivered(self, queue_id: int, position: int) -> None:
        """A message was given to a consumer: from now on it comes back from recover() as redelivered."""

    def counted(self, queue_id: int, position: int, counts: int) -> None:
        """A message came back. counts: as Stored has them, never less than before.

        Nobody waits for this to be written: it goes with what comes next.
        """

    @abstractmethod
    def drop(self, queue_id: int) -> None:
        """Forget all messages of a queue."""

    @abstractmethod
    def flush(self) -> None:
        """Start to write what is pending."""

    def flush_urgent(self) -> bool:
        """As flush(), but what nobody waits for may stay; the driver calls it at the end of every turn.

        An ack that is written for itself would make the next publisher wait for that write and for its own.
        Returns: whether something has stayed; then flush() has to be called within moments.
        """
        self.flush()
        return False

    def can_rest(self) -> bool:
        """Whether contents can be left to it, as extent() and fetch() are about."""
        return False

    def extent(self, queue_id: int, position: int) -> int:
        """The last position of the queue that rests together with this one; 0 when it was never written."""
        return 0

    def fetch(self, queue_id: int, positions: bytes, only_looks: bool = False) -> list[Recovered]:
        """Messages, in order. positions: 8 bytes each, big-endian, ascending.

        Those that cannot be read any more are left out, and are gone, unless somebody only looks. Cost: reads from
        the disk; blocks. Raises: Unreadable when they cannot be read now, for a reason that is none of theirs.
        """
        return []

    @abstractmethod
    def recover(self) -> Iterator[Recovered | Resting]:
        """What survived, per queue in the order of positions: messages, then places to fetch more from.

        Called once, before anything is appended.
        """

    @abstractmethod
    def close(self) -> None:
        """Write what is pending and let go of every resource. May block."""


@trait
class DefinitionLog:
    """Where durable exchanges, queues, bindings rest: a map from (kind, key) to bytes, in order with the messages."""

    @abstractmethod
    def put(self, kind: str, key: str, value: bytes) -> int:
        """Set a value. Returns: the revision of which on_definitions_durable will tell."""

    @abstractmethod
    def delete(self, kind: str, key: str) -> int:
        """Delete a value; one that is not there is fine. Returns: as put()."""

    def gather(self, gathers: bool) -> None:
        """Keep back what changes from now on, and write it as one change when all who asked for that are through.

        Messages that come behind the first change wait with it: they may be for a queue that is in it.
        """

    @abstractmethod
    def load(self) -> list[tuple[str, str, bytes]]:
        """All (kind, key, value), oldest first. Called once, at start-up."""

    def damaged(self) -> list[tuple[str, str, str]]:
        """(kind, key, what is wrong) of values that load() has left out, because they are not what was put."""
        return []


@trait
class Sink:
    """A connection with something to send or to tell its socket."""

    @abstractmethod
    def on_definitions_durable(self, revision: int) -> None:
        """Replies that waited for this revision may go."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """Something that was done for it has failed: it is closed, as soon as what is going on now is through."""


@trait
class Client(Holder):
    """A connection, as an administrator sees it. Before its login it is nobody's, and before its open it is nowhere.

    What it lets go of is left to the log, or found again: contents of deliveries that wait for an ack, cached routes.
    """

    @abstractmethod
    def belongs_to(self, user: User | None, vhost: VirtualHost | None) -> bool:
        """Whether it is this user's and uses this virtual host; None for any."""

    @abstractmethod
    def forget_queue(self, queue: Queue) -> None:
        """A queue that is exclusive to it is deleted."""

    @abstractmethod
    def force_close(self, reason: str) -> None:
        """Close it with connection.close 320."""

    @abstractmethod
    def close_failed(self) -> None:
        """Close it with connection.close 541, since something that was done for it has failed."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """Something that was done for it has failed: it is closed, as soon as what is going on now is through."""


class Subscriber:
    """Who takes deliveries: the consuming half of a channel."""

    @abstractmethod
    def deliver(self, consumer: Consumer, stored: Stored) -> None:
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


class ConfirmListener:
    """Who hears about publishes: the publishing half of a channel in confirm mode."""

    @abstractmethod
    def confirmed(self, tag: i64) -> None:
        """The message is safe wherever it went."""

    @abstractmethod
    def refused(self, tag: i64) -> None:
        """At least one queue did not take the message."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """One of the calls above has failed."""


class Confirm:
    """What one publish still waits for. owed: queues that have neither stored nor refused it.

    position: where the last of them has it, once it waits for the log.
    """

    __slots__ = ("_failed", "_listener", "owed", "position", "tag")

    def __init__(self, listener: ConfirmListener, tag: i64, owed: i64) -> None:
        self._listener = listener
        self.tag: i64 = tag
        self.owed: i64 = owed
        self.position: i64 = 0
        self._failed = False

    def pay(self) -> None:
        """One queue has it safe."""
        self.owed -= 1
        if self.owed == 0:
            try:
                if self._failed:
                    self._listener.refused(self.tag)
                else:
                    self._listener.confirmed(self.tag)
            except Exception as error:
                self._listener.fail("hear of a confirm", error)

    def refuse(self) -> None:
        """One queue did not take it."""
        self._failed = True
        self.pay()


PASS: Final = 0  # what becomes of a publish
REFUSE: Final = 1  # it goes nowhere, and is nacked if its publisher waits for confirms
STRAY: Final = 2  # it goes nowhere, as one that no binding matches
HOLD: Final = 3  # it goes its way, but its confirm has to wait


@mypyc_attr(allow_interpreted_subclasses=True)
class Witness:
    """Who sees what clients do with messages in a virtual host. Called in the middle of it: it may only take notes."""

    @abstractmethod
    def on_publish(self, client: Client, message: Message, queues: list[Queue], mandatory: bool) -> int:
        """A message goes to these queues. Returns: what becomes of it. Raises: AmqpError, which the client gets."""

    @abstractmethod
    def on_held(self, confirm: Confirm) -> None:
        """This confirm is held for the last on_publish(), and has to be paid or refused once."""

    @abstractmethod
    def on_delivery(self, client: Client, stored: Stored, no_ack: bool) -> None:
        """A message was sent to a client, by basic.deliver or basic.get."""

    @abstractmethod
    def on_settle(self, stored: Stored, how: int) -> None:
        """A delivery is settled: ACK, REQUEUE, RETURN or DISCARD of session/transaction.py."""
