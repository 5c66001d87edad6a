"""Turns: whoever asks the API for much gets it in pieces, and clients of the broker are served in between.

However many ask, one of them works at a time, and all of them together about SLICE_S in a turn of the event loop. They
take turns in the order in which they have come: who has rested waits behind those that wait already.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
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
        self._waiting: deque[asyncio.Future[None]] = deque()  # the first is the next one
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

    async def _begin(self) -> None:
        if self._is_taken or self._waiting or (self._is_counting and time.perf_counter() >= self._until_s):
            await self._wait()
        self._is_taken = True
        self._worker = asyncio.current_task()
        if not self._is_counting:
            self._is_counting = True
            self._until_s = time.perf_counter() + SLICE_S
            asyncio.get_running_loop().call_soon(self._count_anew)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        loop.call_soon(self._hand_on)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was its turn
                self._end()
            raise

    def _hand_on(self) -> None:
        """Let the next one work, from the next turn of the event loop on, unless somebody does already."""
        while self._waiting and not self._is_taken:
            turn = self._waiting.popleft()
            if not turn.done():
                self._is_taken = True
                turn.set_result(None)

    def _end(self) -> None:
        self._worker = None
        self._is_taken = False
        self._hand_on()

    def _count_anew(self) -> None:
        self._is_counting = False
