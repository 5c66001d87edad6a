"""TlsGate: where clients agree on TLS. Then an AmqpProtocol has the socket, and knows nothing of it.

A server of asyncio with a context would not tell who could not agree, nor why.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable
from typing import cast

from leveret.server.transport import AmqpProtocol, connection_name

HANDSHAKE_S = 5.0  # as in RabbitMQ
NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST")  # what OpenSSL says of clients that speak something else
REFUSED = ("CERTIFICATE_VERIFY_FAILED", "PEER_DID_NOT_RETURN_A_CERTIFICATE")

log = logging.getLogger("leveret.connection")


class TlsGate:
    """Turns sockets into connections over TLS. context: for those who come next. accept: makes what gets them."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.accept: Callable[[], AmqpProtocol]
        self._handshakes: set[asyncio.Task[None]] = set()

    def protocol(self) -> asyncio.Protocol:
        """What the event loop calls for a new socket."""
        return _Arrival(self)

    def begin(self, name: str, raw: socket.socket) -> None:
        """Agree on TLS with a client."""
        task = asyncio.get_running_loop().create_task(self._agree(name, raw))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    def close(self) -> None:
        """Cut those who have not agreed yet."""
        for task in self._handshakes:
            task.cancel()

    async def _agree(self, name: str, raw: socket.socket) -> None:
        """Agree on TLS, or write into the log why not."""
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_accepted_socket(
                self.accept, raw, ssl=self.context, ssl_handshake_timeout=HANDSHAKE_S
            )
        except OSError as error:
            level = logging.WARNING if getattr(error, "reason", "") in REFUSED else logging.INFO
            log.log(level, "connection %s: TLS handshake failed: %s", name, reason(error))
            return
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            log.info("connection %s: %s, %s", name, tls.version(), tls.cipher()[0])


class _Arrival(asyncio.Protocol):
    """A socket that has just come. The event loop starts TLS only on one that is given to it, so it gets it back."""

    def __init__(self, gate: TlsGate) -> None:
        self._gate = gate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        name = connection_name(transport)
        try:
            raw = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        except OSError as error:
            log.warning("connection %s: TLS handshake failed: %s", name, error.strerror)
        else:
            self._gate.begin(name, raw)
        cast(asyncio.Transport, transport).abort()


def reason(error: OSError) -> str:
    """Why TLS failed, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        if error.reason in NO_TLS:
            return "the client spoke something else on a port with TLS"
        return str(error.reason or error.strerror or error).replace("_", " ").lower()
    if isinstance(error, ConnectionAbortedError):
        return f"it took more than {HANDSHAKE_S:g} s"
    return "the client closed the socket"
