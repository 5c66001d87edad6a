"""Retries: returned messages that are delivered again only after a delay.

The settings of the queue decide which messages wait, and how long. Meanwhile they are neither ready nor unacknowledged,
but count for the limits of the queue, and a purge drops them. Then each goes back to its old place. The log does not
store the delay: after a restart they are ready at once.
Source: rabbit_fifo.erl (should_delay, calculate_ready_at, messages_ready_plus_delayed).
"""

from __future__ import annotations

from heapq import heappop, heappush

from mypy_extensions import i64

from leveret.core.message.budget import Holder
from leveret.core.queue.base import BaseQueue
from leveret.core.queue.entry import QueueEntry
from leveret.core.turn.clock import Timed, Timer
from leveret.core.turn.work import PIECE


class Retries(Timed, Holder):
    """The retries of one queue, the earliest first. size: bytes of their bodies."""

    __slots__ = ("_due_ms", "_queue", "_timer", "_waiting", "size")

    def __init__(self, queue: BaseQueue) -> None:
        self.size: i64 = 0
        self._queue: BaseQueue | None = queue
        self._waiting: list[tuple[int, int, QueueEntry]] = []  # heap by time and position
        self._timer: Timer | None = None
        self._due_ms = 0  # when that is due, 0 without a timer

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, entry: QueueEntry, delay_ms: int) -> None:
        """Delay a message."""
        queue = self._queue
        if queue is not None:
            broker = queue.broker
            if not self._waiting:
                broker.holders[self] = None
            self.size += entry.message.size
            broker.budget.hold(entry.message)
            heappush(self._waiting, (queue.broker.clock.now_ms + delay_ms, int(entry.position), entry))
            self.watch()

    def next_ms(self) -> int:
        """When the earliest one is due, on the core's clock; 0 without one."""
        return self._waiting[0][0] if self._waiting else 0

    def items(self) -> list[QueueEntry]:
        """All messages, in no order. Cost: a copy."""
        return [entry for _, _, entry in self._waiting]

    def waiting(self) -> list[tuple[int, QueueEntry]]:
        """All messages with their due times on the core's clock, in no order. Cost: a copy."""
        return [(due_ms, entry) for due_ms, _, entry in self._waiting]

    def take(self) -> list[QueueEntry]:
        """Take all messages, in no order. Cost: a copy."""
        taken = self.items()
        if self._queue is not None and taken:
            broker = self._queue.broker
            for entry in taken:
                broker.budget.release(entry.message)
            broker.holders.pop(self, None)
            broker.timers.cancel(self._timer)
            self._waiting = []
            self._due_ms = 0
            self.size = 0
        return taken

    def watch(self) -> None:
        """Start a timer for the earliest message."""
        queue = self._queue
        if queue is not None and self._waiting:
            due_ms = max(self._waiting[0][0], queue.broker.clock.now_ms + 1)
            if not self._due_ms or due_ms < self._due_ms:
                queue.broker.timers.cancel(self._timer)
                self._timer = queue.broker.timers.call_at(due_ms, self)
                self._due_ms = due_ms

    def on_timer(self, token: int) -> None:
        """Return due messages to the queue, but not too many at once; the rest follows a millisecond later."""
        self._due_ms = 0
        queue = self._queue
        if queue is None:
            return
        left: i64 = PIECE
        while left and self._waiting and self._waiting[0][0] <= queue.broker.clock.now_ms:
            entry = self._waiting[0][2]
            queue.take_back(entry)  # first: if it fails, the message is still here
            heappop(self._waiting)
            self.size -= entry.message.size
            queue.broker.budget.release(entry.message)
            left -= 1
        if not self._waiting:
            queue.broker.holders.pop(self, None)
        self.watch()

    def release(self, want: i64) -> None:
        """Page out contents. Cost: a pass over all messages."""
        queue = self._queue
        if queue is None:
            return
        budget = queue.broker.budget
        target = budget.used - want
        for _, _, entry in self._waiting:
            if budget.used <= target:
                break
            queue.leave_content(entry)

    def fail(self, doing: str, error: Exception) -> None:
        """Report the fault to the queue; the messages continue to wait until it is repaired."""
        if self._queue is not None:
            self._queue.fail(doing, error)

    def stop(self) -> None:
        """The queue has ended: drop the references to it."""
        self.take()
        self._queue = None
