"""Guests: clients that have not logged in yet. Anyone who can reach a port can become one, so resources are limited.

The number of places is limited. When all are taken, the address with the most guests loses its oldest one to a
newcomer from another address; so a client that fills the places harms only itself. TLS handshakes are more expensive:
fewer guests may be in one at a time, shared fairly in the same way, and the others wait. One time limit covers
everything from accept to connection.open.

The broker reads only a little from a guest at a time, and nothing while its password is checked.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from leveret.auth.addresses import site
from leveret.server.places import Places
from leveret.session.connection.connection import HANDSHAKE_MS

if TYPE_CHECKING:
    from leveret.server.transport import ClientProtocol

PIECE: Final = 4096  # bytes of one read
MOST_TLS: Final = 1000  # guests in a TLS handshake at once; each takes some 60 KiB
TLS_S: Final = 5.0  # for the handshake, as in RabbitMQ
NO_TLS: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST")  # OpenSSL's reasons for clients that do not speak TLS
REFUSED: Final = ("CERTIFICATE_VERIFY_FAILED", "PEER_DID_NOT_RETURN_A_CERTIFICATE")

log = logging.getLogger("leveret.connection")


class Guests:
    """All guests of a broker.

    accept: creates the AMQP protocol of a guest. most: number of places. most_sockets: limit of open sockets of all
    clients; sockets: how many are open.
    """

    def __init__(self, accept: Callable[[], ClientProtocol], most: int, most_sockets: int) -> None:
        self.accept = accept
        self.places: Places[Guest] = Places(most)
        self.tls_places: Places[Guest] = Places(MOST_TLS)
        self.most_sockets = most_sockets
        self.sockets = 0
        self.buffer = bytearray(PIECE)  # shared by all guests
        self._waiting: dict[str, deque[Guest]] = {}  # for a TLS place, by site

    def welcome(self, raw: socket.socket, host: str, name: str, context: ssl.SSLContext | None) -> None:
        """Accept a new client, or close its socket. host: its address. name: for the log."""
        at = site(host)
        if self.places.taken >= self.places.most or self.sockets >= self.most_sockets:
            other = self.places.find_room(at)
            if other is None:
                raw.close()
                taken, sockets = self.places.taken, self.sockets
                log.warning("connection %s: refused: of %d clients, %d have not logged in", name, sockets, taken)
                return
            other.drop("it has not logged in, and must make room")
        guest = Guest(self, raw, host, at, name, context)
        self.sockets += 1
        self.places.add(guest)
        if context is None:
            guest.begin()
        elif self._has_room(at):
            self.tls_places.add(guest)
            guest.begin()
        else:
            self._waiting.setdefault(at, deque()).append(guest)

    def _has_room(self, at: str) -> bool:
        """Whether a newcomer can begin its TLS handshake at once."""
        if self.tls_places.taken < self.tls_places.most:
            return True
        other = self.tls_places.find_room(at)
        if other is None:
            return False
        other.drop("its TLS handshake is not complete, and it must make room")
        return True

    def begin_next(self) -> None:
        """Begin the TLS handshake of waiting guests for free places."""
        while self._waiting and self.tls_places.taken < self.tls_places.most:
            at = min(self._waiting, key=self.tls_places.count)
            guest = self._waiting[at].popleft()
            if not self._waiting[at]:
                del self._waiting[at]
            if guest.waits:
                self.tls_places.add(guest)
                guest.begin()

    def close(self) -> None:
        """Drop all guests that do not speak AMQP yet."""
        self._waiting.clear()
        for guest in self.places:
            if not guest.speaks:
                guest.cut()


class Guest(asyncio.BufferedProtocol):
    """A client from accept to login; afterwards its protocol owns the socket.

    host: its address at accept; the system does not report it later if the client has gone. site: the key of its
    address for sharing places. name: for the log. since_s: time of accept. is_over: whether its socket is closed.
    """

    __slots__ = (
        "__weakref__",
        "_context",
        "_guests",
        "_protocol",
        "_raw",
        "_task",
        "_timer",
        "_transport",
        "host",
        "is_over",
        "name",
        "since_s",
        "site",
    )

    def __init__(
        self, guests: Guests, raw: socket.socket, host: str, at: str, name: str, context: ssl.SSLContext | None
    ) -> None:
        self.host = host
        self.site = at
        self.since_s = time.monotonic()
        self.is_over = False
        self.name = name
        self._guests = guests
        self._raw = raw
        self._context = context
        self._task: asyncio.Task[None] | None = None
        self._protocol: ClientProtocol | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        if context is not None:  # without TLS a Connection is created at once, with its own deadline
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(HANDSHAKE_MS / 1000, self.drop, "handshake took too long")

    @property
    def age_ms(self) -> int:
        """Milliseconds since accept."""
        return int((time.monotonic() - self.since_s) * 1000)

    @property
    def waits(self) -> bool:
        """Whether its TLS handshake is still to be completed."""
        return self._timer is not None

    @property
    def speaks(self) -> bool:
        """Whether it may speak AMQP: without TLS, or after the handshake."""
        return self._protocol is not None

    # -- before AMQP

    def begin(self) -> None:
        """Begin the TLS handshake, or AMQP at once."""
        self._task = asyncio.get_running_loop().create_task(self._begin())
        self._task.add_done_callback(self._begun)

    async def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        if self._context is None:
            await loop.connect_accepted_socket(lambda: self, self._raw)
            return
        transport, _ = await loop.connect_accepted_socket(
            lambda: self, self._raw, ssl=self._context, ssl_handshake_timeout=TLS_S
        )
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            log.info("connection %s: %s, %s", self.name, tls.version(), tls.cipher()[0])

    def _begun(self, task: asyncio.Task[None]) -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, OSError):
            level = logging.WARNING if getattr(error, "reason", "") in REFUSED else logging.INFO
            what = "TLS handshake failed" if self._context is not None else "cannot be read"
            log.log(level, "connection %s: %s: %s", self.name, what, reason(error))
        elif error is not None:
            log.error("connection %s: internal error", self.name, exc_info=error)
        if self._protocol is None and not self.is_over:
            self._raw.close()
            self.gone()

    def drop(self, why: str) -> None:
        """Close its socket. why: for the log."""
        log.warning("connection %s: closed: %s", self.name, why)
        self.cut()

    def cut(self) -> None:
        """Close its socket without a log entry."""
        self._leave()
        if self._protocol is not None:
            self._protocol.abort()
        elif self._task is not None:
            self._task.cancel()
        else:
            self._raw.close()
            self.gone()

    def _leave(self) -> None:
        """Release its places."""
        self._guests.places.remove(self)
        self._has_agreed()

    def _has_agreed(self) -> None:
        """The TLS handshake has ended, successfully or not."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._guests.tls_places.remove(self)
            self._guests.begin_next()

    # -- AMQP

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin AMQP."""
        self._has_agreed()
        self._transport = cast(asyncio.Transport, transport)
        self._protocol = self._guests.accept()
        self._protocol.guest = self
        self._protocol.connection_made(transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        """The buffer for input. It is copied at once, so all guests share one."""
        return self._guests.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass input to the protocol."""
        assert self._protocol is not None
        self._protocol.data_received(bytes(memoryview(self._guests.buffer)[:nbytes]))

    def eof_received(self) -> bool:
        """The client sends no more; the event loop closes the socket."""
        assert self._protocol is not None
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        assert self._protocol is not None
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The socket's buffer has room again."""
        assert self._protocol is not None
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        assert self._protocol is not None
        self._protocol.connection_lost(exc)

    def let_in(self) -> None:
        """The client has logged in: hand the socket to its protocol, which reads without the guests' limits."""
        protocol, transport = self._protocol, self._transport
        assert protocol is not None
        assert transport is not None
        self._leave()
        transport.pause_reading()
        transport.set_protocol(protocol)
        if protocol.is_reading:
            transport.resume_reading()

    def gone(self) -> None:
        """Its socket is closed, by any party."""
        if not self.is_over:
            self.is_over = True
            self._guests.sockets -= 1
            self._leave()
            self._protocol = self._transport = None  # break the reference cycles


def reason(error: OSError) -> str:
    """Why TLS failed, as log text."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        if error.reason in NO_TLS:
            return "the client did not speak TLS on a port with TLS"
        return str(error.reason or error.strerror or error).replace("_", " ").lower()
    if isinstance(error, ConnectionAbortedError):
        return f"it took more than {TLS_S:g} s"
    return "the client closed the socket"
