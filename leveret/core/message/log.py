"""MessageLog: where persistent messages rest, and what it tells of them.

A queue has one, its `log`: that of its broker unless it was given another before its first message. Nothing that a
queue asks of its log has to be there at once. That a message is safe is told later; so is what fetch() wants, where it
comes from afar. And a log may stop being the queue's own at any time, since another node has it now.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from librt.strings import BytesWriter, write_i64_be
from mypy_extensions import i64, mypyc_attr, trait

from leveret.core.message.message import Message


@mypyc_attr(allow_interpreted_subclasses=True)
class LogListener:
    """What a MessageLog tells. Always called on the thread of the core, never from inside a call of the log."""

    @abstractmethod
    def on_durable(self, queue_id: int, position: int) -> None:
        """Everything of this queue up to and including position is safe, or was removed before it was written."""

    @abstractmethod
    def on_refused(self, queue_id: int, positions: list[int], reason: str, again: bool) -> None:
        """These messages could not be stored and will not be.

        again: the queue should not have them either, so that whoever sent them sends them again. Otherwise it keeps
        them while the broker runs.
        """

    @abstractmethod
    def on_fetched(self, queue_id: int) -> None:
        """What fetch() has answered with NotHereYet is here, or cannot be read: ask again."""

    @abstractmethod
    def on_lost(self, queue_id: int, reason: str) -> None:
        """The log is not this queue's own any more, and tells nothing more of it: whoever has it now has the queue."""

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


@mypyc_attr(native_class=False)
class NotHereYet(Exception):
    """Messages are on their way from the log. LogListener.on_fetched() follows."""


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

    def transfer(self, begins: bool) -> None:
        """Messages go from queue to queue until transfer(False), which comes in the same call of the core.

        What is appended and what is removed meanwhile is written as one, or not at all: after a crash a message is in
        one of the queues. It is not refused when it cannot be written, but tried again.
        """

    @abstractmethod
    def delivered(self, queue_id: int, position: int) -> None:
        """A message was given to a consumer: from now on it comes back from recover() as redelivered."""

    def counted(self, queue_id: int, position: int, counts: int) -> None:
        """A message came back. counts: as QueueEntry has them, never less than before.

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
        the disk; blocks.
        Raises: Unreadable when they cannot be read now, for a reason that is none of theirs. NotHereYet when they will
        be here for the same call behind on_fetched(); never before Logged.recovered().
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
class Logged:
    """What has messages in the MessageLog, under an id of its own."""

    @abstractmethod
    def restore(self, found: Recovered) -> None:
        """Take a message from the log at start-up. Its deadline is the old one if it is known."""

    @abstractmethod
    def rest(self, found: Resting) -> int:
        """Take messages at start-up and leave them in the log. Returns: how many."""

    @abstractmethod
    def recovered(self) -> None:
        """All have been taken that the log kept."""

    @abstractmethod
    def on_durable(self, position: int) -> None:
        """The log has everything up to this position."""

    @abstractmethod
    def on_resting(self, position: int) -> None:
        """The log has everything that is there to rest up to this position."""

    @abstractmethod
    def on_refused(self, positions: list[int], again: bool) -> None:
        """The log could not take these; their publishers hear a nack. again: as in LogListener."""

    @abstractmethod
    def on_fetched(self) -> None:
        """What was not here yet is here."""

    @abstractmethod
    def on_lost(self, reason: str) -> None:
        """The log is somebody else's from now on."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """One of the calls above has failed."""
