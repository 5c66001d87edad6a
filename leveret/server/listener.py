"""Listener: takes new clients from the system, and goes on with that when one cannot be taken.

The servers of event loops do not tell the address of a client that has gone again before it was asked for, nor why
somebody could not agree on TLS; and where the system is short of files, one of them would give up its port.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from typing import Final, Protocol

AT_ONCE: Final = 64  # clients, before others have their turn
RETRY_S: Final = 0.5  # when the system has nothing left for another client

log = logging.getLogger("leveret.connection")


def _server(family: int, address: tuple[object, ...], backlog: int, is_only: bool) -> socket.socket:
    """A socket that listens. is_only: on all addresses, and no other one does; so it takes clients of IPv4 too.

    Source: gen_tcp, which RabbitMQ uses, listens on both with ::, as the system's default is.
    """
    both = is_only and socket.has_dualstack_ipv6()
    return socket.create_server(address, family=family, backlog=backlog, dualstack_ipv6=both)


class Host(Protocol):
    """Who serves clients."""

    def welcome(self, raw: socket.socket, host: str, name: str, context: ssl.SSLContext | None) -> None:
        """Take a client that has just come, or close its socket. host: its address. name: for the log."""


class Listener:
    """The sockets of one port. context: for TLS with those who come next, None for none."""

    def __init__(self, guests: Host, context: ssl.SSLContext | None = None) -> None:
        self.context = context
        self._guests = guests
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._pause: asyncio.TimerHandle | None = None

    def listen(self, host: str, port: int, backlog: int) -> None:
        """Take clients at all addresses of a host. Raises: OSError."""
        self.open(host, port, backlog)
        self.begin()

    def open(self, host: str, port: int, backlog: int) -> None:
        """Let the system take clients, who wait until begin(). Raises: OSError."""
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
        """Where it listens, or the first of these places."""
        host, port = self._sockets[0].getsockname()[:2]
        return host, port

    def close(self) -> None:
        """Let the system refuse those who come next."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        for each in self._sockets:
            self._loop.remove_reader(each)
            each.close()
        self._sockets.clear()

    def begin(self) -> None:
        """Serve those who have come, and those who come."""
        self._pause = None
        for each in self._sockets:
            self._loop.add_reader(each, self._accept, each)

    def _accept(self, listening: socket.socket) -> None:
        """Take those who have come."""
        for _ in range(AT_ONCE):
            try:
                raw, address = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue  # it has gone again
            except OSError as error:
                log.error("cannot take new clients: %s; they wait", os.strerror(error.errno or 0))
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
