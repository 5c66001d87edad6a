"""The client's side of a remote call: a request goes out, and the reply is known by its correlation id."""

from __future__ import annotations

import asyncio
import uuid

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import PublishError

REQUEST_QUEUE = "aio_pika.rpc.fibonacci"


class ServerAbsent(Exception):
    """No server is there: the broker gave the request back at once, and nothing was computed."""


class ReplyTimeout(Exception):
    """No reply in time. The server may be slow, or dead, or done: the caller cannot know."""


class RemoteFibonacci:
    """Fibonacci numbers computed by another process. Each `call` goes over the network, and may fail.

    Several calls may run at once: `_awaited` maps the correlation id of each to the future of its reply.
    """

    def __init__(self, channel: AbstractChannel, reply_queue: AbstractQueue) -> None:
        self._channel = channel
        self._reply_queue = reply_queue
        self._awaited: dict[str | None, asyncio.Future[bytes]] = {}

    async def listen(self) -> None:
        """Start to take replies; needed once, before the first call."""
        await self._reply_queue.consume(self._on_reply, no_ack=True)

    async def call(self, number: int, timeout_s: float) -> int:
        """Return fibonacci(number), computed by a server.

        Raises: ServerAbsent, at once, when there is no request queue; ReplyTimeout after `timeout_s`.
        """
        correlation_id = str(uuid.uuid4())
        request = Message(
            str(number).encode(),
            reply_to=self._reply_queue.name,
            correlation_id=correlation_id,
            # A request that waits in the queue longer than we wait for its reply is not worth computing.
            expiration=timeout_s,
        )
        reply = self._awaited[correlation_id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                # mandatory: if no queue takes the request, the broker gives it back instead of dropping it.
                await self._channel.default_exchange.publish(request, REQUEST_QUEUE, mandatory=True)
                return int(await reply)
        except PublishError:
            raise ServerAbsent from None
        except TimeoutError:
            raise ReplyTimeout from None
        finally:
            del self._awaited[correlation_id]

    async def _on_reply(self, message: AbstractIncomingMessage) -> None:
        reply = self._awaited.get(message.correlation_id)
        if reply is None or reply.done():
            # The reply to a call that timed out, or the second reply to a request that was redelivered.
            print(f"Late reply discarded: {message.body.decode()}")
        else:
            reply.set_result(message.body)
