"""Turns: the API does long work in slices, and the broker serves its clients in between.

One task works at a time, and all of them together for about SLICE_S in one iteration of the event loop. A task that
has rested waits behind the others; see sharing.py for what counts as one client.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from types import TracebackType

from leveret.api.sharing import Few, Line, Parts

SLICE_S = 0.001
FEW = 4
MOST_LISTS = 64  # lists being sent at once: each holds its items in memory
MOST_DOCUMENTS = 8  # documents being sent at once: each is in memory as a whole


class Turns:
    """The turns of one API. Use: async with turns: ... await turns.rest() after each small piece of work.

    few: hold it before a turn that keeps much in memory. lists, documents: places for those being sent.
    """

    def __init__(self) -> None:
        self.few = Few(FEW)
        self.lists = Parts(MOST_LISTS)
        self.documents = Parts(MOST_DOCUMENTS)
        self._line = Line()
        self._is_taken = False  # a task works, or is scheduled to
        self._worker: asyncio.Task[object] | None = None  # the task that works
        self._until_s = 0.0  # when the slice of this iteration of the event loop ends
        self._is_counting = False  # whether a task has worked in this iteration of the event loop

    async def __aenter__(self) -> Turns:
        await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._worker is asyncio.current_task():  # False for a task that was cancelled while it waited for its turn
            self._end()

    async def rest(self) -> None:
        """Let others have their turn, if the slice is over. The broker's state may change meanwhile."""
        if time.perf_counter() >= self._until_s:
            self._end()
            await self._begin()

    async def away(self, waiting: Awaitable[object]) -> None:
        """Await something while others have their turns."""
        self._end()
        try:
            await waiting
        finally:
            await self._begin()

    async def _begin(self) -> None:
        if self._is_taken or self._line or (self._is_counting and time.perf_counter() >= self._until_s):
            asyncio.get_running_loop().call_soon(self._hand_on)
            await self._line.wait(self._end)
        self._is_taken = True
        self._worker = asyncio.current_task()
        if not self._is_counting:
            self._is_counting = True
            self._until_s = time.perf_counter() + SLICE_S
            asyncio.get_running_loop().call_soon(self._count_anew)

    def _hand_on(self) -> None:
        """Let the next task work, from the next iteration of the event loop on, unless one already does."""
        if not self._is_taken:
            self._is_taken = self._line.call()

    def _end(self) -> None:
        self._worker = None
        self._is_taken = False
        self._hand_on()

    def _count_anew(self) -> None:
        self._is_counting = False
