"""ControlSocket: verbs of administration for programs on this machine, over a unix socket.

One request and one answer a line, in JSON: {"verb": "add_vhost", "arguments": {"name": "orders"}} is answered with
{"result": null}, or with {"error": "..."} when it is refused. An answer leaves when what was changed is on the disk.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable

from leveret.core.administration import AdministrationError
from leveret.server.driver import Driver

MAX_REQUEST = 256 << 20  # bytes: a definitions file is one request
DURABLE_S = 10.0  # how long an answer waits for the disk

log = logging.getLogger("leveret.control")

Perform = Callable[[str, dict[str, object]], object]


class ControlSocket:
    """Listens on a bound socket. perform: does a verb, or raises AdministrationError."""

    def __init__(self, driver: Driver, perform: Perform) -> None:
        self._driver = driver
        self._perform = perform
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    async def start(self, listener: socket.socket) -> None:
        """Accept requests."""
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_REQUEST)

    def close(self) -> None:
        """Accept no more, and cut who is connected."""
        if self._server is not None:
            self._server.close()
        for writer in self._clients:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError) as error:  # gone, or more than MAX_REQUEST in one line
            log.warning("control socket: %s", error)
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
            verb, arguments = str(request["verb"]), dict(request.get("arguments") or {})
        except (ValueError, TypeError, KeyError, AttributeError):
            return {"error": 'a request is one line of JSON: {"verb": ..., "arguments": {...}}'}
        self._driver.refresh_clock()
        try:
            result = self._perform(verb, arguments)
        except AdministrationError as error:
            return {"error": str(error)}
        except Exception:
            log.exception("control socket: %s failed", verb)
            return {"error": f"{verb} failed inside the broker; its log says why"}
        finally:
            self._driver.broker.settle()
            self._driver.turn()
        try:
            async with asyncio.timeout(DURABLE_S):
                await self._driver.durable()
        except TimeoutError:
            return {"error": f"{verb} is done, but cannot be written to the data directory; the broker's log says why"}
        return {"result": result}
