"""An RPC server for tests, without a client library."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from leveret.testing.messages import Message, details
from leveret.testing.queues import Queue
from leveret.testing.server import Server

log = logging.getLogger("leveret.testing")

Answer = Callable[[Message], Any]


async def answer(
    server: Server,
    queue: Queue,
    publish: Callable[..., object],
    function: Callable[[Message], Awaitable[Any]],
) -> None:
    """Answer the requests in a queue, one after another, on the event loop of the broker.

    If function() fails, the request gets no answer and is rejected, so that it may be dead-lettered.
    """
    while True:
        await server.until(queue.has_next)
        entry = server.call(queue.take)
        if entry is None:
            continue
        request = Message(**details(entry.message, entry.redelivered))
        try:
            body = await function(request)
            if request.reply_to and body is not None:
                publish(body, request.reply_to, correlation_id=request.correlation_id)
        except Exception:
            log.exception("the function that answers %r in queue '%s' failed", request, queue.name)
            server.call(partial(entry.queue.discard, entry))
            continue
        server.call(partial(entry.queue.settle, entry))
