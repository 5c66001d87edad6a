"""Sharing: clients take turns at scarce resources, so that a client with many requests cannot starve the others.

One address and one user count as one client, however many connections there are. The client is set at the start of a
request, in a context variable.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType

from leveret.auth.addresses import site

PART = 2  # one client may take 1/PART of the places

_who: ContextVar[str] = ContextVar("who", default="")  # the broker itself


def begin_for(host: str, user: str = "") -> None:
    """Set the client of this task. host: its address. user: its name, once known."""
    _who.set(f"{site(host)} {user}")


def who() -> str:
    """The client that this task works for."""
    return _who.get()


class Line:
    """Waiting tasks. The next one is of the client whose last turn is longest ago."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def wait(self, pass_on: Callable[[], None]) -> None:
        """Wait for a turn. pass_on: called if the task was cancelled after it got its turn."""
        called = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who(), deque()).append(called)
        try:
            await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                pass_on()
            raise

    def call(self) -> bool:
        """Give the next task its turn. Returns: whether there was one."""
        while self._waiting:
            whose, queue = next(iter(self._waiting.items()))
            del self._waiting[whose]
            while queue:
                called = queue.popleft()
                if not called.done():
                    if queue:
                        self._waiting[whose] = queue  # behind all others
                    called.set_result(None)
                    return True
        return False


class Few:
    """A fair semaphore. most: how many tasks may hold it at once. Use: async with few: ..."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._line = Line()

    async def __aenter__(self) -> None:
        if self._free and not self._line:
            self._free -= 1
        else:
            await self._line.wait(self._give)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._give()

    def _give(self) -> None:
        if not self._line.call():
            self._free += 1


class Parts:
    """Places, of which each client may take a part. Does not wait: take() fails if there is no place."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    def take(self) -> str | None:
        """Take a place. Returns: the value for give(), None if no place is free."""
        place = who()
        if self._taken.total() >= self._most or self._taken[place] >= max(self._most // PART, 1):
            return None
        self._taken[place] += 1
        return place

    def give(self, place: str) -> None:
        """Give a place back."""
        self._taken[place] -= 1
        if not self._taken[place]:
            del self._taken[place]
