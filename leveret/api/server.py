"""The HTTP server: uvicorn's protocol in the event loop of the broker, with bounds on what a client may ask for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

MAX_HEADERS = 64 << 10  # bytes
MAX_CONNECTIONS = 1_000
KEEP_ALIVE_S = 75
REQUEST_S = 20.0  # how long a client may take from connecting to the end of its headers

log = logging.getLogger("leveret.api")


class Protocol(H11Protocol):
    """One client, which is cut off when it does not ask for anything within REQUEST_S."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        self._patience = self.loop.call_later(REQUEST_S, self._lose_patience)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._patience.cancel()
        super().connection_lost(exc)

    def _lose_patience(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.abort()


class HttpServer:
    """Serves an application at sockets that are bound already."""

    def __init__(self, app: ASGIApp) -> None:

        async def serve_until_stopped(scope: Scope, receive: Receive, send: Send) -> None:
            with contextlib.suppress(asyncio.CancelledError):  # by stop(); nobody has to be told of that
                await app(scope, receive, send)

        self._config = Config(
            serve_until_stopped,
            http=Protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            limit_concurrency=MAX_CONNECTIONS,
            h11_max_incomplete_event_size=MAX_HEADERS,
        )
        self._config.load()
        self._state = ServerState()
        self._servers: list[asyncio.Server] = []

    async def serve(self, listener: socket.socket, context: ssl.SSLContext | None = None) -> None:
        """Take clients at this socket, until stop()."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Protocol(config=self._config, server_state=self._state, app_state={}), sock=listener, ssl=context
        )
        self._servers.append(server)

    def stop(self) -> None:
        """Take no more clients, and cut off those that are there."""
        for server in self._servers:
            server.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        for task in list(self._state.tasks):
            task.cancel()
