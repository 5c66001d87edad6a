"""Watches free disk space, and raises the broker's disk alarm when it runs low.

Checks more often the less space is left, as rabbit_disk_monitor.erl does, up to ten times a second. A failed commit
also raises the alarm, whatever the free space. The monitor then periodically tries to write a file of the size that did
not fit; when that succeeds, the log retries the commit.

The reserve is a file that occupies spare space in the data directory. Without it, nothing could be removed from the log
on a completely full disk, because a removal must be written first. A failed commit deletes the reserve. The alarm ends
only when there is a reserve again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from leveret.core.turn.alarms import DISK
from leveret.node.monitors.monitor import Monitor
from leveret.server.driver import Driver
from leveret.store.files import make_nameless, private

if TYPE_CHECKING:
    from leveret.store.chunk_log import ChunkLog

MIN_S: Final = 0.1  # between two checks
MAX_S: Final = 10.0
ALARMED_S: Final = 1.0  # the same during an alarm, and between two attempts to write
FILL_RATE: Final = 125_000_000  # bytes per second that may fill a disk
RESERVE_NAME: Final = "space-reserve"
RESERVE_BYTES: Final = 24 << 20
RESERVE_SHARE: Final = 4  # at most 1/4 of a small disk
PROBE_MIN: Final = 1 << 20  # bytes
PROBE_MAX: Final = 128 << 20

log = logging.getLogger("leveret.alarms")


def interval_s(free: int, limit: int, is_low: bool) -> float:
    """Seconds until the next check. free, limit: in bytes."""
    if is_low:
        return ALARMED_S
    return max(MIN_S, min(MAX_S, (free - limit) / FILL_RATE))


def free_bytes(directory: Path) -> int | None:
    """Free disk space in bytes, for unprivileged users; None if unknown."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def keep_reserve(directory: Path) -> int:
    """Create the reserve if it does not exist. Returns: its size in bytes, 0 if there is no space for it."""
    path = directory / RESERVE_NAME
    try:
        found = os.statvfs(directory)
        size = min(RESERVE_BYTES, found.f_blocks * found.f_frsize // RESERVE_SHARE)
        with open(path, "ab", opener=private) as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError:
        _remove(path)
        return 0
    return size


def give_up_reserve(directory: Path) -> bool:
    """Delete the reserve to free its space for the log. Returns: whether there was one."""
    path = directory / RESERVE_NAME
    if not path.exists():
        return False
    _remove(path)
    return True


def can_write(directory: Path, size: int) -> bool:
    """Whether an unnamed file of this size can be written and synced there. Blocks."""
    try:
        with open(make_nameless(directory), "wb", buffering=0) as file:
            left = size
            while left > 0:
                left -= file.write(bytes(min(left, PROBE_MIN)))
            os.fsync(file.fileno())
    except OSError:
        return False
    return True


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("cannot remove %s: %s", path, error.strerror)


class DiskMonitor(Monitor):
    """Watches the disk of one data directory. limit: bytes that should stay free, 0 for no limit.

    A failed commit raises the alarm in any case.
    """

    def __init__(self, driver: Driver, store: ChunkLog, directory: Path, limit: int) -> None:
        super().__init__(driver)
        self._store = store
        self._directory = directory
        self._limit = limit
        self._free = 0
        self._is_low = False
        self._has_failed = False
        self._reserve = 0  # its size in bytes
        self._has_room = False  # an attempt to write succeeded since the last failure
        self._trial: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Check now, and then periodically."""
        self._reserve = keep_reserve(self._directory)
        if not self._reserve:
            log.warning("no space for a reserve in %s: publishers are blocked until there is", self._directory)
            self._begin_trials()
        if self._limit:
            super().start()
            self.check()

    def stop(self) -> None:
        """Stop monitoring."""
        super().stop()
        if self._trial is not None:
            self._trial.cancel()

    def committed(self) -> None:
        """Called after a commit, whether it succeeded or failed."""
        if self._store.failed_bytes:
            if give_up_reserve(self._directory):
                self._reserve = 0
                self._store.try_again()
            self._begin_trials()
        elif self._has_failed and self._has_room:
            self._has_failed = False
            self._show()

    def _begin_trials(self) -> None:
        self._has_failed = True
        self._has_room = False
        self._show()
        if self._trial is None:
            self._trial = self._driver.loop.create_task(self._try())

    def delay_s(self) -> float:
        """Seconds from now until the next check."""
        return interval_s(self._free, self._limit, self._is_low)

    def check(self) -> None:
        """Compare the free space with the limit, and raise or end the alarm."""
        free = free_bytes(self._directory)
        if free is not None:
            free += self._reserve
            is_low = free < self._limit
            if is_low and not self._is_low:
                log.warning(
                    "%.1f MB free for %s, the limit is %.1f MB: publishers are blocked until there is more",
                    free / 1e6,
                    self._directory,
                    self._limit / 1e6,
                )
            elif self._is_low and not is_low:
                log.warning("%.1f MB free for %s again", free / 1e6, self._directory)
            self._is_low = is_low
            self._show()
        self._free = free or 0

    async def _try(self) -> None:
        """Try to write periodically; when that succeeds, let the log retry."""
        try:
            while self._has_failed:
                await asyncio.sleep(ALARMED_S)
                size = max(PROBE_MIN, min(2 * self._store.failed_bytes, PROBE_MAX))
                if await self._driver.loop.run_in_executor(None, self._has_space, size):
                    self._driver.refresh_clock()
                    self._has_room = True
                    self._store.try_again()
                    if not self._store.failed_bytes:
                        self.committed()
                    self._driver.turn()
        finally:
            self._trial = None

    def _has_space(self, size: int) -> bool:
        """Whether there is space for a reserve and this many bytes. Blocks."""
        self._reserve = keep_reserve(self._directory)
        if self._reserve and can_write(self._directory, size):
            return True
        if give_up_reserve(self._directory):
            self._reserve = 0
        return False

    def _show(self) -> None:
        self._driver.refresh_clock()
        self._driver.broker.alarms.set(DISK, self._is_low or self._has_failed)
        self._driver.turn()
