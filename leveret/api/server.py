"""The HTTP server: uvicorn's protocol in the event loop of the broker, with limits for clients.

Clients share a number of places, divided by address. No client may hold a place idle: each step that a client has to
take has a timeout, which does not restart with each byte. The server parses input in pieces.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import ssl
import sys
import time
from enum import Enum

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from leveret.api.encoding import encode
from leveret.api.streaming import PRESENCE, Presence
from leveret.auth.addresses import site
from leveret.server.guests import TLS_S, reason
from leveret.server.places import Places

MAX_HEADERS = 16 << 10  # maximum bytes of a request before its body, and of one piece of input
MOST_LINES = 100  # maximum lines of a request before its body
HEAD_END = re.compile(rb"\n\r?\n")
KEEP_ALIVE_S = 75.0  # seconds that a connection may be idle between requests
REQUEST_S = 20.0  # seconds that a client may take to send the headers of a request
LINGER_S = 5.0  # seconds that it may go on sending a body that is not read
SEND_S = 30.0  # seconds without progress in sending an answer
SAFE = ("GET", "HEAD")  # methods that can be cancelled when the client disconnects
SHARE = 2  # one address may take 1/SHARE of the places

log = logging.getLogger("leveret.api")


def _is_much(data: bytes) -> bool:
    """Whether the request at the start of this data has too many headers to parse quickly."""
    end = HEAD_END.search(data)
    return data.count(b"\n", 0, len(data) if end is None else end.start()) > MOST_LINES


class Stage(Enum):
    """The state of a client's connection."""

    HEAD = "the client has just connected, or is sending the headers of a request"
    ANSWER = "the application is reading the body or answering"
    BODY = "the answer is complete, but the client is still sending its body"
    IDLE = "the client may send another request"


TIMES = {Stage.HEAD: REQUEST_S, Stage.BODY: LINGER_S, Stage.IDLE: KEEP_ALIVE_S}
"""Timeouts in seconds, after which the server disconnects the client."""


class Said:
    """Writes uvicorn's messages about a client to the log of the broker. name: of the client."""

    level = logging.WARNING  # makes uvicorn leave out details

    def __init__(self, name: str) -> None:
        self._name = name

    def warning(self, text: str) -> None:
        """Log a mistake of the client."""
        log.warning("HTTP client %s: %s", self._name, text.strip().rstrip("."))

    def error(self, text: str, exc_info: BaseException | None = None) -> None:
        """Log a bug in the server."""
        log.error("HTTP client %s: %s", self._name, text.strip().rstrip("."), exc_info=exc_info)


class Visitor(H11Protocol):
    """One client. site: the address group it counts for. since_s: when it connected. is_over: its socket is closed."""

    def __init__(self, config: Config, state: ServerState, places: Places[Visitor], host: str, name: str) -> None:
        self._presence = Presence(self.cut)
        super().__init__(config, state, {PRESENCE: self._presence})
        self.logger = Said(name)  # type: ignore[assignment]
        self.site = site(host)
        self.since_s = time.monotonic()
        self.is_over = False
        self.name = name
        self.task: asyncio.Task[None] | None = None  # does the TLS handshake
        self._places = places
        self._held = b""  # input that is not parsed yet
        self._stage = Stage.ANSWER
        self._timer: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._unsent = 0  # unsent bytes of answers at the last check

    # -- connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection is open."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        super().connection_lost(exc)
        for timer in (self._timer, self._stall):
            if timer is not None:
                timer.cancel()
        self._held = b""
        self.gone()

    def gone(self) -> None:
        """Give up its place: its socket is closed."""
        self.is_over = True
        self._presence.end()
        self._places.remove(self)

    def cut(self) -> None:
        """Close its socket at once. An operation that is still answering sees that the client is gone."""
        self._places.remove(self)
        self._presence.is_gone = True
        if self._is_answered:
            self.cycle.disconnected = True
        if self.transport is not None:
            self.transport.abort()
        elif self.task is not None:
            self.task.cancel()

    # -- input

    def data_received(self, data: bytes) -> None:
        """The client sent data."""
        self._held += data
        self._look()

    def _look(self) -> None:
        """Parse its input, except for requests that must wait for the current answer."""
        at = 0
        while at < len(self._held) and not self.transport.is_closing():
            if self._is_answered and self.conn.their_state is not h11.SEND_BODY:
                self.flow.pause_reading()
                break
            piece = self._held[at : at + MAX_HEADERS]
            at += len(piece)
            if self.conn.their_state is h11.IDLE and _is_much(self.conn.trailing_data[0] + piece):
                self.logger.warning(f"more than {MOST_LINES} headers")
                self.send_400_response("Too many headers")
                break
            super().data_received(piece)
        self._held = b"" if self.transport.is_closing() else self._held[at:]
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Answer input that is not valid HTTP, unless another answer is being sent; then close the connection."""
        error = sys.exception()
        if error is not None:
            error.__traceback__ = None  # avoids a reference cycle that would live until the next collection
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(msg)
            if self.cycle is not None:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
        else:
            self.transport.abort()

    def _refuse(self, reason: str) -> None:
        """Answer 400 in the format of the API, and close the connection."""
        body = encode({"error": "bad_request", "reason": reason})
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Do not log it: the client may go on without another protocol."""

    @property
    def _is_answered(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # -- output

    def on_response_complete(self) -> None:
        """The answer is complete: sent, or in the send buffer."""
        if _is_much(self.conn.trailing_data[0]):
            self.cut()
            return
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """The client reads more slowly than the server sends."""
        super().pause_writing()
        if self._stall is None:
            self._unsent = self.transport.get_write_buffer_size()
            self._stall = self.loop.call_later(SEND_S, self._look_whether_stalled)

    def resume_writing(self) -> None:
        """The send buffer is nearly empty again."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _look_whether_stalled(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent >= self._unsent:
            log.info("HTTP client %s: disconnected: it does not read its answer", self.name)
            self.cut()
            return
        self._unsent = unsent
        self._stall = self.loop.call_later(SEND_S, self._look_whether_stalled)

    # -- timeouts

    def _watch(self) -> None:
        """Start the timeout for the client's next step, if the stage has changed."""
        stage = self._find_stage()
        if stage is self._stage:
            return
        self._stage = stage
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if stage in TIMES:
            self._timer = self.loop.call_later(TIMES[stage], self._lose_patience)

    def _find_stage(self) -> Stage:
        if self._is_answered:
            return Stage.ANSWER
        if self.conn.their_state is h11.SEND_BODY:
            return Stage.BODY
        return Stage.HEAD if self.cycle is None or self.conn.trailing_data[0] else Stage.IDLE

    def _lose_patience(self) -> None:
        if self._stall is not None:  # a slow answer has its own, longer timeout
            self._timer = self.loop.call_later(SEND_S, self._lose_patience)
            return
        if self._stage is not Stage.IDLE:
            log.info("HTTP client %s: disconnected: its request took too long", self.name)
        self.cut()


class HttpServer:
    """Serves an application to HTTP clients. places: for clients; several servers may share them."""

    def __init__(self, app: ASGIApp, places: Places[Visitor]) -> None:
        async def serve_until_stopped(scope: Scope, receive: Receive, send: Send) -> None:
            presence: Presence = scope["state"][PRESENCE]
            if scope["method"] in SAFE:
                presence.task = asyncio.current_task()
            with contextlib.suppress(asyncio.CancelledError):  # by stop(), or because the client is gone
                await app(scope, receive, send)
            presence.task = None

        self._config = Config(
            serve_until_stopped,
            http=Visitor,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=round(2 * KEEP_ALIVE_S),  # never reached: each Visitor has its own timeouts
            h11_max_incomplete_event_size=MAX_HEADERS,
        )
        self._config.load()
        self._state = ServerState()
        self._places = places
        self._visitors: set[Visitor] = set()

    def welcome(self, raw: socket.socket, host: str, name: str, context: ssl.SSLContext | None) -> None:
        """Serve a client that has just connected, or close its socket. host: its address. name: for the log."""
        places, at = self._places, site(host)
        is_much = places.count(at) >= max(places.most // SHARE, 1)
        if is_much or places.taken >= places.most:
            other = places.oldest(at) if is_much else places.find_room(at)
            if other is None:
                raw.close()
                log.warning("HTTP client %s: refused: %d of %d places are taken", name, places.taken, places.most)
                return
            log.warning("HTTP client %s: disconnected: it has to make room for another client", other.name)
            other.cut()
        visitor = Visitor(self._config, self._state, places, host, name)
        places.add(visitor)
        self._visitors.add(visitor)
        visitor.task = asyncio.get_running_loop().create_task(self._begin(visitor, raw, context))
        visitor.task.add_done_callback(lambda task: self._begun(visitor, raw, task))

    async def _begin(self, visitor: Visitor, raw: socket.socket, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        if context is None:
            await loop.connect_accepted_socket(lambda: visitor, raw)
        else:
            await loop.connect_accepted_socket(lambda: visitor, raw, ssl=context, ssl_handshake_timeout=TLS_S)

    def _begun(self, visitor: Visitor, raw: socket.socket, task: asyncio.Task[None]) -> None:
        visitor.task = None
        self._visitors.discard(visitor)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, OSError):
            log.info("HTTP client %s: %s", visitor.name, reason(error))
        elif error is not None:
            log.error("HTTP client %s: internal error", visitor.name, exc_info=error)
        if visitor.transport is None:
            raw.close()
            visitor.gone()

    def stop(self) -> None:
        """Disconnect all clients."""
        for visitor in [*self._visitors, *self._state.connections]:
            assert isinstance(visitor, Visitor)
            visitor.cut()
        for task in list(self._state.tasks):
            task.cancel()
