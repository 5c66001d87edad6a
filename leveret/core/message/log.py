"""MessageLog: the storage of persistent messages, and the events that it reports.

Each queue has a log, its `log`: that of its broker unless it got another one before its first message. No operation of
a log completes at once: it reports later that a message is safe, and the result of fetch() if the messages come from
another node. A log may leave a queue at any time, when another node takes the queue over.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from librt.strings import BytesWriter, write_i64_be
from mypy_extensions import i64, mypyc_attr, trait

from leveret.core.message.message import Message


@mypyc_attr(allow_interpreted_subclasses=True)
class LogListener:
    """Receives the events of a MessageLog, on the thread of the core, never from inside a call of the log."""

    @abstractmethod
    def on_durable(self, queue_id: int, position: int) -> None:
        """All messages of this queue up to and including position are safe, or were removed before their write."""

    @abstractmethod
    def on_refused(self, queue_id: int, positions: list[int], reason: str, again: bool) -> None:
        """These messages could not be stored and will not be.

        again: the queue should drop them too, so that their publishers send them again. Otherwise it keeps them in
        memory while the broker runs.
        """

    @abstractmethod
    def on_fetched(self, queue_id: int) -> None:
        """The messages for which fetch() raised NotHereYet have arrived, or cannot be read: fetch again."""

    @abstractmethod
    def on_lost(self, queue_id: int, reason: str) -> None:
        """The log no longer belongs to this queue and reports nothing more of it: another node has the queue."""

    @abstractmethod
    def on_definitions_durable(self, revision: int) -> None:
        """Every change of definitions up to and including this revision is safe."""

    def on_conflict(self, kind: str, key: str, value: bytes, revision: int) -> None:
        """Another node has created a definition first, with this value, and that of this node was not written.

        revision: the one that put() returned for it. on_definitions_durable() reports it later.
        """

    @abstractmethod
    def on_behind(self, is_behind: bool) -> None:
        """Whether too much waits to be written (core/turn/alarms.py, BEHIND_BYTES)."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """One of the calls above has failed; the log goes on."""


@mypyc_attr(native_class=False)
class Unreadable(Exception):
    """Messages cannot be read from the log now, but can be later, e.g. when file descriptors are available."""


@mypyc_attr(native_class=False)
class NotHereYet(Exception):
    """Messages are being fetched. LogListener.on_fetched() follows."""


class Recovered:
    """A message found in the log. deadline_ms, level: as it was appended. counts: the latest value of counted()."""

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
    """Messages of one queue and one priority that were found in the log and stay paged out.

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
        """Add a message at the end. size: bytes of its body."""
        write_i64_be(self._positions, position)
        self.last = position
        self.size += size

    def positions(self) -> bytes:
        """Their positions, as fetch() takes them."""
        return self._positions.getvalue()


@mypyc_attr(allow_interpreted_subclasses=True)
class MessageLog:
    """The storage of persistent messages. Never blocks, never calls its listener from inside a call.

    A message of a queue is identified by its position. The queue assigns positions; they increase, starting after the
    last one that recover() has found.
    """

    def owns(self, queue_id: int) -> bool:
        """Whether the messages of this queue are this node's: always, unless other nodes share the log's store.

        Nothing is appended for a queue of another node; everything else that concerns its messages is ignored.
        """
        return True

    @abstractmethod
    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int, level: int = 0) -> None:
        """Store a message. on_durable or on_refused follows.

        deadline_ms: milliseconds since 1970, returned to the queue after a restart; 0 for none.
        level: its priority in the queue, 0 to 255.
        """

    @abstractmethod
    def remove(self, queue_id: int, position: int) -> None:
        """Remove a message. One that is not written yet never will be, and counts as durable."""

    def transfer(self, begins: bool) -> None:
        """Messages move between queues until transfer(False), which comes in the same call of the core.

        All messages appended and removed in between are written atomically: after a crash a message is in one of the
        queues. A write that fails is tried again, not refused.
        """

    @abstractmethod
    def delivered(self, queue_id: int, position: int) -> None:
        """A message was delivered to a consumer: from now on recover() returns it as redelivered."""

    def counted(self, queue_id: int, position: int, counts: int) -> None:
        """A message was returned to its queue. counts: as in QueueEntry, never less than before.

        This is not written at once: it goes with the next write.
        """

    @abstractmethod
    def drop(self, queue_id: int) -> None:
        """Remove all messages of a queue."""

    @abstractmethod
    def flush(self) -> None:
        """Start to write what is pending."""

    def flush_urgent(self) -> bool:
        """As flush(), but may leave writes that no client waits for; the driver calls it at the end of every turn.

        An ack written on its own would make the next publisher wait for two writes.
        Returns: whether something is left; then flush() has to be called within moments.
        """
        self.flush()
        return False

    def can_rest(self) -> bool:
        """Whether messages can be paged out to this log, with extent() and fetch()."""
        return False

    def extent(self, queue_id: int, position: int) -> int:
        """The last position of the queue that is stored together with this one; 0 when it was never written."""
        return 0

    def fetch(self, queue_id: int, positions: bytes, only_looks: bool = False) -> list[Recovered]:
        """Read messages, in order. positions: 8 bytes each, big-endian, ascending.

        Omits messages that cannot be read any more; they are lost, unless only_looks. Cost: reads from the disk;
        blocks.
        Raises: Unreadable when they cannot be read now, for a reason unrelated to them. NotHereYet when the same call
        will return them after on_fetched(); never before Logged.recovered().
        """
        return []

    @abstractmethod
    def recover(self) -> Iterator[Recovered | Resting]:
        """The stored messages, per queue in the order of positions: first messages, then positions of paged-out ones.

        Called once, before the first append.
        """

    @abstractmethod
    def close(self) -> None:
        """Write what is pending and release all resources. May block."""


@trait
class Logged:
    """An object with messages in the MessageLog, under its own id."""

    @abstractmethod
    def restore(self, found: Recovered) -> None:
        """Take a message from the log at start-up. It keeps its old deadline if that is known."""

    @abstractmethod
    def rest(self, found: Resting) -> int:
        """Take messages at start-up and leave them paged out. Returns: how many."""

    @abstractmethod
    def recovered(self) -> None:
        """All messages of the log have been taken."""

    @abstractmethod
    def on_durable(self, position: int) -> None:
        """All messages up to this position are in the log."""

    @abstractmethod
    def on_resting(self, position: int) -> None:
        """All spilled messages up to this position are in the log."""

    @abstractmethod
    def on_refused(self, positions: list[int], again: bool) -> None:
        """The log could not store these; their publishers get a nack. again: as in LogListener."""

    @abstractmethod
    def on_fetched(self) -> None:
        """The messages that were being fetched have arrived."""

    @abstractmethod
    def on_lost(self, reason: str) -> None:
        """Another node has the log from now on."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """One of the calls above has failed."""
