"""PendingConfirms: the confirms of one queue that wait until the log has stored their messages."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.message.confirm import AGAIN, Confirm, ConfirmListener

COMPACT_AT: Final = 1024  # paid confirms at the front before the list is cut


class Share(ConfirmListener):
    """One queue's share of a confirm that other queues owe too."""

    def __init__(self, whole: Confirm) -> None:
        self._whole = whole

    def confirmed(self, tag: i64) -> None:
        """The queue has stored the message."""
        self._whole.pay()

    def refused(self, tag: i64, how: int) -> None:
        """The queue did not take the message."""
        self._whole.refuse(how)

    def fail(self, doing: str, error: Exception) -> None:
        """Never called: the whole confirm reports to its own listener."""


class PendingConfirms:
    """The confirms in the order of positions, on a plain list that is trimmed now and then."""

    __slots__ = ("_head", "_items")

    def __init__(self) -> None:
        self._items: list[Confirm | None] = []
        self._head: i64 = 0

    def add(self, position: i64, confirm: Confirm) -> None:
        """Add a confirm at the end."""
        if confirm.owed > 1:
            confirm = Confirm(Share(confirm), 0, 1)
        confirm.position = position
        self._items.append(confirm)

    def has(self, position: i64) -> bool:
        """Whether the message with this position is not safe yet. Cost: a search."""
        low = self._head
        high: i64 = len(self._items)
        while low < high:
            middle = (low + high) // 2
            waiting = self._items[middle]
            assert waiting is not None
            if waiting.position < position:
                low = middle + 1
            elif waiting.position > position:
                high = middle
            else:
                return True
        return False

    def pay(self, position: i64) -> None:
        """Everything up to this position is durable."""
        items = self._items
        while self._head < len(items):
            waiting = items[self._head]
            assert waiting is not None
            if waiting.position > position:
                break
            items[self._head] = None
            self._head += 1
            waiting.pay()
        if self._head == len(items):
            items.clear()
            self._head = 0
        elif self._head >= COMPACT_AT and self._head * 2 >= len(items):
            del items[: self._head]
            self._head = 0

    def refuse(self, positions: list[int], how: int) -> None:
        """The log did not store these. Cost: a pass over the confirms up to the last of them."""
        wanted = set(positions)
        last: i64 = max(positions)
        items = self._items
        kept: list[Confirm | None] = []
        refused: list[Confirm] = []
        at = self._head
        while at < len(items):
            waiting = items[at]
            assert waiting is not None
            if waiting.position > last:
                break
            if int(waiting.position) in wanted:
                refused.append(waiting)
            else:
                kept.append(waiting)
            at += 1
        items[:at] = kept
        self._head = 0
        for waiting in refused:
            waiting.refuse(how)

    def refuse_all(self) -> None:
        """Refuse all: no result will come."""
        items, self._items = self._items[self._head :], []
        self._head = 0
        for waiting in items:
            if waiting is not None:
                waiting.refuse(AGAIN)
