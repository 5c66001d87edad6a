"""Watches the resident memory of the process, and raises the broker's memory alarm when it is too high."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import psutil

from leveret.core.turn.alarms import MEMORY
from leveret.node.allocator import give_back_memory
from leveret.node.monitors.monitor import Monitor
from leveret.server.driver import Driver

MEMORY_S: Final = 1.0

log = logging.getLogger("leveret.alarms")


class MemoryMonitor(Monitor):
    """Watches this process. share: of total memory, above which publishers are blocked; 0 for no limit."""

    def __init__(self, driver: Driver, share: float) -> None:
        super().__init__(driver)
        self._limit = int(share * total_memory())
        self._is_high = False

    def delay_s(self) -> float:
        """Seconds from now until the next check."""
        return MEMORY_S

    def start(self) -> None:
        """Check now, and then every second."""
        if self._limit:
            super().start()
            self.check()

    def check(self) -> None:
        """Compare the memory with the limit, and raise or end the alarm."""
        try:
            used = resident_memory()
            if used >= self._limit and self._is_high:
                give_back_memory()
                used = resident_memory()
        except OSError:
            return  # no file descriptor is free to read it with
        is_high = used >= self._limit
        if is_high != self._is_high:
            self._is_high = is_high
            what = "publishers are blocked until it is less" if is_high else "publishers are no longer blocked"
            log.warning("%.1f MB of memory used, the limit is %.1f MB: %s", used / 1e6, self._limit / 1e6, what)
            self._driver.refresh_clock()
            self._driver.broker.alarms.set(MEMORY, is_high)
            self._driver.turn()


def resident_memory() -> int:
    """Resident memory of this process in bytes. Raises: OSError when the system does not let it read that now."""
    return int(psutil.Process().memory_info().rss)


def total_memory() -> int:
    """Memory available to this process in bytes: of the machine, or the limit of its control group if lower."""
    return min([psutil.virtual_memory().total, *group_limits()])


def group_limits(root: Path = Path("/")) -> list[int]:
    """The memory limits of this process's control groups in bytes. root: parent of proc and sys."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found: list[int] = []
    for line in groups:
        number, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        if number == "0" and not kinds:
            found += _limits(root / "sys/fs/cgroup", path, "memory.max")
        elif "memory" in kinds.split(","):
            found += _limits(root / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes")
    return found


def _limits(base: Path, path: str, name: str) -> list[int]:
    """The limits of a control group and its ancestors. In a container, its own may be at the base."""
    found: list[int] = []
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts) + 1):
        try:
            found.append(int(base.joinpath(*parts[:depth], name).read_text()))
        except (OSError, ValueError):
            continue  # no file, or "max"
    return found
