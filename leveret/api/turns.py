"""Turns: whoever asks the API for much gets it in pieces, and clients of the broker are served in between.

However many ask, one of them works at a time, and all of them together about SLICE_S in a turn of the event
loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from types import TracebackType

SLICE_S = 0.001
FEW = 4


class Turns:
    """Of one API. Use: async with turns: ... await turns.rest() after each small piece of work.

    few: to be held in front of a turn that keeps much in memory. lists: how many lists are being sent.
    """

    def __init__(self) -> None:
        self.few = asyncio.Semaphore(FEW)
        self.lists = 0
        self._lock = asyncio.Lock()
        self._worker: asyncio.Task[object] | None = None  # whose turn it is
        self._until_s = 0.0  # when this turn of the event loop has had enough of it
        self._is_counting = False  # whether somebody has worked in this turn of the event loop

    async def __aenter__(self) -> Turns:
        await self._begin()
        await self.rest()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._worker is asyncio.current_task():  # not so for one that was cancelled while it waited for its turn
            self._end()

    async def rest(self) -> None:
        """Let others have their turn, if this one has been long enough. What is looked at may change meanwhile."""
        if time.perf_counter() >= self._until_s:
            self._end()
            await asyncio.sleep(0)
            await self._begin()

    async def away(self, waiting: Awaitable[object]) -> None:
        """Wait for something, while others have their turns."""
        self._end()
        try:
            await waiting
        finally:
            await self._begin()

    async def _begin(self) -> None:
        await self._lock.acquire()
        self._worker = asyncio.current_task()
        if not self._is_counting:
            self._is_counting = True
            self._until_s = time.perf_counter() + SLICE_S
            asyncio.get_running_loop().call_soon(self._count_anew)

    def _count_anew(self) -> None:
        self._is_counting = False

    def _end(self) -> None:
        self._worker = None
        self._lock.release()
