"""FrontReady: the ready messages of a queue, some of which an operator has put in front of all others.

These keep their positions, and the log is not changed: after a restart, or when a consumer requeues it, each message is
at its old place.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.message.budget import COST, Budget
from leveret.core.queue.browsing import END, TOP, Page
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.ready import Ready
from leveret.core.queue.run import Run

MOST: Final = 10_000  # messages that may be in front: they stay in memory


class FrontReady(Ready):
    """A line, and messages in front of it. line: all others.

    For a Page, the messages in front are above all priorities, and their positions are numbers, in the order in which
    they were put there.
    """

    __slots__ = ("_front", "_next", "_resident", "_size", "line")

    def __init__(self, line: Ready, budget: Budget) -> None:
        super().__init__(budget)
        self.line = line
        self._front: dict[int, QueueEntry] = {}  # by number, in order
        self._next = 1
        self._size: i64 = 0
        self._resident: i64 = 0
        self._sum_up()

    def __len__(self) -> int:
        return len(self.line) + len(self._front)

    def put_in_front(self, entry: QueueEntry) -> bool:
        """Add a message behind the others in front. Returns: whether there was room for it."""
        if len(self._front) >= MOST:
            return False
        self._budget.hold(entry.message)
        self._front[self._next] = entry
        self._next += 1
        self._size += entry.message.size
        self._resident += len(entry.message.content) + COST
        self._sum_up()
        return True

    def number(self, entry: QueueEntry) -> int:
        """The number of a message among those in front; 0 when it is not there. Cost: a pass over all of them."""
        for number, each in self._front.items():
            if each is entry:
                return number
        return 0

    def push(self, entry: QueueEntry) -> None:
        """A new message, at the end."""
        self.line.push(entry)
        self._sum_up()

    def put_back(self, entry: QueueEntry) -> None:
        """A message that was taken before, to its old place among the others."""
        self.line.put_back(entry)
        self._sum_up()

    def has_head(self) -> bool:
        """Whether there is a next message; it is then in memory."""
        if self._front:
            return True
        try:
            return self.line.has_head()
        finally:
            self._sum_up()

    def has_near_head(self) -> bool:
        """Whether there is a next message that need not be fetched."""
        if self._front:
            return True
        found = self.line.has_near_head()
        self._sum_up()
        return found

    def deadline_ms(self) -> i64:
        """When the next message expires, as Ready.deadline_ms()."""
        for entry in self._front.values():
            return entry.deadline_ms
        return self.line.deadline_ms()

    def at_rest(self) -> tuple[int, int]:
        """The number of messages paged out in runs, and bytes of their bodies."""
        return self.line.at_rest()

    def first(self) -> QueueEntry:
        """The next message. Raises: IndexError when there is none."""
        for entry in self._front.values():
            return entry
        return self.line.first()

    def take(self) -> QueueEntry:
        """Take the next message, which the budget still counts. Raises: IndexError when there is none."""
        for number in self._front:
            return self._take_from_front(number)
        entry = self.line.take()
        self._sum_up()
        return entry

    def take_at(self, position: i64, shown: QueueEntry | None = None) -> QueueEntry | None:
        """Take the message with this position, which the budget still counts; None if there is none."""
        for number, entry in self._front.items():
            if entry.position == position:
                return self._take_from_front(number)
        try:
            return self.line.take_at(position, shown)
        finally:
            self._sum_up()

    def _take_from_front(self, number: int) -> QueueEntry:
        entry = self._front.pop(number)
        self._size -= entry.message.size
        self._resident -= len(entry.message.content) + COST
        self._sum_up()
        return entry

    def items(self) -> list[QueueEntry]:
        """All messages in memory, in the order of delivery. Cost: a copy."""
        return list(self._front.values()) + self.line.items()

    def pick(self, positions: list[int]) -> list[QueueEntry]:
        """The messages in memory with one of these positions, in no order."""
        wanted = set(positions)
        return [entry for entry in self._front.values() if entry.position in wanted] + self.line.pick(positions)

    def browse(self, page: Page) -> bool:
        """Show the messages behind the place of a page."""
        if page.level == TOP:
            for number, entry in self._front.items():
                if number > page.position:
                    if page.is_full():
                        return False
                    page.add_front(entry, number)
            page.level, page.position = TOP - 1, 0
        return self.line.browse(page)

    def browse_back(self, page: Page) -> bool:
        """As browse(), in reverse."""
        if page.level != TOP:
            if not self.line.browse_back(page):
                return False
            page.level, page.position = TOP, END
        for number in reversed(list(self._front)):
            if number < page.position:
                if page.is_full():
                    return False
                page.add_front(self._front[number], number)
        return True

    def page_out(self, keep: i64, want: i64) -> None:
        """Page out what the log has stored, but nothing in front."""
        self.line.page_out(keep, want)
        self._sum_up()

    def rest(self, run: Run, level: i64) -> None:
        """Add paged-out messages, behind all others."""
        self.line.rest(run, level)
        self._sum_up()

    def take_runs(self) -> list[Run]:
        """Take all runs, unread."""
        found = self.line.take_runs()
        self._sum_up()
        return found

    def clear(self) -> None:
        """The queue has ended: drop the references to it."""
        self.line.clear()

    def _sum_up(self) -> None:
        self.size = self.line.size + self._size
        self.resident = self.line.resident + self._resident
