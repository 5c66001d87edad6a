"""Browsing: to look at the messages that are ready in a queue, page by page, without taking them.

A place in a queue is a priority and a position; it stays good whatever happens to the queue between two pages. What
has gone meanwhile is not shown, nor what came back to a place that was passed.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.queue.entry import QueueEntry

TOP: Final = 256  # above the highest priority, which is 255: what somebody has put in front of all
BOTTOM: Final = 0  # the lowest priority
END: Final = 1 << 62  # a position behind all others
MAX_READS: Final = 8  # runs that are read from the log for one page


class Page:
    """Some messages of a queue, in the order in which they would go.

    level, position: the place behind which it begins; afterwards that behind which the next one does. Where it is
    filled backwards, the place in front of which it begins, at first BOTTOM and END.
    until: the last position of interest; negative for the last one that there is.
    limit: messages that it may have. size_limit: bytes with which it is full, headers included.
    front: numbers of those messages that somebody has put in front of all others, which come first, or last backwards.
    is_last: there is nothing behind. missing: messages that cannot be read from the log any more.
    """

    __slots__ = (
        "_reads",
        "front",
        "is_last",
        "level",
        "limit",
        "messages",
        "missing",
        "position",
        "size",
        "size_limit",
        "until",
    )

    def __init__(self, level: i64, position: i64, until: i64, limit: i64, size_limit: i64) -> None:
        self.level: i64 = level
        self.position: i64 = position
        self.until: i64 = until
        self.limit: i64 = limit
        self.size_limit: i64 = size_limit
        self.messages: list[QueueEntry] = []
        self.size: i64 = 0
        self.missing: i64 = 0
        self.front: list[int] = []
        self.is_last = False
        self._reads: i64 = 0

    def is_full(self) -> bool:
        """Whether no more is wanted."""
        return len(self.messages) >= self.limit or self.size >= self.size_limit

    def add(self, entry: QueueEntry) -> None:
        """Show a message, the next in order."""
        self.messages.append(entry)
        self.size += len(entry.message.content)
        self.position = entry.position

    def add_front(self, entry: QueueEntry, number: int) -> None:
        """Show a message that is in front of all others, the next in order."""
        self.add(entry)
        self.front.append(number)
        self.position = number

    def show_reversed(self, part: Page) -> None:
        """Show what another page shows, which lies in front of this one's place, the last message first."""
        for entry in reversed(part.messages):
            self.messages.append(entry)
            self.size += entry.message.size
        self.missing += part.missing

    def room_to_read(self, size: i64) -> i64:
        """How many messages may be read for this page from another run. size: bytes of its bodies, all together."""
        if self.is_full() or self._reads >= MAX_READS or (self.messages and self.size + size > self.size_limit):
            return 0
        self._reads += 1
        return self.limit - len(self.messages)
