"""ChunkStore: where a ChunkLog keeps its chunks and definitions. The port between the log and a database.

`Database` (store/database.py) keeps them in a file. Another store may be on another machine: then it reads messages in
a thread of its own, and ChunkReader.prepare() says that they are not there yet.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator

from mypy_extensions import mypyc_attr

from leveret.core.message.message import Message
from leveret.store.chunk import Head, Label
from leveret.store.group import Group


@mypyc_attr(native_class=False)
class StoreError(Exception):
    """The store cannot be used; the text names the reason and the remedy."""


@mypyc_attr(native_class=False)
class WriteError(Exception):
    """A group could not be written; the store is unchanged."""


class Found:
    """A chunk in the store: its head with the places left, or the damage."""

    __slots__ = ("chunk_id", "damage", "head")

    def __init__(self, chunk_id: int, head: Head, damage: str = "") -> None:
        self.chunk_id = chunk_id
        self.head = head
        self.damage = damage


class Messages:
    """The messages of some labels; None for an unreadable one. damage: the reason, or an empty string."""

    def __init__(self) -> None:
        self.labels: list[Label] = []
        self.found: list[Message | None] = []
        self.damage = ""


@mypyc_attr(allow_interpreted_subclasses=True)
class ChunkReader:
    """Reads committed messages for the core's thread, while another thread writes."""

    @abstractmethod
    def load(self, chunk_id: int, head: Head, labels: list[Label]) -> Messages:
        """The messages of labels of a head, during recovery. Blocks. Raises: StoreError unless it is damage."""

    def recovered(self) -> None:
        """The recovery is over: from now on prepare() may return False."""

    def prepare(self, chunk_id: int, queue_id: int, wanted: list[int]) -> bool:
        """Whether read() can return these messages now. If not, they are fetched, and arrived() returns the queue."""
        return True

    def arrived(self) -> list[int]:
        """The ids of queues whose messages have been fetched since the last call."""
        return []

    @abstractmethod
    def read(self, chunk_id: int, queue_id: int, wanted: list[int]) -> Messages:
        """The messages of a queue with these positions, ascending, with their counts. Damage is reported, not raised.

        Raises: Unreadable when they cannot be read now.
        """

    @abstractmethod
    def close(self) -> None:
        """Release all resources."""


@mypyc_attr(allow_interpreted_subclasses=True)
class GroupWriter:
    """Writes groups to a store one after the other, while the core goes on."""

    @abstractmethod
    def commit(self, group: Group) -> None:
        """Queue a group for writing; results() returns its result."""

    @abstractmethod
    def results(self) -> list[tuple[Group, str]]:
        """The groups completed since the last call, each with an error text or an empty string."""

    @abstractmethod
    def close(self) -> None:
        """Write the queued groups, and end. May block."""


@mypyc_attr(allow_interpreted_subclasses=True)
class ChunkStore:
    """Keeps chunks and definitions. Only one thread at a time uses it: the one that opened it, then the committer.

    place: where the data is, as text in a sentence.
    is_new: whether it was created just now. was_clean: whether its last user closed it properly.
    shard_count: number of shards. A chunk has messages of queues of one shard (store/shards.py).
    owned: shards of this node, None for all. The log changes it: gain() adds shards, and one that the log releases
    counts until its move is written. Each change is a new set, so that any thread can read it.
    transient_shard: where this node alone keeps transient messages. A restart forgets them.
    unread: shards of this node whose messages the log does not have completely. Then close() has no marks of them.
    chunk_count: number of chunks, known once chunks() has begun.
    damaged_definitions: kind, key and damage of the definitions that definitions() omitted.
    """

    def __init__(self, place: str, shard_count: int = 1) -> None:
        self.place = place
        self.shard_count = shard_count
        self.is_new = False
        self.was_clean = False
        self.owned: set[int] | None = None
        self.transient_shard = 0
        self.unread: set[int] = set()
        self.chunk_count = 0
        self.damaged_definitions: list[tuple[str, str, str]] = []

    @abstractmethod
    def definitions(self) -> list[tuple[str, str, bytes]]:
        """All (kind, key, value), oldest first, without damaged ones. Raises: StoreError."""

    @abstractmethod
    def chunks(self) -> Iterator[Found]:
        """The heads of all chunks, oldest first, each read on demand. Call it once, and exhaust it.

        Raises: StoreError when the list of chunks cannot be read.
        """

    @abstractmethod
    def aside(self) -> int:
        """The number of chunks set aside, as chunks() found it."""

    @abstractmethod
    def delivered(self) -> dict[int, int]:
        """The highest delivered position of each queue; if unknown, the highest possible. Raises: StoreError."""

    @abstractmethod
    def write(self, group: Group) -> None:
        """Write a sealed group as one change; set aside chunks that turn out to be damaged.

        Reports definitions that another node has created in group.conflicts. The moves of shards are behind all other
        changes of the group. Blocks until the change is durable. Raises: WriteError.
        """

    def writer(self, notify: Callable[[], None]) -> GroupWriter | None:
        """What writes the groups of a log. None for a thread that calls write(). notify: as in Committer."""
        return None

    def tidy(self, is_idle: bool) -> bool:
        """Return some free space to the system, if there is too much. Returns: whether more is left.

        is_idle: whether nothing was written for a second. Raises: WriteError.
        """
        return False

    @abstractmethod
    def reader(self, notify: Callable[[], None]) -> ChunkReader:
        """A reader. notify: called in another thread when it has fetched something. Raises: StoreError."""

    def leave(self) -> None:
        """The log is about to close: a group that is being written may not wait for the store for long any more.

        Called in the core's thread while the committer may be writing.
        """

    @abstractmethod
    def close(self, delivered: dict[int, int] | None = None) -> None:
        """Mark a clean end, and release all resources.

        delivered: the highest delivered position of each queue. None, from a caller that did not read the messages,
        leaves the marks unchanged for the next recovery. Those of unread shards stay as they are in any case, and so
        does whether the last end of these shards was clean.
        """
