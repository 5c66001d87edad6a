"""The base class of all monitors: a timer that continues whatever a check does."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from leveret.server.driver import Driver


class Monitor(ABC):
    """Checks something periodically. If a check fails, the event loop logs it, and the next one still happens."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._timer: asyncio.TimerHandle | None = None

    @abstractmethod
    def check(self) -> None:
        """Check once."""

    @abstractmethod
    def delay_s(self) -> float:
        """Seconds from now until the next check."""

    def start(self) -> None:
        """Start checking periodically. The first check happens after the delay."""
        self._timer = self._driver.loop.call_later(self.delay_s(), self._tick)

    def stop(self) -> None:
        """Stop monitoring. Has no effect if it was not started."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        try:
            self.check()
        finally:
            if self._timer is not None:  # the check has not stopped it
                self._timer = self._driver.loop.call_later(self.delay_s(), self._tick)
