"""Fifo: a FIFO of entries on a plain list, searchable by position."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.queue.browsing import Page
from leveret.core.queue.entry import QueueEntry

COMPACT_AT: Final = 1024  # taken slots at the front before the list is cut


class Fifo:
    """A FIFO on a plain list: cheaper than a deque when compiled. Taken slots are set to None."""

    __slots__ = ("_head", "_items")

    def __init__(self) -> None:
        self._items: list[QueueEntry | None] = []
        self._head: i64 = 0

    def __len__(self) -> int:
        return len(self._items) - self._head

    def push(self, entry: QueueEntry) -> None:
        """Add at the end."""
        self._items.append(entry)

    def first(self) -> QueueEntry:
        """The oldest. Raises: IndexError when empty."""
        entry = self._items[self._head]
        assert entry is not None
        return entry

    def last(self) -> QueueEntry:
        """The newest. Raises: IndexError when empty."""
        return self.at(len(self) - 1)

    def pop(self) -> QueueEntry:
        """Take the oldest. Raises: IndexError when empty."""
        items = self._items
        head = self._head
        entry = items[head]
        assert entry is not None
        items[head] = None
        head += 1
        if head >= COMPACT_AT and head * 2 >= len(items):
            del items[:head]
            head = 0
        elif head == len(items):
            items.clear()
            head = 0
        self._head = head
        return entry

    def at(self, index: i64) -> QueueEntry:
        """The entry at an index, 0 for the oldest. Raises: IndexError."""
        entry = self._items[self._head + index]
        assert entry is not None
        return entry

    def take_at(self, index: i64) -> QueueEntry:
        """Take the entry at an index, 0 for the oldest. Raises: IndexError.

        Cost: moves 8 bytes for each entry behind it, or near the front for each before it.
        """
        entry = self.at(index)
        items = self._items
        at = self._head + index
        if index >= COMPACT_AT:
            del items[at]
            return entry
        items[self._head + 1 : at + 1] = items[self._head : at]
        items[self._head] = entry
        return self.pop()

    def split(self, keep: i64) -> Fifo:
        """Keep only the oldest entries. Returns: the others. Cost: proportional to keep."""
        others = Fifo()
        others._items = self._items
        others._head = self._head + keep
        self._items = self._items[self._head : self._head + keep]
        self._head = 0
        for at in range(others._head - keep, others._head):
            others._items[at] = None
        return others

    def items(self) -> list[QueueEntry]:
        """All, oldest first. Cost: a copy."""
        return [entry for entry in self._items[self._head :] if entry is not None]

    def pick(self, positions: list[int], found: list[QueueEntry]) -> None:
        """Add to found the entries with one of these positions. Cost: a search for each."""
        if not len(self):
            return
        first, last = self.first().position, self.last().position
        for position in positions:
            wanted: i64 = position
            if first <= wanted <= last:
                index = self.find(wanted)
                if index >= 0:
                    found.append(self.at(index))

    def find(self, position: i64) -> i64:
        """The index of the entry with a position; -1 when there is none. Cost: a search."""
        index = self.behind(position - 1)
        return index if index < len(self) and self.at(index).position == position else -1

    def behind(self, position: i64) -> i64:
        """The index of the first entry behind a position."""
        low: i64 = 0
        high: i64 = len(self)
        while low < high:
            middle = (low + high) // 2
            if self.at(middle).position <= position:
                low = middle + 1
            else:
                high = middle
        return low

    def show(self, page: Page) -> bool:
        """Add to a page the entries behind its place. Returns: whether there was room for all."""
        count: i64 = len(self)
        low = self.behind(page.position)
        while low < count:
            entry = self.at(low)
            if entry.position > page.until:
                break
            if page.is_full():
                return False
            page.add(entry)
            low += 1
        return True
