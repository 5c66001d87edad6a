"""The HTTP server: uvicorn's protocol in the event loop of the broker, with bounds on what a client may ask for.

Clients share places, by their addresses. Nobody holds one for nothing: there is a time for each thing that a client has
to do next, which does not begin anew with each byte. What a client sends is looked at in pieces.
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

MAX_HEADERS = 16 << 10  # bytes of a request before its body, and of what is looked at in one piece
MOST_LINES = 100  # of that
HEAD_END = re.compile(rb"\n\r?\n")
KEEP_ALIVE_S = 75.0  # how long a client may ask for nothing
REQUEST_S = 20.0  # how long a client may take to the end of the headers of a request
LINGER_S = 5.0  # how long it may go on with a body that nobody reads
SEND_S = 30.0  # how long it may take nothing of an answer
SAFE = ("GET", "HEAD")  # what nobody needs to be through with whose client has gone
SHARE = 2  # of all places, one address may have one part in so many

log = logging.getLogger("leveret.api")


def _is_much(data: bytes) -> bool:
    """Whether the request that this begins with has so many headers that it would take long to read them."""
    end = HEAD_END.search(data)
    return data.count(b"\n", 0, len(data) if end is None else end.start()) > MOST_LINES


class Stage(Enum):
    """What is going on with a client."""

    HEAD = "it has begun with a request, or has just come"
    ANSWER = "the application reads its body, or answers"
    BODY = "it has its answer, and still sends its body"
    IDLE = "it may ask for something else"


TIMES = {Stage.HEAD: REQUEST_S, Stage.BODY: LINGER_S, Stage.IDLE: KEEP_ALIVE_S}
"""Seconds after which a client is cut off."""


class Said:
    """What uvicorn says of a client, in the log of the broker. name: of the client."""

    level = logging.WARNING  # uvicorn looks at it, and leaves out details then

    def __init__(self, name: str) -> None:
        self._name = name

    def warning(self, text: str) -> None:
        """The client did something wrong."""
        log.warning("HTTP client %s: %s", self._name, text.strip().rstrip("."))

    def error(self, text: str, exc_info: BaseException | None = None) -> None:
        """We did something wrong."""
        log.error("HTTP client %s: %s", self._name, text.strip().rstrip("."), exc_info=exc_info)


class Visitor(H11Protocol):
    """One client. site: what its address counts as. since_s: when it came. is_over: whether its socket is closed."""

    def __init__(self, config: Config, state: ServerState, places: Places[Visitor], host: str, name: str) -> None:
        self._presence = Presence(self.cut)
        super().__init__(config, state, {PRESENCE: self._presence})
        self.logger = Said(name)  # type: ignore[assignment]
        self.site = site(host)
        self.since_s = time.monotonic()
        self.is_over = False
        self.name = name
        self.task: asyncio.Task[None] | None = None  # which agrees on TLS
        self._places = places
        self._held = b""  # what it has sent, and is not looked at yet
        self._stage = Stage.ANSWER
        self._timer: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._unsent = 0  # bytes of answers at the last look

    # -- its life

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It may ask."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        super().connection_lost(exc)
        for timer in (self._timer, self._stall):
            if timer is not None:
                timer.cancel()
        self._held = b""
        self.gone()

    def gone(self) -> None:
        """Its socket is closed."""
        self.is_over = True
        self._presence.end()
        self._places.remove(self)

    def cut(self) -> None:
        """Close its socket at once. Whoever still answers it has nobody to answer to."""
        self._places.remove(self)
        self._presence.is_gone = True
        if self._is_answered:
            self.cycle.disconnected = True
        if self.transport is not None:
            self.transport.abort()
        elif self.task is not None:
            self.task.cancel()

    # -- what it sends

    def data_received(self, data: bytes) -> None:
        """It has sent something."""
        self._held += data
        self._look()

    def _look(self) -> None:
        """Look at what it has sent, as far as it is time for that."""
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
        """What it has sent is no HTTP; that can be answered unless something else is being answered."""
        error = sys.exception()
        if error is not None:
            error.__traceback__ = None  # through which it would keep itself, and all of this, until the next collection
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(msg)
            if self.cycle is not None:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
        else:
            self.transport.abort()

    def _refuse(self, reason: str) -> None:
        """Answer as the API does to what makes no sense, and close the connection."""
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
        """It may go on without another protocol; nobody has to be told."""

    @property
    def _is_answered(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # -- what it is sent

    def on_response_complete(self) -> None:
        """It has its answer, or what is left of it waits to be sent."""
        if _is_much(self.conn.trailing_data[0]):
            self.cut()
            return
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """It takes less than it is sent."""
        super().pause_writing()
        if self._stall is None:
            self._unsent = self.transport.get_write_buffer_size()
            self._stall = self.loop.call_later(SEND_S, self._look_whether_stalled)

    def resume_writing(self) -> None:
        """It has taken nearly all of it."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _look_whether_stalled(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent >= self._unsent:
            log.info("HTTP client %s: cut off: it takes nothing of its answer", self.name)
            self.cut()
            return
        self._unsent = unsent
        self._stall = self.loop.call_later(SEND_S, self._look_whether_stalled)

    # -- how long it may take

    def _watch(self) -> None:
        """Begin to wait for what it has to do next, if that is something else than before."""
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
        if self._stall is not None:  # there is more time to take an answer
            self._timer = self.loop.call_later(SEND_S, self._lose_patience)
            return
        if self._stage is not Stage.IDLE:
            log.info("HTTP client %s: cut off: its request took too long", self.name)
        self.cut()


class HttpServer:
    """Serves an application to whoever is welcomed. places: for its clients, which several servers may share."""

    def __init__(self, app: ASGIApp, places: Places[Visitor]) -> None:
        async def serve_until_stopped(scope: Scope, receive: Receive, send: Send) -> None:
            presence: Presence = scope["state"][PRESENCE]
            if scope["method"] in SAFE:
                presence.task = asyncio.current_task()
            with contextlib.suppress(asyncio.CancelledError):  # by stop(), or since it has gone: nobody has to be told
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
            timeout_keep_alive=round(2 * KEEP_ALIVE_S),  # never reached: each Visitor looks after itself
            h11_max_incomplete_event_size=MAX_HEADERS,
        )
        self._config.load()
        self._state = ServerState()
        self._places = places
        self._visitors: set[Visitor] = set()

    def welcome(self, raw: socket.socket, host: str, name: str, context: ssl.SSLContext | None) -> None:
        """Serve a client that has just come, or close its socket. host: its address. name: for the log."""
        places, at = self._places, site(host)
        is_much = places.count(at) >= max(places.most // SHARE, 1)
        if is_much or places.taken >= places.most:
            other = places.oldest(at) if is_much else places.find_room(at)
            if other is None:
                raw.close()
                log.warning("HTTP client %s: refused: there are %d of %d already", name, places.taken, places.most)
                return
            log.warning("HTTP client %s: cut off: it has to make room", other.name)
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
        """Cut off those that are there."""
        for visitor in [*self._visitors, *self._state.connections]:
            assert isinstance(visitor, Visitor)
            visitor.cut()
        for task in list(self._state.tasks):
            task.cancel()
