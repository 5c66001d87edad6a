"""Browsing: lists the ready messages of a queue, page by page, without taking them.

A place in a queue is a priority and a position; it stays valid whatever happens to the queue between two pages.
Messages that have left meanwhile are omitted, and so are messages returned to a place before the page.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.queue.entry import QueueEntry

TOP: Final = 256  # above the highest priority, 255: messages put in front of all others
BOTTOM: Final = 0  # the lowest priority
END: Final = 1 << 62  # a position behind all others
MAX_READS: Final = 8  # runs read from the log for one page at most


class Page:
    """A page of messages of a queue, in the order of delivery.

    level, position: the place behind which the page begins; afterwards that of the next page. If it is filled
    backwards, the place before which it begins, at first BOTTOM and END.
    until: the last position to show; negative for the last one of the queue.
    limit: the maximum number of messages. size_limit: bytes at which the page is full, headers included.
    front: numbers of the messages put in front of all others, which come first, or last backwards.
    is_last: no messages follow. missing: messages that cannot be read from the log any more.
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
        """Whether the page is full."""
        return len(self.messages) >= self.limit or self.size >= self.size_limit

    def add(self, entry: QueueEntry) -> None:
        """Add the next message."""
        self.messages.append(entry)
        self.size += len(entry.message.content)
        self.position = entry.position

    def add_front(self, entry: QueueEntry, number: int) -> None:
        """Add the next message that was put in front of all others."""
        self.add(entry)
        self.front.append(number)
        self.position = number

    def show_reversed(self, part: Page) -> None:
        """Add the messages of another page, which lies before this page's place, in reverse order."""
        for entry in reversed(part.messages):
            self.messages.append(entry)
            self.size += entry.message.size
        self.missing += part.missing

    def room_to_read(self, size: i64) -> i64:
        """The number of messages to read for this page from another run. size: bytes of all its bodies."""
        if self.is_full() or self._reads >= MAX_READS or (self.messages and self.size + size > self.size_limit):
            return 0
        self._reads += 1
        return self.limit - len(self.messages)
