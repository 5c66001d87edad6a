"""Brake: limits the deliveries of a queue: none while it is paused, else as many as its rate allows.

The rate is a token bucket. It fills with so many messages a second, and holds at least those of two ticks: the clock
advances in steps, and the messages of one step are no burst.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from mypy_extensions import i64

from leveret.core.policy.arguments import QueueSettings
from leveret.core.queue.base import BaseQueue
from leveret.core.turn.clock import Timed, Timer

TICK_MS: Final = 10  # between two checks of a bucket that fills quickly
ANY: Final = 1 << 62  # messages, without a rate
NEARLY: Final = 1e-9  # of a message: sums of fractions are not exact


class Brake(Timed):
    """The brake of one queue."""

    __slots__ = ("_filled_ms", "_is_paused", "_most", "_queue", "_rate", "_timer", "_tokens")

    def __init__(self, queue: BaseQueue) -> None:
        self._queue: BaseQueue | None = queue
        self._is_paused = False
        self._rate: float = 0.0  # messages per millisecond; 0 for no limit
        self._most: float = 0.0  # capacity of the bucket
        self._tokens: float = 0.0  # messages that may be delivered
        self._filled_ms: i64 = 0
        self._timer: Timer | None = None

    def set(self, settings: QueueSettings) -> None:
        """Apply settings. An existing bucket keeps its content, a new one is full."""
        queue = self._queue
        if queue is None:
            return
        self._fill(queue)
        is_new = not self._rate
        self._is_paused = settings.is_paused
        self._rate = settings.delivery_rate / 1000
        self._most = max(float(settings.delivery_burst), self._rate * 2 * TICK_MS)
        self._tokens = self._most if is_new else min(self._tokens, self._most)
        queue.broker.timers.cancel(self._timer)
        self._timer = None
        if len(queue.consumers):
            queue.touch()

    @property
    def is_on(self) -> bool:
        """Whether it limits deliveries."""
        return self._is_paused or self._rate > 0

    def room(self) -> i64:
        """The number of messages that may be delivered now."""
        queue = self._queue
        if queue is None or self._is_paused:
            return 0
        if not self._rate:
            return ANY
        self._fill(queue)
        return i64(int(self._tokens + NEARLY))

    def took(self, count: i64) -> None:
        """Count delivered messages."""
        if self._rate:
            self._tokens -= float(count)

    def watch(self) -> None:
        """Mark the queue as soon as the bucket has a message."""
        queue = self._queue
        if queue is None or self._is_paused or not self._rate or self._timer is not None:
            return
        wait_ms = max(ceil((1 - self._tokens - NEARLY) / self._rate), TICK_MS if self._rate * TICK_MS > 1 else 1)
        self._timer = queue.broker.timers.call_at(queue.broker.clock.now_ms + wait_ms, self)

    def on_timer(self, token: int) -> None:
        """The bucket has a message."""
        self._timer = None
        if self._queue is not None:
            self._queue.touch()

    def fail(self, doing: str, error: Exception) -> None:
        """The queue has failed."""
        if self._queue is not None:
            self._queue.fail(doing, error)

    def stop(self) -> None:
        """The queue has ended: drop the references to it."""
        if self._queue is not None:
            self._queue.broker.timers.cancel(self._timer)
            self._queue = None

    def _fill(self, queue: BaseQueue) -> None:
        now_ms: i64 = queue.broker.clock.now_ms
        self._tokens = min(self._tokens + float(now_ms - self._filled_ms) * self._rate, self._most)
        self._filled_ms = now_ms
