"""Watches the wall clock for jumps, and notifies the broker. Raises no alarm."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from leveret.server.driver import Driver

CLOCK_S: Final = 5.0
HELD_UP_MS: Final = 100


class ClockMonitor:
    """The wall clock may be set, and continues while the machine sleeps."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start checking periodically."""
        self._timer = self._driver.loop.call_later(CLOCK_S, self._tick)

    def stop(self) -> None:
        """Check once more, and store the time for the next start."""
        if self._timer is not None:
            self._timer.cancel()
            self.look()
            self._driver.broker.keep_time()

    def look(self) -> None:
        """Compare the clocks, unless this process was delayed between reading them."""
        self._driver.refresh_clock()
        today_ms = time.time_ns() // 1_000_000
        if time.monotonic_ns() // 1_000_000 - self._driver.broker.clock.now_ms <= HELD_UP_MS:
            self._driver.broker.look_at_clock(today_ms)

    def _tick(self) -> None:
        self._timer = self._driver.loop.call_later(CLOCK_S, self._tick)
        self.look()
        self._driver.turn()
