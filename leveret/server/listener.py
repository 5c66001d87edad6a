"""Listener: accepts new clients, and continues when accepting one fails.

It replaces the servers of the event loops: these do not report the address of a client that has already gone, nor the
reason of a failed TLS handshake; and one of them closes its port when the system runs out of file descriptors.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from typing import Final, Protocol

AT_ONCE: Final = 64  # clients accepted per call
RETRY_S: Final = 0.5  # when the system has no resources for another client

log = logging.getLogger("leveret.connection")


def _server(family: int, address: tuple[object, ...], backlog: int, is_only: bool) -> socket.socket:
    """A listening socket. is_only: it is the only one, on all addresses, so it accepts IPv4 clients too.

    Source: RabbitMQ's gen_tcp, which with :: listens on both, as is the system's default.
    """
    both = is_only and socket.has_dualstack_ipv6()
    return socket.create_server(address, family=family, backlog=backlog, dualstack_ipv6=both)


class Host(Protocol):
    """Serves accepted clients."""

    def welcome(self, raw: socket.socket, host: str, name: str, context: ssl.SSLContext | None) -> None:
        """Accept a new client, or close its socket. host: its address. name: for the log."""


class Listener:
    """The sockets of one port. context: for TLS with future clients, None for no TLS."""

    def __init__(self, guests: Host, context: ssl.SSLContext | None = None) -> None:
        self.context = context
        self._guests = guests
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._pause: asyncio.TimerHandle | None = None

    def listen(self, host: str, port: int, backlog: int) -> None:
        """Listen on all addresses of a host, and accept clients. Raises: OSError."""
        self.open(host, port, backlog)
        self.begin()

    def open(self, host: str, port: int, backlog: int) -> None:
        """Listen; clients wait in the backlog until begin(). Raises: OSError."""
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                self._sockets.append(_server(family, address, backlog, is_only=host == "::"))
        except BaseException:
            self.close()
            raise
        for each in self._sockets:
            each.setblocking(False)

    @property
    def is_open(self) -> bool:
        """Whether it listens."""
        return bool(self._sockets)

    @property
    def address(self) -> tuple[str, int]:
        """The address it listens on, or the first of several."""
        host, port = self._sockets[0].getsockname()[:2]
        return host, port

    def close(self) -> None:
        """Stop listening."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        for each in self._sockets:
            self._loop.remove_reader(each)
            each.close()
        self._sockets.clear()

    def begin(self) -> None:
        """Accept waiting and future clients."""
        self._pause = None
        for each in self._sockets:
            self._loop.add_reader(each, self._accept, each)

    def _accept(self, listening: socket.socket) -> None:
        """Accept waiting clients."""
        for _ in range(AT_ONCE):
            try:
                raw, address = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue  # the client has already gone
            except OSError as error:
                log.error("cannot accept new clients: %s; they wait", os.strerror(error.errno or 0))
                for each in self._sockets:
                    self._loop.remove_reader(each)
                self._pause = self._loop.call_later(RETRY_S, self.begin)
                return
            self._welcome(raw, address)

    def _welcome(self, raw: socket.socket, address: object) -> None:
        try:
            raw.setblocking(False)
            name = connection_name(address, raw.getsockname())
        except OSError as error:
            log.info("connection %s: cannot be read: %s", shown(address), error.strerror)
            raw.close()
            return
        host = str(address[0]) if isinstance(address, tuple) else ""
        self._guests.welcome(raw, host, name, self.context)


def connection_name(peer: object, own: object) -> str:
    """Both addresses, for the log."""
    return f"{shown(peer)} -> {shown(own)}"


def shown(address: object) -> str:
    """An address, for the log."""
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address or "unknown")
