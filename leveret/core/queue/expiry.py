"""Expiry: the timers of a queue, which expire messages at its head, delete it when idle, and repair read errors.

Only the head is checked, so an expired message behind a live one stays until it gets there, but is never delivered.
Source: rabbit_amqqueue_process.erl (drop_expired_msgs, expires).
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.message.log import NotHereYet
from leveret.core.queue.base import BaseQueue
from leveret.core.queue.dead_letter import EXPIRED
from leveret.core.turn.clock import Timed, Timer
from leveret.core.turn.work import ENDING

HEAD_DUE: Final = 1  # timer tokens
IDLE: Final = 2
REPAIR: Final = 3
REPAIR_MS: Final = 1000  # before messages that could not be read from the log are read again
OVER: Final = -1  # a deadline that has always passed


class Expiry(Timed):
    """The timers of one queue."""

    __slots__ = ("_head", "_head_ms", "_idle", "_idle_ms", "_queue", "_repair", "_used_ms")

    def __init__(self, queue: BaseQueue) -> None:
        self._queue: BaseQueue | None = queue
        self._head: Timer | None = None
        self._head_ms: i64 = 0  # when that timer is due, 0 without one
        self._repair: Timer | None = None
        self._idle: Timer | None = None
        self._idle_ms: i64 = 0  # when that timer is due, 0 without one
        self._used_ms = queue.broker.clock.now_ms

    def used(self) -> None:
        """A client used the queue: its idle time restarts."""
        if self._queue is not None:
            self._used_ms = self._queue.broker.clock.now_ms

    def watch_idle(self) -> None:
        """Start a timer for the idle time, unless the queue has consumers."""
        queue = self._queue
        if queue is None or queue.settings.expires_ms < 0 or len(queue.consumers):
            return
        due: i64 = self._used_ms + queue.settings.expires_ms
        if not self._idle_ms or due < self._idle_ms:
            self._idle_ms = due
            timers = queue.broker.timers
            timers.cancel(self._idle)
            self._idle = timers.call_at(int(due), self, IDLE)

    def look(self) -> bool:
        """Drop expired messages from the head, as many as this turn has room for; start a timer for the next one.

        Returns: whether the head has not expired, or is missing.
        """
        try:
            return self.clear()
        except NotHereYet:  # Queue.on_fetched() looks again
            return False

    def clear(self) -> bool:
        """As look(), for a caller that needs the head. Raises: NotHereYet."""
        queue = self._queue
        if queue is None:
            return True
        ready = queue.ready
        share = queue.broker.share
        while len(ready):
            due = ready.deadline_ms()
            if not due:
                return True
            if due > queue.broker.clock.now_ms:
                if not self._head_ms or due < self._head_ms:
                    self._head_ms = due
                    timers = queue.broker.timers
                    timers.cancel(self._head)
                    self._head = timers.call_at(int(due), self, HEAD_DUE)
                return True
            if share.left <= 0:
                queue.trim_later()
                return False
            if ready.has_head() and ready.first().deadline_ms == due:
                entry = ready.pop()
                share.left -= queue.giving_up(entry.message)
                queue.counters.expired += 1
                queue.die(entry, EXPIRED)
        return True

    def repair_later(self) -> None:
        """Start a timer that repairs the queue."""
        queue = self._queue
        if queue is not None:
            self._repair = queue.broker.timers.call_at(queue.broker.clock.now_ms + REPAIR_MS, self, REPAIR)

    def stop(self) -> None:
        """The queue has ended: drop the references to it."""
        if self._queue is not None:
            timers = self._queue.broker.timers
            timers.cancel(self._head)
            timers.cancel(self._idle)
            timers.cancel(self._repair)
            self._queue = None

    def fail(self, doing: str, error: Exception) -> None:
        """Report the fault to the queue."""
        if self._queue is not None:
            self._queue.fail(doing, error)

    def on_timer(self, token: int) -> None:
        """The head may have expired, the queue may have been idle for too long, or a repair is due."""
        queue = self._queue
        if queue is None:
            return
        if token == HEAD_DUE:
            self._head_ms = 0
            queue.flow()
            self.look()
            return
        if token == REPAIR:
            if queue.fault:
                queue.repair()
            return
        self._idle_ms = 0
        idle_ms = queue.broker.clock.now_ms - self._used_ms
        if 0 <= queue.settings.expires_ms <= idle_ms and not len(queue.consumers):
            queue.broker.share.left -= ENDING
            queue.vhost.remove_queue(queue)
        else:
            self.watch_idle()
