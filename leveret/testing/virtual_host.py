"""AnyVirtualHost: one virtual host of an embedded broker; all operations that do not wait."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from leveret.core.errors.diagnostics import Origin
from leveret.core.errors.refusals import Refusal
from leveret.core.exchange.exchange import Binding
from leveret.core.message.destination import hand_out
from leveret.core.message.message import Message as CoreMessage
from leveret.core.message.message import address
from leveret.core.vhost import VirtualHost as CoreVirtualHost
from leveret.session.base.errors import as_reply
from leveret.testing.answering import answer
from leveret.testing.clock import Clock
from leveret.testing.definitions import define, read_definitions
from leveret.testing.faults import Fault, Faults
from leveret.testing.messages import Delivery, Message, Published, encode, more_keys, to_table
from leveret.testing.queues import Queue, deliveries
from leveret.testing.report import report
from leveret.testing.server import Server
from leveret.wire.content import check_properties, make_content
from leveret.wire.fields import MAX_SHORT

__tracebackhide__ = True  # so that pytest shows the line of the test
T = TypeVar("T")

MAX_NAME: Final = 255  # bytes

Body = str | bytes | dict[str, Any] | list[Any]


class WaitTimeout(TimeoutError):
    """A wait timed out. The text contains a report of the actual state. url: of the virtual host."""

    url = ""


@dataclass(frozen=True, slots=True)
class Connection:
    """A connected client. name: its connection_name, or both addresses."""

    name: str
    user: str
    channels: int
    consumers: int
    unacked: int


class AnyVirtualHost:
    """One virtual host. clock: of the whole broker. faults: injects faults."""

    def __init__(self, server: Server, name: str) -> None:
        self.name = name
        self.faults = Faults(server, name)
        self.clock = Clock(server, self.faults)
        self._server = server

    def __repr__(self) -> str:
        where = f"on {self.url}" if self._server.is_running else "that is not running"
        return f"<{type(self).__name__} {where}>"

    # -- addresses

    @property
    def url(self) -> str:
        """The URL for clients: amqp://guest:guest@127.0.0.1:port/name."""
        return self._server.url(self.name)

    @property
    def tls_url(self) -> str:
        """The URL for TLS clients, which must trust `ca_file`."""
        return self._server.url(self.name, True)

    @property
    def ca_file(self) -> Path | None:
        """PEM file of the CA of the broker's certificate; None without TLS."""
        return self._server.ca_file

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._server.options.host

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port

    # -- state

    def queue(self, name: str) -> Queue:
        """A view of a queue, which does not have to exist yet."""
        return Queue(self._server, self.name, name)

    @property
    def queues(self) -> list[Queue]:
        """All queues, sorted by name."""
        return [self.queue(name) for name in self._call(lambda vhost: sorted(vhost.queues))]

    @property
    def exchanges(self) -> list[str]:
        """The names of all exchanges, except predeclared ones."""
        return self._call(lambda vhost: sorted(name for name in vhost.exchanges if name and name[:4] != "amq."))

    @property
    def connections(self) -> list[Connection]:
        """The connected clients."""

        def look(vhost: CoreVirtualHost) -> list[Connection]:
            found = []
            for protocol in self._server.node.protocols():
                connection = protocol.connection
                if connection.vhost is vhost:
                    halves = [channel.consuming for channel in connection.channels.values()]
                    consumers = sum(len(half.consumers) for half in halves)
                    unacked = sum(len(half.unacked) for half in halves)
                    found.append(Connection(connection.label, connection.user.name, len(halves), consumers, unacked))
            return found

        return self._call(look)

    @property
    def deliveries(self) -> list[Delivery]:
        """All unacknowledged deliveries."""
        return self._call(lambda _: deliveries(self._server, self.name, None))

    def published(self, exchange: str | None = None, routing_key: str | None = None) -> list[Published]:
        """The publishes here, oldest first; None matches any. The broker remembers its last 10 000 publishes."""
        return self._call(lambda _: self._server.publishes.published(self.name, exchange, routing_key))

    def forget_published(self) -> None:
        """Reset published() and wait_for_published(), for a virtual host that tests share."""
        self._call(lambda _: self._server.publishes.forget(self.name))

    def report(self) -> str:
        """A readable report of state and events."""
        return self._call(lambda _: report(self._server, self.name))

    # -- actions without a client

    def define(self, definitions: str | os.PathLike[str] | Mapping[str, object]) -> None:
        """Declare the queues, exchanges, bindings, policies and parameters of a definitions file or its content.

        Uses those of the virtual host / in it; ignores users, permissions and other virtual hosts. Raises: ValueError,
        with the reason; nothing is declared then.
        """
        content = read_definitions(definitions)
        self._call(lambda vhost: define(self._server.broker, vhost.name, content))

    def declare_queue(self, name: str, *, durable: bool = True, arguments: dict[str, Any] | None = None) -> Queue:
        """Declare a queue; an empty name generates one. Raises: ValueError, with the reply text for a client."""
        table = to_table(arguments)
        if name:
            _check_name(name)

        def declare(vhost: CoreVirtualHost) -> str:
            origin = _origin(self._server)
            if name:
                return vhost.declare_queue(name, durable, False, False, table, 0, origin).name
            made_up = f"amq.gen-{vhost.broker.random_name()}"
            return vhost.make_queue(made_up, durable, 0, False, table, origin).name

        return self.queue(self._call(declare))

    def declare_exchange(
        self, name: str, kind: str = "direct", *, durable: bool = True, arguments: dict[str, Any] | None = None
    ) -> None:
        """Declare an exchange. Raises: ValueError, with the reply text for a client."""
        table = to_table(arguments)
        _check_name(name)
        self._call(
            lambda vhost: vhost.declare_exchange(name, kind, durable, False, False, table, _origin(self._server))
        )

    def delete_exchange(self, name: str) -> None:
        """Delete an exchange and its bindings. Raises: ValueError, with the reply text for a client."""
        self._call(lambda vhost: vhost.delete_exchange(name, False))

    def bind(
        self, queue: str, exchange: str, routing_key: str = "", *, arguments: dict[str, Any] | None = None
    ) -> None:
        """Bind a queue to an exchange. Raises: ValueError, with the reply text for a client."""
        table = to_table(arguments)
        if not exchange:
            raise ValueError("ACCESS_REFUSED - operation not permitted on the default exchange")
        _check_name(queue)
        self._call(
            lambda vhost: vhost.bind(Binding(vhost.exchange(exchange), vhost.queue(queue, 0), None, routing_key, table))
        )

    def publish(
        self,
        body: Body,
        routing_key: str = "",
        exchange: str = "",
        *,
        headers: dict[str, Any] | None = None,
        **properties: Any,
    ) -> Published:
        """Publish a message. body: text is sent as UTF-8, a dict or a list as JSON. properties: as in Message.

        Raises: ValueError, if the exchange does not exist, or a name has more than 255 bytes.
        """
        for what, name in (("exchange", exchange), ("routing key", routing_key)):
            if len(name.encode("utf-8", "surrogateescape")) > MAX_SHORT:
                raise ValueError(f"the {what} has more than {MAX_SHORT} bytes, the limit of AMQP: {name[:20]!r}...")
        if isinstance(body, dict | list):
            body = json.dumps(body)
            properties.setdefault("content_type", "application/json")
        raw = body.encode() if isinstance(body, str) else body
        where = address(exchange, routing_key, more_keys(headers, "CC"), more_keys(headers, "BCC"))
        content = make_content(encode(headers, properties), raw)
        message = CoreMessage(where, content, check_properties(content))
        return self._call(lambda vhost: self._publish(vhost, message))

    def record(self, path: str | os.PathLike[str]) -> Fault:
        """Record the events here, until end() of the result or the end of the block. Raises: OSError."""
        return self.faults.begun(self._call(lambda _: self._server.record(Path(path), self.name)))

    def replay(self, path: str | os.PathLike[str], *, in_time: bool = False) -> int:
        """Publish the messages of a recording to exchanges with the same names, from any virtual host.

        in_time: advance the broker's clock between publishes as recorded. Returns: number of messages.
        Raises: OSError; ValueError, for an invalid recording or a missing exchange.
        """
        from leveret.management.recording import RecordingError, publishes

        try:
            found = list(publishes(Path(path)))
        except RecordingError as error:
            raise ValueError(str(error)) from None
        before_ms = found[0][0]["at_ms"] if found else 0
        for event, item in found:
            if in_time and event["at_ms"] > before_ms:
                self.clock.advance((event["at_ms"] - before_ms) / 1000)
            before_ms = event["at_ms"]
            self._call(partial(self._publish, message=item.message()))
        return len(found)

    def _publish(self, vhost: CoreVirtualHost, message: CoreMessage) -> Published:
        where = message.address
        queues = vhost.exchange(where.exchange).route(where.keys, message.properties(), message).queues
        hand_out(message, queues, None)
        self._server.publishes.note("", self.name, message, queues, "routed" if queues else "unroutable", False)
        return self._server.publishes.last()

    def _call(self, function: Callable[[CoreVirtualHost], T]) -> T:
        try:
            return self._server.call(lambda: function(self._server.vhost(self.name)))
        except Refusal as refusal:
            raise ValueError(as_reply(refusal).reply_text) from None

    # -- waiting, on the event loop of the broker

    async def _until(self, is_done: Callable[[], bool], timeout: float, what: str) -> None:
        """Wait until is_done() is true. Raises: WaitTimeout, NotRunning."""
        self._server.check_running()
        if is_done():
            return
        try:
            await asyncio.wait_for(self._server.until(is_done), timeout)
        except TimeoutError:
            raise self._timed_out(what, timeout) from None

    def _timed_out(self, what: str, timeout: float) -> WaitTimeout:
        self._server.check_running()
        error = WaitTimeout(f"{what} did not happen within {timeout:g} s\n\n{report(self._server, self.name)}")
        error.url = self.url
        return error

    async def _wait_for_published(
        self, count: int, exchange: str | None, routing_key: str | None, timeout: float
    ) -> list[Published]:
        publishes = self._server.publishes
        limits = {"exchange": exchange, "routing key": routing_key}
        where = " with ".join(f"{name} {value!r}" for name, value in limits.items() if value is not None)
        await self._until(
            lambda: publishes.count(self.name, exchange, routing_key) >= count,
            timeout,
            f"wait_for_published: {count} to {where or 'any exchange'}",
        )
        return publishes.published(self.name, exchange, routing_key)

    async def _wait_for(
        self, queue: str, count: int, unacked: int | None, consumers: int | None, timeout: float
    ) -> list[Message]:
        limits = {"ready": count, "unacked": unacked, "consumers": consumers}
        if unacked is not None or consumers is not None:
            del limits["ready"]
        wanted = {name: limit for name, limit in limits.items() if limit is not None}

        def is_there() -> bool:
            found = self._server.vhost(self.name).queues.get(queue)
            if found is None:
                return False
            there = {"ready": len(found.ready), "unacked": found.unacked, "consumers": len(found.consumers.all)}
            return all(there[name] >= limit for name, limit in wanted.items())

        what = " and ".join(f"{limit} {name}" for name, limit in wanted.items())
        await self._until(is_there, timeout, f"wait_for: {what} in queue '{queue}'")
        return self.queue(queue).messages

    async def _wait_until_idle(self, timeout: float, quiet: float) -> None:
        server = self._server

        async def idle() -> None:
            for _ in range(2):
                await asyncio.sleep(0)  # lets the loop read the sockets
            while True:
                await server.until(lambda: server.is_idle(self.name))
                bytes_read = server.node.bytes_read
                await asyncio.sleep(quiet)
                if server.is_running and server.node.bytes_read == bytes_read and server.is_idle(self.name):
                    return

        server.check_running()
        try:
            await asyncio.wait_for(idle(), timeout)
        except TimeoutError:
            raise self._timed_out("wait_until_idle: this", timeout) from None

    # -- answering requests

    def _answer(self, queue: str, function: Callable[[Message], Awaitable[Any]]) -> Fault:
        """Answer requests in a queue until the result is ended."""
        server = self._server
        if not self.queue(queue).exists:
            self.declare_queue(queue, durable=False)
        task = server.call(lambda: server.spawn(answer(server, self.queue(queue), self.publish, function)))
        return self.faults.begun(task.cancel)


def _check_name(name: str) -> None:
    """Raises: ValueError, for an invalid name."""
    if not 0 < len(name.encode("utf-8", "surrogateescape")) <= MAX_NAME:
        raise ValueError(f"a name must have 1 to {MAX_NAME} bytes, not {name!r}")


def _origin(server: Server) -> Origin:
    return Origin("test", "test", server.broker.clock.today_ms)
