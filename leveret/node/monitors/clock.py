"""Watches the wall clock for jumps, and notifies the broker. Raises no alarm."""

from __future__ import annotations

import time
from typing import Final

from leveret.node.monitors.monitor import Monitor

CLOCK_S: Final = 5.0
HELD_UP_MS: Final = 100


class ClockMonitor(Monitor):
    """The wall clock may be set, and continues while the machine sleeps."""

    def delay_s(self) -> float:
        """Seconds from now until the next check."""
        return CLOCK_S

    def stop(self) -> None:
        """Check once more, and store the time for the next start."""
        if self._timer is not None:
            super().stop()
            self.check()
            self._driver.broker.keep_time()

    def check(self) -> None:
        """Compare the clocks, unless this process was delayed between reading them."""
        self._driver.refresh_clock()
        today_ms = time.time_ns() // 1_000_000
        if time.monotonic_ns() // 1_000_000 - self._driver.broker.clock.now_ms <= HELD_UP_MS:
            self._driver.broker.look_at_clock(today_ms)
        self._driver.turn()
