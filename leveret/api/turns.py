"""Turns: whoever asks the API for much gets it in pieces, and clients of the broker are served in between.

However many ask, one of them works at a time, and all of them together about SLICE_S in a turn of the event loop. Who
has rested waits behind the others; sharing.py says who counts as one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from types import TracebackType

from leveret.api.sharing import Few, Line, Parts

SLICE_S = 0.001
FEW = 4
MOST_LISTS = 64  # that are being sent at once: each remembers what it has to send
MOST_DOCUMENTS = 8  # the same: each is in memory as a whole


class Turns:
    """Of one API. Use: async with turns: ... await turns.rest() after each small piece of work.

    few: to be held in front of a turn that keeps much in memory. lists, documents: places for those being sent.
    """

    def __init__(self) -> None:
        self.few = Few(FEW)
        self.lists = Parts(MOST_LISTS)
        self.documents = Parts(MOST_DOCUMENTS)
        self._line = Line()
        self._is_taken = False  # somebody works, or will when the event loop comes to it
        self._worker: asyncio.Task[object] | None = None  # who works
        self._until_s = 0.0  # when this turn of the event loop has had enough of it
        self._is_counting = False  # whether somebody has worked in this turn of the event loop

    async def __aenter__(self) -> Turns:
        await self._begin()
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
            await self._begin()

    async def away(self, waiting: Awaitable[object]) -> None:
        """Wait for something, while others have their turns."""
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
        """Let the next one work, from the next turn of the event loop on, unless somebody does already."""
        if not self._is_taken:
            self._is_taken = self._line.call()

    def _end(self) -> None:
        self._worker = None
        self._is_taken = False
        self._hand_on()

    def _count_anew(self) -> None:
        self._is_counting = False
