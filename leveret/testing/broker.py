"""Broker and AsyncBroker: a whole broker in this process, for as long as a `with` block.

    with leveret.Broker() as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))

It is the same broker as `leveret serve`, behind a real socket. A Broker has a thread with an event loop of its own; an
AsyncBroker uses the event loop that runs. Both keep everything in memory unless they get a data directory.
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

__tracebackhide__ = True  # from pytest, which shows the line of the test then
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
        """Wait until so many messages are ready in a queue, or so many unacked, or it has so many consumers.

        timeout: in seconds. Returns: the messages that are ready. Raises: WaitTimeout, which says what was there
        instead.
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
        """Wait until so much was published, there or anywhere, and return it. Raises: WaitTimeout."""
        return self._server.run(self._wait_for_published(count, exchange, routing_key, timeout))

    def wait_until_idle(self, timeout: float = TIMEOUT_S, quiet: float = 0.01) -> None:
        """Wait until nothing is on its way: no message waits for a consumer that is there, none is unacknowledged, no
        confirm is owed, and nothing comes in for `quiet` seconds. What consumers without acknowledgements still do
        cannot be seen. Raises: WaitTimeout, which says what was still there.
        """
        self._server.run(self._wait_until_idle(timeout, quiet))

    def reply_to(self, queue: str, function: Answer) -> Fault:
        """Answer requests in a queue, which is declared if it is not there: function(message) gives the body of the
        reply, None for none. It is called in a thread. Ends with end() of what is returned, or with the broker.
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

            threading.Thread(target=work, name="leveret-reply", daemon=True).start()  # it may never come back
            return await result

        return self._answer(queue, in_thread)


class AsyncVirtualHost(AnyVirtualHost):
    """One virtual host of an AsyncBroker, or of a Broker for somebody in an event loop.

    What only looks needs no await.
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
        """See VirtualHost.reply_to(); the function may be a coroutine function, and is called in the event loop."""
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
    """What a Broker and an AsyncBroker have in common. _kind: of the server behind it."""

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
        """Where the HTTP API is, as http://127.0.0.1:PORT. Raises: NotRunning, ValueError without `management=True`."""
        self._server.check_running()
        if not self._server.node.api_url:
            raise ValueError("this broker has no HTTP API; make it with Broker(management=True)")
        return self._server.node.api_url

    def delete_virtual_host(self, name: str) -> None:
        """Delete a virtual host with all that is in it; its connections are dropped."""
        self._server.call(lambda: self._server.delete_vhost(name))


class Broker(_Whole, VirtualHost):
    """A broker in a thread of this process, and its virtual host /.

    host, port: where to listen, 0 for a free port. users: names with passwords, all of whom may do everything; guest
    with the password guest by default. definitions: a file or its content, to be declared at the start. data_dir: where
    to keep what is durable, instead of in memory. tls: listen for TLS too, with a certificate of its own. seed: for all
    that is left to chance. record: file to which everything is written that passes. max_message_size: bytes that the
    body of a message may have, as `leveret serve` has it by default. management: answer the HTTP API too, at
    management_url. Raises when started: StartError, StoreError.
    """

    _kind = ThreadServer

    def start(self) -> None:
        """Start it; one that runs is fine."""
        self._server.launch()

    def stop(self) -> None:
        """Stop it and let go of everything; clients that are connected are told."""
        self._server.end()

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def restart(self, keep_data: bool = True, clean: bool = True) -> None:
        """Stop it, and start it at the same port. keep_data: what is durable is there again, in memory too. clean:
        clients are told; otherwise it is as if it were killed."""
        self._server.run(self._server.restart(keep_data, clean))

    def virtual_host(self, name: str) -> VirtualHost:
        """A virtual host, which is made if it is not there."""
        self._server.call(lambda: self._server.add_vhost(name))
        return VirtualHost(self._server, name)

    def async_virtual_host(self, name: str) -> AsyncVirtualHost:
        """The same for somebody in an event loop, who must not be kept waiting."""
        self._server.call(lambda: self._server.add_vhost(name))
        return AsyncVirtualHost(self._server, name)


class AsyncBroker(_Whole, AsyncVirtualHost):
    """A broker in the event loop that runs, and its virtual host /. For its arguments see Broker."""

    _kind = LoopServer

    async def start(self) -> None:
        """Start it; one that runs is fine."""
        await self._server.start()

    async def stop(self) -> None:
        """Stop it and let go of everything; clients that are connected are told."""
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
        """A virtual host, which is made if it is not there."""
        self._server.call(lambda: self._server.add_vhost(name))
        return AsyncVirtualHost(self._server, name)
