"""ControlSocket: verbs of administration for programs on this machine, over a unix socket.

One request and one answer a line, in JSON: {"verb": "add_vhost", "arguments": {"name": "orders"}} is answered with
{"result": null}, or with {"error": "..."} when it is refused. An answer leaves when what was changed is on the disk.

Messages are too large for JSON. A request may have "bytes": N beside its verb; N bytes then follow its line, which are
the argument `data`. An answer with "bytes": N is followed by N bytes in the same way, `data` of its result.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from leveret.core.administration import AdministrationError, Promise
from leveret.server import requests
from leveret.server.driver import Driver

MAX_REQUEST = 256 << 20  # bytes: a definitions file is one request
MORE_DATA = 4 << 20  # bytes that data may have beyond the largest message
DURABLE_S = 10.0  # how long an answer waits for the disk

log = logging.getLogger("leveret.control")

Perform = Callable[[str, dict[str, object]], object]


class ControlSocket:
    """Listens on a bound socket. perform: does a verb, or raises AdministrationError.

    prepare: called in another thread before the first verb, for what takes time and has to be done once.
    """

    def __init__(self, driver: Driver, perform: Perform, prepare: Callable[[], None]) -> None:
        self._driver = driver
        self._perform = perform
        self._prepare = prepare
        self._is_prepared = False
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
            if not self._is_prepared:
                await asyncio.to_thread(self._prepare)
                self._is_prepared = True
            while line := await reader.readline():
                answer, data = await self._answer(line, reader)
                if data:
                    answer["bytes"] = len(data)
                writer.write(await requests.write(answer) + b"\n")
                if data:
                    writer.write(data)
                await writer.drain()
        except (OSError, ValueError, EOFError) as error:  # gone, or more than MAX_REQUEST in one line
            log.warning("control socket: %s", error)
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _answer(self, line: bytes, reader: asyncio.StreamReader) -> tuple[dict[str, object], bytes]:
        """The answer to a request, and the bytes that follow it. Raises: ValueError, EOFError."""
        try:
            request = await requests.read(line)
            verb, arguments = str(request["verb"]), dict(request.get("arguments") or {})
            size = int(request.get("bytes", 0))
        except (ValueError, TypeError, KeyError, AttributeError):
            return {"error": 'a request is one line of JSON: {"verb": ..., "arguments": {...}}'}, b""
        if size:
            if not 0 < size <= self._driver.broker.max_message_size + MORE_DATA:
                raise ValueError(f"a request with {size} bytes of data")
            arguments["data"] = await reader.readexactly(size)
        try:
            result = await self._do(verb, arguments)
        except AdministrationError as error:
            return {"error": str(error)}, b""
        except Exception:
            log.exception("control socket: %s failed", verb)
            return {"error": f"{verb} failed inside the broker; its log says why"}, b""
        data = result.pop("data", b"") if isinstance(result, dict) else b""
        return {"result": result}, data

    async def _do(self, verb: str, arguments: dict[str, object]) -> object:
        """Do a verb, and wait until what it did is safe. Raises: AdministrationError."""
        self._driver.refresh_clock()
        try:
            result = self._perform(verb, arguments)
        finally:
            self._driver.broker.settle()
            self._driver.turn()
        if isinstance(result, Promise):
            await self._driver.until(result.is_kept)
            result = result.result()
        try:
            async with asyncio.timeout(DURABLE_S):
                await self._driver.durable()
        except TimeoutError:
            text = f"{verb} is done, but cannot be written to the data directory; the broker's log says why"
            raise AdministrationError(text) from None
        return result
