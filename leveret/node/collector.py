"""Collector: when the garbage collector looks for cycles in the broker's process, and when freed memory goes back.

Left to itself it looks at all that is new after so many allocations, and at all there is now and then. In a broker
nearly everything new is a message that waits; a pass over 20 000 of them finds nothing, and takes up to 25 ms.
What closes leaves no cycles (tests/session/test_leftovers.py), so it is enough to look when that is quick.

Freed memory is kept for what comes next (node/allocator.py), but not for ever: after a quiet minute it goes back to the
system. Whether it was quiet is seen by what the process has done, not by how long that took: others may keep the
machine busy.
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
QUIET: Final = 0.2  # of a core, that the process has needed in a quiet minute at most
FEW: Final = 100_000  # objects for which a pass takes some milliseconds
SURPLUS: Final = 2_000_000  # objects that nobody can account for: better a slow pass than no memory


class Collector:
    """Of a process that is a broker and nothing else, and has called gc.disable() when it began."""

    def __init__(self, broker: Broker, loop: asyncio.AbstractEventLoop) -> None:
        self._broker = broker
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._spent_s = 0.0  # CPU time of the process, at the last look

    def start(self) -> None:
        """Set aside what is there, as most of it stays, and look at what comes from time to time."""
        if self._objects() < FEW:
            gc.collect()
        gc.freeze()
        self._spent_s = time.process_time()
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def stop(self) -> None:
        """Look no more."""
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
        """How many objects there should be, about."""
        broker = self._broker
        return int(broker.budget.used) // COST * 2 + len(broker.logged) * 20 + len(broker.connections) * 40
