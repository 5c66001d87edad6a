"""Retries what the database of a cluster has refused, and raises the disk alarm until it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.core.turn.alarms import DISK
from leveret.node.monitors.monitor import Monitor
from leveret.server.driver import Driver

if TYPE_CHECKING:
    from leveret.store.chunk_log import ChunkLog

AGAIN_S: Final = 1.0


class DatabaseMonitor(Monitor):
    """Watches the log of a node without a disk. A database that is away refuses nothing; one that is full does."""

    def __init__(self, driver: Driver, log: ChunkLog) -> None:
        super().__init__(driver)
        self._log = log
        self._has_failed = False

    def delay_s(self) -> float:
        """Seconds from now until the next check."""
        return AGAIN_S

    def check(self) -> None:
        """Retry, if something was refused."""
        if self._log.failed_bytes:
            self._driver.refresh_clock()
            self._log.try_again()
            self.committed()
            self._driver.turn()

    def committed(self) -> None:
        """Called after a commit, whether it succeeded or failed."""
        has_failed = self._log.failed_bytes > 0
        if has_failed != self._has_failed:
            self._has_failed = has_failed
            self._driver.refresh_clock()
            self._driver.broker.alarms.set(DISK, has_failed)
            self._driver.turn()
