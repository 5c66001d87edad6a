"""Collector: schedules garbage collection in the broker's process, and returns freed memory to the system.

By default, Python collects new objects after a number of allocations, and all objects from time to time. In a broker,
nearly all new objects are waiting messages; a pass over 20 000 of them finds nothing and takes up to 25 ms. Closing
connections and queues leaves no cycles (tests/session/test_leftovers.py), so it is enough to collect when that is fast.

Freed memory is kept for reuse (node/allocator.py), but after a quiet minute it is returned to the system. A minute is
quiet by the CPU time of this process, as other processes may keep the machine busy.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Final

from leveret.core.broker import Broker
from leveret.core.message.budget import COST
from leveret.node.allocator import give_back_memory

LOOK_S: Final = 60.0
QUIET: Final = 0.2  # CPU cores that the process uses at most in a quiet minute
FEW: Final = 100_000  # objects; a pass over them takes a few milliseconds
SURPLUS: Final = 2_000_000  # unexpected objects, which justify a slow pass


class Collector:
    """For a process that only runs a broker and called gc.disable() at its start."""

    def __init__(self, broker: Broker, loop: asyncio.AbstractEventLoop) -> None:
        self._broker = broker
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._spent_s = 0.0  # CPU time of the process at the last check

    def start(self) -> None:
        """Freeze the existing objects, as most of them stay, and check new ones periodically."""
        if self._objects() < FEW:
            gc.collect()
        gc.freeze()
        self._spent_s = time.process_time()
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def stop(self) -> None:
        """Stop collecting."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        expected = self._objects()
        if expected < FEW or gc.get_count()[0] - expected > SURPLUS:
            gc.collect()
        spent_s, self._spent_s = self._spent_s, time.process_time()
        if self._spent_s - spent_s < QUIET * LOOK_S:
            give_back_memory()
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def _objects(self) -> int:
        """The approximate number of objects to expect."""
        broker = self._broker
        return int(broker.budget.used) // COST * 2 + len(broker.logged) * 20 + len(broker.connections) * 40
