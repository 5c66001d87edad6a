"""Unacked: the unacknowledged deliveries of one receiver, by delivery tag."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.errors.refusals import Refusal, unknown_tag
from leveret.core.message.budget import Budget
from leveret.core.queue.entry import QueueEntry

FOREVER: Final = 1 << 62
COMPACT_AT: Final = 1024  # settled deliveries kept in the list, besides as many as are outstanding


class Delivery:
    """One delivery; entry is None once it is settled."""

    __slots__ = ("entry", "tag")

    def __init__(self, tag: i64, entry: QueueEntry) -> None:
        self.tag: i64 = tag
        self.entry: QueueEntry | None = entry


class Unacked:
    """Deliveries in the order of tags, which is mostly that of acks; others are found by bisection."""

    __slots__ = ("_count", "_head", "_items", "_rested")

    def __init__(self) -> None:
        self._items: list[Delivery] = []
        self._head: i64 = 0  # index of the oldest outstanding delivery
        self._count: i64 = 0
        self._rested: i64 = 0  # index up to which contents are paged out, or cannot be

    def __len__(self) -> int:
        return int(self._count)

    def add(self, tag: i64, entry: QueueEntry) -> None:
        """Add a delivery that needs an ack. Its tag is higher than all before."""
        self._items.append(Delivery(tag, entry))
        self._count += 1

    def oldest(self) -> QueueEntry | None:
        """The oldest outstanding delivery."""
        return self._items[self._head].entry if self._count else None

    def sent_by(self, sent_ms: int) -> list[QueueEntry]:
        """The deliveries sent up to this time, and the first one sent later, in order."""
        found: list[QueueEntry] = []
        items = self._items
        at = self._head
        while at < len(items) and (not found or found[-1].sent_ms <= sent_ms):
            entry = items[at].entry
            if entry is not None:
                found.append(entry)
            at += 1
        return found

    def has(self, tag: i64) -> bool:
        """Whether a tag is outstanding."""
        at = self._find(tag)
        return at < len(self._items) and self._items[at].tag == tag and self._items[at].entry is not None

    def take(self, tag: i64) -> QueueEntry:
        """Take a delivery. Raises: Refusal UNFIT when the tag is not outstanding."""
        items = self._items
        at = self._head
        if at >= len(items) or items[at].tag != tag:
            at = self._find(tag)
        delivery = items[at] if at < len(items) else None
        entry = delivery.entry if delivery is not None and delivery.tag == tag else None
        if delivery is None or entry is None:
            raise self._unknown(tag)
        delivery.entry = None
        self._count -= 1
        self._tidy()
        return entry

    def take_up_to(self, tag: i64) -> list[tuple[int, QueueEntry]]:
        """Take all deliveries up to and including a tag, which must be outstanding; 0 takes all.

        Raises: Refusal UNFIT when the tag is not outstanding.
        """
        if tag == 0:
            return self.take_all()
        self.check(tag)
        return self._sweep(tag)

    def check(self, tag: i64) -> None:
        """Raises: Refusal UNFIT when a tag is not outstanding; 0 is always valid."""
        at = self._find(tag)
        if tag and (at >= len(self._items) or self._items[at].tag != tag or self._items[at].entry is None):
            raise self._unknown(tag)

    def take_oldest(self, tag: i64) -> QueueEntry | None:
        """Take the oldest delivery, if it has this tag or a lower one."""
        items = self._items
        if self._head >= len(items) or items[self._head].tag > tag:
            return None
        delivery = items[self._head]
        entry = delivery.entry
        delivery.entry = None
        self._count -= 1
        self._tidy()
        return entry

    def take_all(self) -> list[tuple[int, QueueEntry]]:
        """Take all deliveries."""
        taken = self.outstanding()
        self._items = []
        self._head = 0
        self._rested = 0
        self._count = 0
        return taken

    def give_back(self, taken: list[tuple[int, QueueEntry]]) -> None:
        """Make deliveries outstanding again under their old tags, after a rollback of their acks."""
        outstanding = sorted([*self.take_all(), *taken], key=_tag)
        for tag, entry in outstanding:
            self.add(tag, entry)

    def _sweep(self, tag: i64) -> list[tuple[int, QueueEntry]]:
        """Take the deliveries up to and including a tag."""
        taken: list[tuple[int, QueueEntry]] = []
        items = self._items
        at = self._head
        while at < len(items) and items[at].tag <= tag:
            delivery = items[at]
            if delivery.entry is not None:
                taken.append((int(delivery.tag), delivery.entry))
                delivery.entry = None
            at += 1
        self._count -= len(taken)
        self._tidy()
        return taken

    def leave_contents(self, budget: Budget, target: i64) -> None:
        """Page out contents, the oldest first, until the budget is at the target."""
        items = self._items
        at = max(self._rested, self._head)
        while at < len(items) and budget.used > target:
            entry = items[at].entry
            if entry is not None and not entry.queue.leave_content(entry):
                break
            at += 1
        self._rested = at

    def note_oldest(self, sent_ms: dict[int, int]) -> None:
        """As Client.note_oldest()."""
        items = self._items
        at = self._head
        while at < len(items):
            entry = items[at].entry
            if entry is not None:
                queue_id = int(entry.queue.queue_id)
                if entry.sent_ms < sent_ms.get(queue_id, FOREVER):
                    sent_ms[queue_id] = int(entry.sent_ms)
            at += 1

    def outstanding(self) -> list[tuple[int, QueueEntry]]:
        """All outstanding deliveries with their tags, in order."""
        found: list[tuple[int, QueueEntry]] = []
        for delivery in self._items[self._head :]:
            if delivery.entry is not None:
                found.append((int(delivery.tag), delivery.entry))
        return found

    def _unknown(self, tag: i64) -> Refusal:
        return unknown_tag(int(tag) & 0xFFFFFFFFFFFFFFFF, [int(tag) for tag, _ in self.outstanding()])

    def _find(self, tag: i64) -> i64:
        """The index of the first delivery whose tag is not lower."""
        items = self._items
        low: i64 = self._head
        high: i64 = len(items)
        while low < high:
            middle = (low + high) // 2
            if items[middle].tag < tag:
                low = middle + 1
            else:
                high = middle
        return low

    def _tidy(self) -> None:
        """Skip settled deliveries, and remove them when there are many."""
        items = self._items
        while self._head < len(items) and items[self._head].entry is None:
            self._head += 1
        if len(items) - self._count >= COMPACT_AT + self._count:
            self._items = [delivery for delivery in items if delivery.entry is not None]
            self._head = 0
            self._rested = 0


def _tag(entry: tuple[int, QueueEntry]) -> int:
    return entry[0]
