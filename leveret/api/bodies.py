"""Bodies of requests: one limit for each, set by its operation, and one for all of them together.

One client holds at most a part of the total: see sharing.py for what counts as one client.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from types import TracebackType
from typing import Final

from starlette.requests import Request as HttpRequest

from leveret.api.errors import ApiError
from leveret.api.sharing import PART, who

BODY_S: Final = 30.0  # seconds that a client may take to send a body
MOST: Final = 512 << 20  # bytes of all bodies in memory


class Bodies:
    """The bodies of one API."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()  # bytes in memory, by client

    def begin(self) -> Body:
        """The body of one request. Use: with bodies.begin() as body: await body.read(...)"""
        return Body(self, who())

    def take(self, whose: str, size: int) -> bool:
        """Count bytes in memory. Returns: whether all clients, or this one, hold too many."""
        self._taken[whose] += size
        return self._taken.total() > MOST or self._taken[whose] > MOST // PART

    def give(self, whose: str, size: int) -> None:
        """Stop counting bytes that are no longer in memory."""
        self._taken[whose] -= size
        if not self._taken[whose]:
            del self._taken[whose]


class Body:
    """The body of one request. It counts until the request is answered."""

    def __init__(self, bodies: Bodies, whose: str) -> None:
        self._bodies = bodies
        self._whose = whose
        self._size = 0

    def __enter__(self) -> Body:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bodies.give(self._whose, self._size)

    async def read(self, http: HttpRequest, most: int) -> bytes:
        """The whole body. most: its maximum size in bytes. Raises: ApiError 408, 413, 503."""
        length = http.headers.get("content-length", "0")
        if length.isdigit() and int(length[:20]) > most:
            raise _too_large(most)
        found = bytearray()
        try:
            async with asyncio.timeout(BODY_S):
                async for piece in http.stream():
                    found += piece
                    if len(found) > most:
                        raise _too_large(most)
                    self._size += len(piece)
                    if self._bodies.take(self._whose, len(piece)):
                        text = "clients are sending too much data at once; try again"
                        raise ApiError(503, "busy", text, {"Retry-After": "1"})
        except TimeoutError:
            raise ApiError(408, "timeout", f"the body did not arrive within {BODY_S:g} seconds") from None
        return bytes(found)


def _too_large(most: int) -> ApiError:
    return ApiError(413, "too_large", f"the body of this request may have at most {most} bytes")
