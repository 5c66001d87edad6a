"""Watches the database of a cluster: suspends deliveries while it is away, and retries what it has refused."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from leveret.core.turn.alarms import DISK
from leveret.node.monitors.monitor import Monitor
from leveret.server.driver import Driver

if TYPE_CHECKING:
    from leveret.cluster.membership import Membership
    from leveret.store.chunk_log import ChunkLog

CHECK_S: Final = 0.1
AGAIN_CHECKS: Final = 10  # between two attempts to write

log = logging.getLogger("leveret.cluster")


class DatabaseMonitor(Monitor):
    """Watches the log of a node without a disk, and the beats of the node.

    Without a committed beat, another node may take over: until there is one again, no durable queue delivers. This is
    looked at before any client is served: a process that was stopped reads its sockets before its timers.
    A database that is away refuses nothing. One that is full does: that raises the disk alarm.
    """

    def __init__(self, driver: Driver, store: ChunkLog, member: Membership) -> None:
        super().__init__(driver)
        self._store = store
        self._member = member
        self._has_failed = False
        self._checks = 0
        driver.guard = self._suspend_if_uncertain

    def _suspend_if_uncertain(self) -> None:
        broker = self._driver.broker
        if not broker.is_suspended and not self._member.is_certain():
            log.warning("the database is not reachable: nothing is delivered from durable queues until it is")
            broker.suspend()
            self._driver.turn()

    def delay_s(self) -> float:
        """Seconds from now until the next check."""
        return CHECK_S

    def check(self) -> None:
        """Suspend or continue deliveries, and retry what was refused."""
        broker = self._driver.broker
        self._checks += 1
        self._suspend_if_uncertain()
        if broker.is_suspended and self._member.is_certain():
            log.warning("the database is reachable again: deliveries continue")
            self._driver.refresh_clock()
            broker.unsuspend()
            self._driver.turn()
        if self._store.failed_bytes and self._checks % AGAIN_CHECKS == 0:
            self._driver.refresh_clock()
            self._store.try_again()
            self.committed()
            self._driver.turn()

    def committed(self) -> None:
        """Called after a commit, whether it succeeded or failed."""
        has_failed = self._store.failed_bytes > 0
        if has_failed != self._has_failed:
            self._has_failed = has_failed
            self._driver.refresh_clock()
            self._driver.broker.alarms.set(DISK, has_failed)
            self._driver.turn()
