"""The messages of a queue that wait for a consumer, in their order.

New messages come in at the end. One that comes back from a consumer goes to its old place, and that place is in
front of everything that was never delivered: the order is kept by position, and the head is always delivered first.
"""

from heapq import heappop, heappush
from typing import Final

from mypy_extensions import i64

from leveret.core.message import Stored

COMPACT_AT: Final = 1024  # taken slots at the front before the list is cut


class Fifo:
    """A queue of objects on a plain list: cheaper than a deque when compiled. Slots are emptied when taken."""

    __slots__ = ("_head", "_items")

    def __init__(self) -> None:
        self._items: list[Stored | None] = []
        self._head: i64 = 0

    def __len__(self) -> int:
        return len(self._items) - self._head

    def push(self, stored: Stored) -> None:
        """Add at the end."""
        self._items.append(stored)

    def first(self) -> Stored:
        """The oldest. Raises: IndexError when empty."""
        stored = self._items[self._head]
        assert stored is not None
        return stored

    def pop(self) -> Stored:
        """Take the oldest. Raises: IndexError when empty."""
        items = self._items
        head = self._head
        stored = items[head]
        assert stored is not None
        items[head] = None
        head += 1
        if head >= COMPACT_AT and head * 2 >= len(items):
            del items[:head]
            head = 0
        elif head == len(items):
            items.clear()
            head = 0
        self._head = head
        return stored

    def items(self) -> list[Stored]:
        """All, oldest first. Cost: a copy."""
        return [stored for stored in self._items[self._head :] if stored is not None]


class Ready:
    """One line of messages in order of position."""

    __slots__ = ("_fresh", "_returned", "size")

    def __init__(self) -> None:
        self.size: i64 = 0  # bytes of all bodies
        self._fresh = Fifo()
        self._returned: list[tuple[int, Stored]] = []  # heap by position; all before those in _fresh

    def __len__(self) -> int:
        return len(self._fresh) + len(self._returned)

    def push(self, stored: Stored) -> None:
        """A new message, at the end."""
        self.size += stored.message.size
        self._fresh.push(stored)

    def put_back(self, stored: Stored) -> None:
        """A message that was taken before, to its old place."""
        self.size += stored.message.size
        heappush(self._returned, (int(stored.position), stored))

    def first(self) -> Stored:
        """The next to go. Raises: IndexError when empty."""
        if self._returned:
            return self._returned[0][1]
        return self._fresh.first()

    def pop(self) -> Stored:
        """Take the next. Raises: IndexError when empty."""
        stored = heappop(self._returned)[1] if self._returned else self._fresh.pop()
        self.size -= stored.message.size
        return stored

    def items(self) -> list[Stored]:
        """All in order. Cost: a copy."""
        return [stored for _, stored in sorted(self._returned)] + self._fresh.items()


class PriorityReady(Ready):
    """A line for each priority, the highest served first. Source: rabbit_priority_queue.erl."""

    __slots__ = ("_count", "_lines")

    def __init__(self, max_priority: int) -> None:
        super().__init__()
        self._lines: list[Ready | None] = [None] * (max_priority + 1)  # each made when it is needed
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, stored: Stored) -> None:
        """A new message, at the end of its priority."""
        self._count += 1
        self.size += stored.message.size
        self._line(stored.level).push(stored)

    def put_back(self, stored: Stored) -> None:
        """A message that was taken before, to its old place in its priority."""
        self._count += 1
        self.size += stored.message.size
        self._line(stored.level).put_back(stored)

    def first(self) -> Stored:
        """The next to go. Raises: IndexError when empty."""
        return self._highest().first()

    def pop(self) -> Stored:
        """Take the next. Raises: IndexError when empty."""
        stored = self._highest().pop()
        self._count -= 1
        self.size -= stored.message.size
        return stored

    def items(self) -> list[Stored]:
        """All in the order in which they would go. Cost: a copy."""
        return [stored for line in reversed(self._lines) if line is not None for stored in line.items()]

    def _line(self, level: i64) -> Ready:
        line = self._lines[level]
        if line is None:
            line = self._lines[level] = Ready()
        return line

    def _highest(self) -> Ready:
        for line in reversed(self._lines):
            if line is not None and len(line):
                return line
        raise IndexError("no message is ready")
