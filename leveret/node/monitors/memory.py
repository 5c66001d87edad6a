"""Watches the resident memory of the process, and raises the alarm of the broker when there is too much of it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

import psutil

from leveret.core.turn.alarms import MEMORY
from leveret.node.allocator import give_back_memory
from leveret.server.driver import Driver

MEMORY_S: Final = 1.0

log = logging.getLogger("leveret.alarms")


class MemoryMonitor:
    """Watches this process. share: of the memory there is, from which on publishers wait; 0 for any."""

    def __init__(self, driver: Driver, share: float) -> None:
        self._driver = driver
        self._limit = int(share * total_memory())
        self._is_high = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look at once, and from then on every second."""
        if self._limit:
            self._look()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = self._driver.loop.call_later(MEMORY_S, self._look)  # first: this may fail, and looks again
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
            what = "publishers wait until it is less" if is_high else "publishers go on"
            log.warning("%.1f MB of memory in use, the limit is %.1f MB: %s", used / 1e6, self._limit / 1e6, what)
            self._driver.refresh_clock()
            self._driver.broker.alarms.set(MEMORY, is_high)
            self._driver.turn()


def resident_memory() -> int:
    """Bytes of memory that this process uses. Raises: OSError when the system does not let it read that now."""
    return int(psutil.Process().memory_info().rss)


def total_memory() -> int:
    """Bytes of memory that this process may use: those of the machine, or of its control group if that has a limit."""
    return min([psutil.virtual_memory().total, *group_limits()])


def group_limits(root: Path = Path("/")) -> list[int]:
    """The limits of the control groups that this process is in, in bytes. root: where proc and sys are."""
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
    """The limits of a control group and of those around it; in a container its own may be at the base."""
    found: list[int] = []
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts) + 1):
        try:
            found.append(int(base.joinpath(*parts[:depth], name).read_text()))
        except (OSError, ValueError):
            continue  # there is none, or it is called "max"
    return found
