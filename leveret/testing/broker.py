"""Broker and AsyncBroker: a complete broker in this process, for the duration of a `with` block.

    with leveret.Broker() as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))

It is the same broker as `leveret serve`, with real sockets. A Broker runs its event loop in a separate thread; an
AsyncBroker uses the running event loop. Both keep all data in memory unless they have a data directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from inspect import isawaitable
from pathlib import Path
from typing import Any, ClassVar

from leveret.testing.answering import Answer
from leveret.testing.faults import Fault
from leveret.testing.messages import Message, Published
from leveret.testing.running import LoopServer, ThreadServer
from leveret.testing.server import Options, Server
from leveret.testing.virtual_host import AnyVirtualHost

__tracebackhide__ = True  # so that pytest shows the line of the test
TIMEOUT_S = 5.0

AnyPath = str | os.PathLike[str]


class VirtualHost(AnyVirtualHost):
    """One virtual host of a Broker."""

    _server: ThreadServer

    def wait_for(
        self,
        queue: str,
        count: int = 1,
        *,
        unacked: int | None = None,
        consumers: int | None = None,
        timeout: float = TIMEOUT_S,
    ) -> list[Message]:
        """Wait until a queue has `count` ready messages, or the given numbers of unacked messages and consumers.

        timeout: in seconds. Returns: the ready messages. Raises: WaitTimeout, with a report of the actual state.
        """
        return self._server.run(self._wait_for(queue, count, unacked, consumers, timeout))

    def wait_for_published(
        self,
        count: int = 1,
        *,
        exchange: str | None = None,
        routing_key: str | None = None,
        timeout: float = TIMEOUT_S,
    ) -> list[Published]:
        """Wait for `count` publishes, optionally to this exchange with this key. Raises: WaitTimeout."""
        return self._server.run(self._wait_for_published(count, exchange, routing_key, timeout))

    def wait_until_idle(self, timeout: float = TIMEOUT_S, quiet: float = 0.01) -> None:
        """Wait until the virtual host is idle: no message is waiting for an existing consumer or unacknowledged, no
        confirm is pending, and nothing is received for `quiet` seconds. Work of consumers without acknowledgements is
        not visible. Raises: WaitTimeout, with a report of the actual state.
        """
        self._server.run(self._wait_until_idle(timeout, quiet))

    def reply_to(self, queue: str, function: Answer) -> Fault:
        """Answer requests in a queue, which is declared if it does not exist: function(message) returns the body of
        the reply, or None for no reply. It runs in a thread. Ends with end() of the result, or with the broker.
        """

        async def in_thread(request: Message) -> Any:
            loop = asyncio.get_running_loop()
            result = loop.create_future()

            def settle(setter: Callable[[Any], None], value: object) -> None:
                if not result.done():
                    setter(value)

            def work() -> None:
                try:
                    body = function(request)
                except Exception as error:
                    settled = (result.set_exception, error)
                else:
                    settled = (result.set_result, body)
                with contextlib.suppress(RuntimeError):  # the broker was stopped
                    loop.call_soon_threadsafe(settle, *settled)

            # A daemon, as function() may never return.
            threading.Thread(target=work, name="leveret-reply", daemon=True).start()
            return await result

        return self._answer(queue, in_thread)


class AsyncVirtualHost(AnyVirtualHost):
    """One virtual host of an AsyncBroker, or of a Broker for use in an event loop.

    Only methods that wait need await.
    """

    async def wait_for(
        self,
        queue: str,
        count: int = 1,
        *,
        unacked: int | None = None,
        consumers: int | None = None,
        timeout: float = TIMEOUT_S,
    ) -> list[Message]:
        """See VirtualHost.wait_for()."""
        return await self._server.arun(self._wait_for(queue, count, unacked, consumers, timeout))

    async def wait_for_published(
        self,
        count: int = 1,
        *,
        exchange: str | None = None,
        routing_key: str | None = None,
        timeout: float = TIMEOUT_S,
    ) -> list[Published]:
        """See VirtualHost.wait_for_published()."""
        return await self._server.arun(self._wait_for_published(count, exchange, routing_key, timeout))

    async def wait_until_idle(self, timeout: float = TIMEOUT_S, quiet: float = 0.01) -> None:
        """See VirtualHost.wait_until_idle()."""
        await self._server.arun(self._wait_until_idle(timeout, quiet))

    def reply_to(self, queue: str, function: Answer) -> Fault:
        """See VirtualHost.reply_to(). The function may be a coroutine function, and runs in the event loop."""
        home = asyncio.get_running_loop()

        async def work(request: Message) -> Any:
            result = function(request)
            return await result if isawaitable(result) else result

        async def at_home(request: Message) -> Any:
            if asyncio.get_running_loop() is home:
                return await work(request)
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(request), home))

        return self._answer(queue, at_home)


class _Whole(AnyVirtualHost):
    """The common part of Broker and AsyncBroker. _kind: the type of server."""

    _kind: ClassVar[type[Server]]

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        users: Mapping[str, str] | None = None,
        definitions: AnyPath | Mapping[str, object] | None = None,
        data_dir: AnyPath | None = None,
        tls: bool = False,
        seed: int = 0,
        record: AnyPath | None = None,
        max_message_size: int | None = None,
        management: bool = False,
    ) -> None:
        options = Options(
            host,
            port,
            dict(users or {}),
            definitions if definitions is None or isinstance(definitions, Mapping) else Path(definitions),
            None if data_dir is None else Path(data_dir),
            tls,
            seed,
            None if record is None else Path(record),
            max_message_size,
            management,
        )
        super().__init__(self._kind(options), "/")

    @property
    def management_url(self) -> str:
        """The URL of the HTTP API. Raises: NotRunning; ValueError without `management=True`."""
        self._server.check_running()
        if not self._server.node.api_url:
            raise ValueError("this broker has no HTTP API; use Broker(management=True)")
        return self._server.node.api_url

    def delete_virtual_host(self, name: str) -> None:
        """Delete a virtual host and everything in it. Its connections are dropped."""
        self._server.call(lambda: self._server.delete_vhost(name))


class Broker(_Whole, VirtualHost):
    """A broker in a thread of this process, with its virtual host /.

    host, port: the address to listen on, 0 for a free port. users: passwords by name; each user is an administrator
    with all permissions; default: guest with the password guest. definitions: a file or its content, to import at the
    start. data_dir: directory for durable data, instead of memory. tls: also listen for TLS, with a generated
    certificate. seed: for all random choices. record: file to record all events to. max_message_size: maximum size of
    a body in bytes; default: that of `leveret serve`. management: also serve the HTTP API, at management_url.
    start() raises: StartError, StoreError.
    """

    _kind = ThreadServer

    def start(self) -> None:
        """Start the broker. Has no effect if it is running."""
        self._server.launch()

    def stop(self) -> None:
        """Stop the broker and release all resources. Connected clients receive connection.close."""
        self._server.end()

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def restart(self, keep_data: bool = True, clean: bool = True) -> None:
        """Stop the broker and start it on the same port. keep_data: keep durable data, also in memory. clean: close
        connections properly; otherwise as if the broker was killed."""
        self._server.run(self._server.restart(keep_data, clean))

    def virtual_host(self, name: str) -> VirtualHost:
        """A virtual host, which is created if it does not exist."""
        self._server.call(lambda: self._server.add_vhost(name))
        return VirtualHost(self._server, name)

    def async_virtual_host(self, name: str) -> AsyncVirtualHost:
        """The same for use in an event loop, which must not be blocked."""
        self._server.call(lambda: self._server.add_vhost(name))
        return AsyncVirtualHost(self._server, name)


class AsyncBroker(_Whole, AsyncVirtualHost):
    """A broker in the running event loop, with its virtual host /. For the arguments see Broker."""

    _kind = LoopServer

    async def start(self) -> None:
        """Start the broker. Has no effect if it is running."""
        await self._server.start()

    async def stop(self) -> None:
        """Stop the broker and release all resources. Connected clients receive connection.close."""
        await self._server.stop()

    async def __aenter__(self) -> AsyncBroker:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def restart(self, keep_data: bool = True, clean: bool = True) -> None:
        """See Broker.restart()."""
        await self._server.arun(self._server.restart(keep_data, clean))

    def virtual_host(self, name: str) -> AsyncVirtualHost:
        """A virtual host, which is created if it does not exist."""
        self._server.call(lambda: self._server.add_vhost(name))
        return AsyncVirtualHost(self._server, name)
