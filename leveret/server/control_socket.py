"""ControlSocket: verbs of administration for programs on this machine, over a unix socket.

One request and one answer a line, in JSON: {"verb": "add_vhost", "arguments": {"name": "orders"}} is answered with
{"result": null}, or with {"error": "..."} when it is refused. An answer leaves when what was changed is on the disk.

Messages are too large for JSON. A request may have "bytes": N beside its verb; N bytes then follow its line, which are
the argument `data`. An answer with "bytes": N is followed by N bytes in the same way, `data` of its result.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket

from leveret.core.errors.administration import AdministrationError
from leveret.server import requests
from leveret.server.driver import Driver
from leveret.server.performer import Performer

MAX_REQUEST = 256 << 20  # bytes: a definitions file is one request
MORE_DATA = 4 << 20  # bytes that data may have beyond the largest message
HEAR_OUT_S = 2.0  # how long a client may go on after the last answer, so that it comes to read that
PIECE = 64 * 1024  # bytes

log = logging.getLogger("leveret.control")


class Unfollowable(Exception):
    """Nobody knows where the request behind this one begins; the text is the last answer."""


class ControlSocket:
    """Listens on a bound socket. max_request: bytes that a line may have."""

    def __init__(self, driver: Driver, performer: Performer, max_request: int = MAX_REQUEST) -> None:
        self._driver = driver
        self._performer = performer
        self._max_request = max_request
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    async def start(self, listener: socket.socket) -> None:
        """Accept requests."""
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=self._max_request)

    def close(self) -> None:
        """Accept no more, and cut who is connected."""
        if self._server is not None:
            self._server.close()
        for writer in self._clients:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            await self._performer.prepare()
            while line := await self._line(reader):
                answer, data = await self._answer(line, reader)
                await _send(writer, answer, data)
        except Unfollowable as error:
            log.warning("control socket: %s", error)
            with contextlib.suppress(OSError):
                await _send(writer, {"error": str(error)}, b"")
                writer.write_eof()
                await _hear_out(reader)
        except (OSError, EOFError) as error:  # gone
            log.warning("control socket: %s", error)
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        """The line of a request; empty at the end. Raises: Unfollowable."""
        try:
            return await reader.readline()
        except ValueError:
            raise Unfollowable(f"a request has at most {self._max_request} bytes in its line") from None

    async def _answer(self, line: bytes, reader: asyncio.StreamReader) -> tuple[dict[str, object], bytes]:
        """The answer to a request, and the bytes that follow it. Raises: Unfollowable, EOFError."""
        try:
            request = await requests.read(line)
        except ValueError as error:
            text = 'a request is one line of JSON: {"verb": ..., "arguments": {...}}'
            return {"error": f"{text}; {error}"}, b""
        verb, arguments = request.verb, request.arguments
        if request.size:
            most = self._driver.broker.max_message_size + MORE_DATA
            if not 0 < request.size <= most:
                raise Unfollowable(f"a request has at most {most} bytes of data, not {request.size}")
            arguments["data"] = await reader.readexactly(request.size)
        try:
            result = await self._performer.perform(verb, arguments)
        except AdministrationError as error:
            return {"error": str(error)}, b""
        except Exception:
            log.exception("control socket: %s failed", verb)
            return {"error": f"{verb} failed inside the broker; its log says why"}, b""
        data = result.pop("data", b"") if isinstance(result, dict) else b""
        return {"result": result}, data


async def _send(writer: asyncio.StreamWriter, answer: dict[str, object], data: bytes) -> None:
    """Send an answer, and the bytes that follow it."""
    if data:
        answer["bytes"] = len(data)
    writer.write(await requests.write(answer) + b"\n")
    if data:
        writer.write(data)
    await writer.drain()


async def _hear_out(reader: asyncio.StreamReader) -> None:
    """Take what still comes, for a while: else the system would take the last answer back."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HEAR_OUT_S):
            while await reader.read(PIECE):
                pass
