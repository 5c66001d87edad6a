"""Documents: answers that are large as a whole. Few are in memory at once, and each goes as its client takes it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

from leveret.api.errors import ApiError
from leveret.api.turns import Turns

CHUNK = 64 << 10  # bytes that are sent at once


async def document(turns: Turns, make: Callable[[], Awaitable[bytes]]) -> AsyncGenerator[bytes]:
    """What is made, in pieces. Raises: ApiError 503 before the first one, and what make() raises."""
    place = turns.documents.take()
    if place is None:
        text = "too much that is as large as all definitions is being sent; try again"
        raise ApiError(503, "busy", text, {"Retry-After": "1"})
    try:
        data = await make()
        for at in range(0, len(data), CHUNK):
            yield data[at : at + CHUNK]
    finally:
        turns.documents.give(place)
