"""Answers: those that hold messages until they are sent, each within its bound, and all of them within another one.

Who takes long to read one is in the way of nobody else: a user holds at most a share of what all may hold.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from types import TracebackType
from typing import Final

from leveret.api.errors import ApiError
from leveret.api.turns import FEW, Turns

MOST: Final = 512 << 20  # bytes of messages that all answers hold, beyond which no other one begins
SHARE: Final = 4  # of that, one user may hold one part in so many, beyond which it begins no other one
CHUNK: Final = 64 << 10  # bytes of an answer that are sent at a time, about


class Answers:
    """Of one API. held: bytes, by the names of users.

    few: to be held while messages are collected, of which nobody knows before how large they are. So what all hold is
    at most MOST, and FEW times what one answer may have.
    """

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self.few = asyncio.Semaphore(FEW)

    def begin(self, user: str) -> Holding:
        """For one answer. Use: with answers.begin(name) as holding: ... Raises: ApiError 503."""
        if self.held.total() >= MOST or self.held[user] >= MOST // SHARE:
            text = "too many messages are being sent at once; try again"
            raise ApiError(503, "busy", text, {"Retry-After": "1"})
        return Holding(self.held, user)


class Holding:
    """What one answer holds, until the end of the block."""

    def __init__(self, held: Counter[str], user: str) -> None:
        self._held = held
        self._user = user
        self._size = 0

    def add(self, size: int) -> None:
        """It holds so many bytes more."""
        self._size += size
        self._held[self._user] += size

    def __enter__(self) -> Holding:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._held[self._user] -= self._size
        if not self._held[self._user]:
            del self._held[self._user]


async def in_turns(pieces: Iterator[bytes], turns: Turns) -> AsyncGenerator[bytes]:
    """The same bytes in chunks, which are made while they are sent. pieces: each takes little time to make."""
    out = bytearray()
    is_over = False
    while not is_over:
        async with turns:
            while len(out) < CHUNK:
                piece = next(pieces, None)
                if piece is None:
                    is_over = True
                    break
                out += piece
                await turns.rest()
        yield bytes(out)
        out.clear()
