"""PriorityReady: the ready messages of a queue with priorities."""

from __future__ import annotations

from mypy_extensions import i64

from leveret.core.message.budget import COST, Budget
from leveret.core.queue.browsing import Page
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.ready import Ready, Source
from leveret.core.queue.run import Run


class PriorityReady(Ready):
    """A line for each priority, the highest served first. Source: rabbit_priority_queue.erl."""

    __slots__ = ("_lines", "_number")

    def __init__(self, max_priority: int, budget: Budget, source: Source | None = None) -> None:
        super().__init__(budget, source)
        self._lines: list[Ready | None] = [None] * (max_priority + 1)  # each created when needed
        self._number = 0

    def __len__(self) -> int:
        return self._number

    def push(self, entry: QueueEntry) -> None:
        """A new message, at the end of its priority."""
        line = self._line(entry.level)
        line.push(entry)
        self._counted(entry)

    def put_back(self, entry: QueueEntry) -> None:
        """A message that was taken before, to its old place in its priority."""
        line = self._line(entry.level)
        line.put_back(entry)
        self._counted(entry)

    def has_head(self) -> bool:
        """Whether there is a next message; it is then in memory."""
        return self._highest() is not None

    def has_near_head(self) -> bool:
        """Whether there is a next message that need not be fetched."""
        for line in reversed(self._lines):
            if line is not None and len(line):
                return line.has_near_head()
        return False

    def at_rest(self) -> tuple[int, int]:
        """The number of messages paged out in runs, and bytes of their bodies."""
        found = [line.at_rest() for line in self._lines if line is not None]
        return sum([count for count, _ in found]), sum([size for _, size in found])

    def came_back(self) -> int:
        """The number of returned messages that are ready."""
        return sum([line.came_back() for line in self._lines if line is not None])

    def deadline_ms(self) -> i64:
        """When the next message expires; 0 for never or without one. Fetches nothing."""
        for line in reversed(self._lines):
            if line is not None and len(line):
                return line.deadline_ms()
        return 0

    def first(self) -> QueueEntry:
        """The next message. Raises: IndexError when there is none."""
        line = self._highest()
        if line is None:
            raise IndexError("no message is ready")
        return line.first()

    def take(self) -> QueueEntry:
        """Take the next message, which the budget still counts. Raises: IndexError when there is none."""
        line = self._highest()
        if line is None:
            raise IndexError("no message is ready")
        entry = line.take()
        self._number -= 1
        self.size -= entry.message.size
        self.resident -= len(entry.message.content) + COST
        return entry

    def take_at(self, position: i64, shown: QueueEntry | None = None) -> QueueEntry | None:
        """Take the message with this position, of any priority, which the budget still counts; None without one.

        Raises: Unreadable, without any change. Cost: that of Ready.take_at(), for each priority.
        """
        for line in self._lines:
            if line is not None and len(line):
                count, size, resident = len(line), line.size, line.resident
                try:
                    entry = line.take_at(position, shown)
                finally:  # unreadable messages were removed in any case
                    self._number += len(line) - count
                    self.size += line.size - size
                    self.resident += line.resident - resident
                if entry is not None:
                    return entry
        return None

    def items(self) -> list[QueueEntry]:
        """All messages in memory, in the order of delivery. Cost: a copy."""
        return [entry for line in reversed(self._lines) if line is not None for entry in line.items()]

    def pick(self, positions: list[int]) -> list[QueueEntry]:
        """The messages in memory with one of these positions, in no order."""
        return [entry for line in self._lines if line is not None for entry in line.pick(positions)]

    def browse(self, page: Page) -> bool:
        """Show the messages behind the place of a page, the highest priority first."""
        level: i64 = min(page.level, len(self._lines) - 1)
        while level >= 0:
            line = self._lines[level]
            if line is not None:
                if level != page.level:
                    page.level, page.position = level, 0
                if not line.browse(page):
                    return False
            level -= 1
        return True

    def browse_back(self, page: Page) -> bool:
        """As browse(), in reverse: the lowest priority first, and in each the newest message."""
        while page.level < len(self._lines):
            line = self._lines[page.level]
            if line is not None and not line.browse_back(page):
                return False
            page.level += 1
            page.position = page.until + 1
        return True

    def page_out(self, keep: i64, want: i64) -> None:
        """Page out what the log has stored; the highest non-empty priority keeps its head."""
        target = self._budget.used - want
        top: Ready | None = None
        for line in self._lines:
            if line is not None and len(line):
                top = line
        for line in self._lines:
            if line is not None and self._budget.used > target:
                resident = line.resident
                line.page_out(keep if line is top else 0, self._budget.used - target)
                self.resident -= resident - line.resident

    def rest(self, run: Run, level: i64) -> None:
        """Add paged-out messages, behind all others of their priority."""
        self._line(level).rest(run, 0)
        self._number += run.count
        self.size += run.size

    def take_runs(self) -> list[Run]:
        """Take all runs, unread."""
        found: list[Run] = []
        for line in self._lines:
            if line is not None:
                count, size = len(line), line.size
                found += line.take_runs()
                self._number += len(line) - count
                self.size += line.size - size
        return found

    def clear(self) -> None:
        """The queue has ended: drop the references to it."""
        for line in self._lines:
            if line is not None:
                line.clear()
        self._source = None

    def _counted(self, entry: QueueEntry) -> None:
        self._number += 1
        self.size += entry.message.size
        self.resident += len(entry.message.content) + COST

    def _line(self, level: i64) -> Ready:
        line = self._lines[level]
        if line is None:
            line = self._lines[level] = Ready(self._budget, self._source)
        return line

    def _highest(self) -> Ready | None:
        """The line of the highest non-empty priority, with its head in memory."""
        for line in reversed(self._lines):
            if line is not None and len(line):
                count, size, resident = len(line), line.size, line.resident
                try:
                    found = line.has_head()
                finally:
                    self._number += len(line) - count
                    self.size += line.size - size
                    self.resident += line.resident - resident
                if found:
                    return line
        return None
