"""ControlSocket: administration for programs on this machine, over a unix socket.

Requests and answers are lines of JSON. The answer to {"verb": "add_vhost", "arguments": {"name": "orders"}} is
{"result": null}, or {"error": "..."} when it is refused. An answer is sent when the changes are on the disk.

The verb "ask" calls the HTTP API. The answer to {"method": "GET", "path": "/queues", "query": {"sort": "messages"}} is
{"result": {"status": 200, "headers": {}, "more": false}, "bytes": N}, followed by the body. While `more` is true,
another such line with its bytes follows. After the answer to the verb "amqp", the socket speaks AMQP; the client may
log in with any name and is an administrator.

Messages are too large for JSON. If a request has "bytes": N beside its verb, N bytes follow its line; they are the
argument `data`. Likewise an answer with "bytes": N is followed by N bytes, the `data` of its result.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable

from leveret.core.errors.administration import AdministrationError
from leveret.server import requests
from leveret.server.driver import Driver
from leveret.server.performer import Performer

MAX_REQUEST = 256 << 20  # bytes: a definitions file is one request
MORE_DATA = 4 << 20  # bytes of data allowed in addition to the largest message
HEAR_OUT_S = 2.0  # how long to read on after the last answer, so that the client can receive it
PIECE = 64 * 1024  # bytes

ASK = "ask"
AMQP = "amqp"

Ask = Callable[[dict[str, object]], AsyncIterator[tuple[dict[str, object], bytes]]]
"""Calls the HTTP API. Yields: answers, each with the bytes that follow it. Raises: AdministrationError."""

log = logging.getLogger("leveret.control")


class Unfollowable(Exception):
    """The start of the next request is unknown, so the connection ends; the text is the last answer."""


class ControlSocket:
    """Listens on a bound socket. max_request: of a line, in bytes.

    ask: calls the HTTP API. amqp: creates the protocol for an AMQP client.
    """

    def __init__(
        self,
        driver: Driver,
        performer: Performer,
        ask: Ask,
        amqp: Callable[[], asyncio.Protocol],
        max_request: int = MAX_REQUEST,
    ) -> None:
        self._driver = driver
        self._performer = performer
        self._ask = ask
        self._amqp = amqp
        self._max_request = max_request
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._handed_over: set[asyncio.StreamWriter] = set()  # kept: an unreferenced one closes its connection

    async def start(self, listener: socket.socket) -> None:
        """Accept requests."""
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=self._max_request)

    def close(self) -> None:
        """Stop accepting, and abort all connections."""
        if self._server is not None:
            self._server.close()
        for writer in self._clients:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        self._handed_over = {each for each in self._handed_over if not each.transport.is_closing()}
        is_handed_over = False
        try:
            await self._performer.prepare()
            while line := await self._line(reader):
                async for answer, data in self._answers(line, reader):
                    await _send(writer, answer, data)
                    is_handed_over = answer.get("result") == AMQP
                if is_handed_over:
                    self._handed_over.add(writer)
                    protocol = self._amqp()
                    writer.transport.set_protocol(protocol)
                    protocol.connection_made(writer.transport)
                    return
        except Unfollowable as error:
            log.warning("control socket: %s", error)
            with contextlib.suppress(OSError):
                await _send(writer, {"error": str(error)}, b"")
                writer.write_eof()
                await _hear_out(reader)
        except (OSError, EOFError) as error:  # gone
            log.warning("control socket: %s", error)
        except asyncio.CancelledError:  # the broker stops during an answer: nothing to log
            writer.transport.abort()
        finally:
            self._clients.discard(writer)
            if not is_handed_over:
                writer.close()

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        """Read the line of a request; empty at the end. Raises: Unfollowable."""
        try:
            return await reader.readline()
        except ValueError:
            raise Unfollowable(f"a request has at most {self._max_request} bytes in its line") from None

    async def _answers(
        self, line: bytes, reader: asyncio.StreamReader
    ) -> AsyncIterator[tuple[dict[str, object], bytes]]:
        """The answers to a request, each with the bytes that follow it. Raises: Unfollowable, EOFError."""
        try:
            request = await requests.read(line)
        except ValueError as error:
            text = 'a request is one line of JSON: {"verb": ..., "arguments": {...}}'
            yield {"error": f"{text}; {error}"}, b""
            return
        verb, arguments = request.verb, request.arguments
        if request.size:
            most = self._driver.broker.max_message_size + MORE_DATA
            if not 0 < request.size <= most:
                raise Unfollowable(f"a request has at most {most} bytes of data, not {request.size}")
            arguments["data"] = await reader.readexactly(request.size)
        try:
            if verb == ASK:
                async for head, body in self._ask(arguments):
                    yield {"result": head}, body
                return
            result = AMQP if verb == AMQP else await self._performer.perform(verb, arguments)
        except AdministrationError as error:
            yield {"error": str(error)}, b""
            return
        except Exception:
            log.exception("control socket: %s failed", verb)
            yield {"error": f"{verb} failed inside the broker; its log says why"}, b""
            return
        data = result.pop("data", b"") if isinstance(result, dict) else b""
        yield {"result": result}, data


async def _send(writer: asyncio.StreamWriter, answer: dict[str, object], data: bytes) -> None:
    """Send an answer, and the bytes that follow it."""
    if data:
        answer["bytes"] = len(data)
    writer.write(await requests.write(answer) + b"\n")
    if data:
        writer.write(data)
    await writer.drain()


async def _hear_out(reader: asyncio.StreamReader) -> None:
    """Read and discard for HEAR_OUT_S: otherwise the system could reset the connection and lose the last answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HEAR_OUT_S):
            while await reader.read(PIECE):
                pass
