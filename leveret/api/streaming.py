"""Streaming: answers that are made while they are sent, until their end or until the client disconnects."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PRESENCE = "presence"  # of the client, in the state of a scope


class Presence:
    """is_gone: whether the client has disconnected. cut: closes its connection at once. on_gone: called when it
    disconnects, or None.

    task: cancelled when the client disconnects, or None.
    """

    __slots__ = ("cut", "is_gone", "on_gone", "task")

    def __init__(self, cut: Callable[[], None] | None = None) -> None:
        self.is_gone = False
        self.cut = cut or _nothing
        self.on_gone: Callable[[], None] | None = None
        self.task: asyncio.Task[object] | None = None

    def end(self) -> None:
        """The client has disconnected: notify, and drop all references to it."""
        self.is_gone = True
        self.cut = _nothing
        on_gone, self.on_gone = self.on_gone, None
        if on_gone is not None:
            on_gone()
        if self.task is not None:
            self.task.cancel()
            self.task = None


def _nothing() -> None:
    """For a client that has already disconnected, or has no connection."""


class Stream(Response):
    """An answer in pieces. It leaves no reference cycle behind, which would stay in memory until the next collection.

    headers: include Content-Length if the size is known. Code of the generator after its last piece runs when that
    piece has been sent; if the client disconnects before, the generator is closed at the first piece not sent.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes],
        media_type: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(None, status, headers, media_type)
        if headers is None or "Content-Length" not in headers:
            del self.headers["content-length"]
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        presence: Presence = scope["state"][PRESENCE]
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with contextlib.aclosing(self._pieces) as pieces:
            async for piece in pieces:
                if presence.is_gone:
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
