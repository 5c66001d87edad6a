"""Measures how long the event loop is blocked, and warns if it is too long."""

from __future__ import annotations

import logging
import time
from typing import Final

from leveret.core.turn.lag import STALL_US
from leveret.node.monitors.monitor import Monitor
from leveret.server.driver import Driver

LAG_S: Final = 1.0
LATE_US: Final = 5000  # normal delay of a timer, without a blocked loop
WARN_US: Final = 100_000
WARN_S: Final = 10.0  # between two warnings

log = logging.getLogger("leveret.lag")


class LagMonitor(Monitor):
    """The driver records the duration of its turns. Other work that blocks the loop shows as a late timer."""

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._due_s = 0.0
        self._quiet_until_s = 0.0

    def delay_s(self) -> float:
        """Seconds from now until the next check."""
        self._due_s = time.monotonic() + LAG_S
        return LAG_S

    def check(self) -> None:
        """Compare the time with that for which this check was planned."""
        now_s = time.monotonic()
        lag = self._driver.broker.lag
        late_us = int((now_s - self._due_s) * 1_000_000)
        if late_us > LATE_US and late_us > lag.second_us and not self._driver.is_busy:
            lag.note(late_us)
        if lag.second_us > WARN_US and now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + WARN_S
            log.warning(
                "the event loop was blocked for %d ms, and all clients waited; "
                "`leveret status` shows how often that exceeds %d ms",
                lag.second_us // 1000,
                STALL_US // 1000,
            )
        lag.next_second()
