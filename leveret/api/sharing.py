"""Sharing: what there is little of goes in turn to those who ask, so that who asks for much leaves others their part.

Whoever comes from one address as one user is one, however many connections there are. For whom something is done is
noted where a request begins, and known to all that is awaited for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType

from leveret.auth.addresses import site

PART = 2  # of what there are places for, one may have one part in so many

_who: ContextVar[str] = ContextVar("who", default="")  # the broker itself


def begin_for(host: str, user: str = "") -> None:
    """From now on, this task works for whoever asks from this address, as this user once that is known."""
    _who.set(f"{site(host)} {user}")


def who() -> str:
    """For whom this task works."""
    return _who.get()


class Line:
    """Those who wait. The next one is of whoever has not had a turn for longest."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def wait(self, pass_on: Callable[[], None]) -> None:
        """Wait to be called. pass_on: called if that was so, and is of no use any more."""
        called = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who(), deque()).append(called)
        try:
            await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                pass_on()
            raise

    def call(self) -> bool:
        """Let the next one go on. Returns: whether there was one."""
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
    """As many as may do something at once. Use: async with few: ..."""

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
    """Places, of which nobody has more than a part. Who gets none is refused."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    def take(self) -> str | None:
        """Take a place. Returns: what gives it back, None if there is none to be had."""
        place = who()
        if self._taken.total() >= self._most or self._taken[place] >= max(self._most // PART, 1):
            return None
        self._taken[place] += 1
        return place

    def give(self, place: str) -> None:
        """Give it back."""
        self._taken[place] -= 1
        if not self._taken[place]:
            del self._taken[place]
