"""Holding: messages of a queue that wait for the time that one of their headers names (hold-until-header).

Meanwhile they are neither ready nor unacknowledged, but count for the limits of the queue, and a purge drops them.
When its time has come, a message goes to its place in the order. The log stores nothing of this: after a restart the
headers are read again. Messages that came before the queue got the setting are checked when they reach the head.
"""

from __future__ import annotations

from typing import Final, cast

from mypy_extensions import i64

from leveret.core.message import schedule
from leveret.core.message.budget import Holder
from leveret.core.message.message import Message
from leveret.core.message.schedule import Schedule
from leveret.core.message.times import UNREADABLE, time_of
from leveret.core.queue.base import BaseQueue
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.ready import STUB
from leveret.core.turn.clock import Dated, Timed, Timer
from leveret.core.turn.work import PIECE

WORTH_IT: Final = 64 << 10  # bytes of contents; with less, messages are not paged out


class Held:
    """A held message. place: its key here. due_ms: when it is due, in milliseconds since 1970."""

    __slots__ = ("due_ms", "entry", "place")

    def __init__(self, place: int, entry: QueueEntry) -> None:
        self.place = place
        self.due_ms = schedule.due_ms(place)
        self.entry = entry


class Holding(Timed, Dated, Holder):
    """The held messages of one queue, by due time. size: bytes of their bodies.

    until: messages up to this position may be unchecked; 0 when all are checked.
    """

    __slots__ = ("_content_bytes", "_due_ms", "_header", "_queue", "_schedule", "_timer", "size", "until")

    def __init__(self, queue: BaseQueue) -> None:
        self.size: i64 = 0
        self.until: i64 = 0
        self._queue: BaseQueue | None = queue
        self._header = b""
        self._schedule = Schedule()
        self._content_bytes: i64 = 0  # of pageable contents in memory
        self._timer: Timer | None = None
        self._due_ms = 0  # when that is due, 0 without a timer

    def __len__(self) -> int:
        return len(self._schedule)

    @property
    def is_on(self) -> bool:
        """Whether the queue holds messages."""
        return self._header != b""

    def set(self, header: str, until: i64) -> None:
        """Use this header from now on; an empty one releases all messages. until: the last existing position."""
        name = header.encode("utf-8", "surrogateescape")
        if name != self._header:
            self._header = name
            self.until = until if name else 0
            self._watch_anew()

    def due_ms(self, message: Message, position: i64, counts: bool) -> int:
        """When a message is due, in milliseconds since 1970; 0 for now.

        counts: whether to count an unreadable header, as for an incoming message.
        """
        queue = self._queue
        if queue is None or not self._header or not message.content or position > schedule.POSITIONS:
            return 0
        field = message.header(self._header)
        if field is None:
            return 0
        named_ms = time_of(field)
        if named_ms == UNREADABLE:
            if counts:
                queue.counters.unreadable += 1
            return 0
        return named_ms if named_ms > queue.broker.clock.today_ms else 0

    def add(self, entry: QueueEntry, due_ms: int) -> None:
        """Hold a message until this time."""
        queue = self._queue
        assert queue is not None
        broker = queue.broker
        if not len(self._schedule):
            broker.holders[self] = None
            broker.dated[self] = None
        self._schedule.add(schedule.place(due_ms, int(entry.position)), entry)
        self.size += entry.message.size
        self._content_bytes += _restable(entry)
        broker.budget.hold(entry.message)
        self.watch()

    def take(self, place: int) -> QueueEntry | None:
        """Take the message at a place, which is no longer held. None when there is none."""
        entry = cast("QueueEntry | None", self._schedule.take(place))
        if entry is not None:
            self._forget(entry)
        return entry

    def first(self) -> int:
        """The earliest place. Raises: IndexError when there is none."""
        return self._schedule.first()

    def page(self, behind: int, limit: int) -> list[Held]:
        """Some held messages, the earliest first. behind: place of the last one seen, 0 at first."""
        return [Held(place, cast(QueueEntry, entry)) for place, entry in self._schedule.behind(behind, limit)]

    def pick(self, positions: list[int]) -> list[Held]:
        """The held messages with one of these positions. Cost: a pass over all."""
        wanted = set(positions)
        found: list[Held] = []
        for places, entries in self._schedule.blocks():
            for place, entry in zip(places, entries, strict=True):
                if schedule.position(place) in wanted:
                    found.append(Held(place, cast(QueueEntry, entry)))
        return found

    def take_all(self) -> Schedule:
        """Take all held messages; the budget still counts them."""
        taken, self._schedule = self._schedule, Schedule()
        self.size = 0
        self._content_bytes = 0
        self._has_none()
        return taken

    def watch(self) -> None:
        """Start a timer for the earliest message."""
        queue = self._queue
        if queue is None or not len(self._schedule):
            return
        broker = queue.broker
        due_ms = broker.clock.now_ms + max(self._wait_ms(queue), 1)
        if not self._due_ms or due_ms < self._due_ms:
            broker.timers.cancel(self._timer)
            self._timer = broker.timers.call_at(due_ms, self)
            self._due_ms = due_ms

    def on_timer(self, token: int) -> None:
        """Release the messages that are due, but not too many at once; the rest follows a millisecond later."""
        self._due_ms = 0
        queue = self._queue
        if queue is None:
            return
        left: i64 = PIECE
        while left and len(self._schedule) and self._wait_ms(queue) <= 0:
            first = self.page(0, 1)[0]
            queue.let_in(first.entry)  # first: if it fails, the message is still here
            self.take(first.place)
            left -= 1
        self.watch()

    def leapt(self) -> None:
        """The time of day has jumped."""
        self._watch_anew()

    def release(self, want: i64) -> None:
        """Page out contents, the latest due first. Cost: a pass over all messages, if enough are in memory."""
        queue = self._queue
        if queue is None or self._content_bytes < WORTH_IT:
            return
        budget = queue.broker.budget
        target = budget.used - want
        for _, entries in self._schedule.blocks():
            for each in reversed(entries):
                entry = cast(QueueEntry, each)
                if budget.used <= target:
                    return
                size = _restable(entry)
                if size:
                    queue.leave_content(entry)
                    self._content_bytes -= size - _restable(entry)

    def fail(self, doing: str, error: Exception) -> None:
        """Report the fault to the queue; the messages continue to wait until it is repaired."""
        if self._queue is not None:
            self._queue.fail(doing, error)

    def stop(self) -> None:
        """The queue has ended: drop the references to it."""
        self._has_none()
        self._queue = None

    # -- inside

    def _forget(self, entry: QueueEntry) -> None:
        self.size -= entry.message.size
        self._content_bytes -= _restable(entry)
        if self._queue is not None:
            self._queue.broker.budget.release(entry.message)
        if not len(self._schedule):
            self._has_none()

    def _has_none(self) -> None:
        if self._queue is not None:
            broker = self._queue.broker
            broker.holders.pop(self, None)
            broker.dated.pop(self, None)
            broker.timers.cancel(self._timer)
        self._due_ms = 0

    def _wait_ms(self, queue: BaseQueue) -> int:
        """Milliseconds until the earliest message is due; there must be one."""
        return schedule.due_ms(self._schedule.first()) - queue.broker.clock.today_ms if self._header else 0

    def _watch_anew(self) -> None:
        if self._queue is not None:
            self._queue.broker.timers.cancel(self._timer)
        self._due_ms = 0
        self.watch()


def _restable(entry: QueueEntry) -> i64:
    """Bytes of a content in memory that is worth paging out, else 0."""
    size: i64 = len(entry.message.content)
    return size if size >= STUB else 0
