"""Documents: large answers held in memory as a whole. Few at once; each is sent as fast as its client reads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

from leveret.api.errors import ApiError
from leveret.api.turns import Turns

CHUNK = 64 << 10  # bytes of one piece


async def document(turns: Turns, make: Callable[[], Awaitable[bytes]]) -> AsyncGenerator[bytes]:
    """The document that make() returns, in pieces. Raises: ApiError 503 before the first one; errors of make()."""
    place = turns.documents.take()
    if place is None:
        text = "too many large answers, such as definitions, are being sent; try again"
        raise ApiError(503, "busy", text, {"Retry-After": "1"})
    try:
        data = await make()
        for at in range(0, len(data), CHUNK):
            yield data[at : at + CHUNK]
    finally:
        turns.documents.give(place)
