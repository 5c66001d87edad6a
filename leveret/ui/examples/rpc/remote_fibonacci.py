"""The client's side of a remote call: a request goes out, and the reply is known by its correlation id."""

from __future__ import annotations

import time
import uuid

import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties

REQUEST_QUEUE = "pika.rpc.fibonacci"


class ServerAbsent(Exception):
    """No server is there: the broker gave the request back at once, and nothing was computed."""


class ReplyTimeout(Exception):
    """No reply in time. The server may be slow, or dead, or done: the caller cannot know."""


class RemoteFibonacci:
    """Fibonacci numbers computed by another process. Each `call` goes over the network, and may fail."""

    def __init__(self, channel: BlockingChannel, reply_queue: str) -> None:
        self._channel = channel
        self._reply_queue = reply_queue
        self._awaited_id: str | None = None
        self._reply: bytes | None = None
        # Confirm mode makes basic_publish wait for the broker's answer, so that it can raise UnroutableError.
        channel.confirm_delivery()
        channel.basic_consume(reply_queue, self._on_reply, auto_ack=True)

    def call(self, number: int, timeout_s: float) -> int:
        """Return fibonacci(number), computed by a server.

        Raises: ServerAbsent, at once, when there is no request queue; ReplyTimeout after `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        self._reply = None
        self._awaited_id = str(uuid.uuid4())
        request = BasicProperties(
            reply_to=self._reply_queue,
            correlation_id=self._awaited_id,
            # A request that waits in the queue longer than we wait for its reply is not worth computing.
            expiration=str(round(timeout_s * 1000)),
        )
        try:
            # mandatory: if no queue takes the request, the broker gives it back instead of dropping it.
            self._channel.basic_publish("", REQUEST_QUEUE, str(number).encode(), request, mandatory=True)
        except pika.exceptions.UnroutableError:
            raise ServerAbsent from None
        while self._reply is None:
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                self._awaited_id = None
                raise ReplyTimeout
            self._channel.connection.process_data_events(time_limit=remaining_s)
        return int(self._reply)

    def _on_reply(
        self, channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes
    ) -> None:
        if properties.correlation_id == self._awaited_id:
            self._awaited_id = None
            self._reply = body
        else:
            # The reply to a call that timed out, or the second reply to a request that was redelivered.
            print(f"Late reply discarded: {body.decode()}")
