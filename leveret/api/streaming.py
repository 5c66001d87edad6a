"""Streaming: answers that are made while they are sent, until there is no more or nobody is there any more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PRESENCE = "presence"  # of the client, in the state of a scope


class Presence:
    """is_gone: whether the client has gone. cut: closes its connection at once.

    task: what is of no use when it has gone, None for nothing.
    """

    __slots__ = ("cut", "is_gone", "task")

    def __init__(self, cut: Callable[[], None]) -> None:
        self.is_gone = False
        self.cut = cut
        self.task: asyncio.Task[object] | None = None

    def end(self) -> None:
        """It has gone, and nothing is left that would keep it in memory."""
        self.is_gone = True
        self.cut = _nothing
        if self.task is not None:
            self.task.cancel()
            self.task = None


def _nothing() -> None:
    """For a client that has gone already."""


class Stream(Response):
    """An answer in pieces, which leaves no circle of references behind: those stay in memory for a while."""

    def __init__(self, pieces: AsyncGenerator[bytes], media_type: str) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        presence: Presence = scope["state"][PRESENCE]
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with contextlib.aclosing(self._pieces) as pieces:
            async for piece in pieces:
                if presence.is_gone:
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
