"""Limits on the memory of answers that hold messages until they are sent: one limit for each, one for all together.

A client that reads slowly does not block others: one user holds at most a share of the total.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from types import TracebackType
from typing import Final

from leveret.api.errors import ApiError
from leveret.api.turns import FEW, Turns

MOST: Final = 512 << 20  # bytes of messages in all answers; no new answer begins above this
SHARE: Final = 4  # a user who holds 1/SHARE of MOST cannot begin a new answer
CHUNK: Final = 64 << 10  # approximate bytes of one chunk of an answer


class Answers:
    """The answers of one API. held: bytes, by user name.

    few: hold it while collecting messages, whose size is not known in advance. This bounds the total to MOST plus FEW
    times the limit of one answer.
    """

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self.few = asyncio.Semaphore(FEW)

    def begin(self, user: str) -> Holding:
        """Begin an answer. Use: with answers.begin(name) as holding: ... Raises: ApiError 503."""
        if self.held.total() >= MOST or self.held[user] >= MOST // SHARE:
            text = "too many messages are being sent at once; try again"
            raise ApiError(503, "busy", text, {"Retry-After": "1"})
        return Holding(self.held, user)


class Holding:
    """The bytes that one answer holds, until the end of the block."""

    def __init__(self, held: Counter[str], user: str) -> None:
        self._held = held
        self._user = user
        self._size = 0

    def add(self, size: int) -> None:
        """Add bytes to what the answer holds."""
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
    """The same bytes in chunks, made while they are sent. pieces: each must take little time to make."""
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
