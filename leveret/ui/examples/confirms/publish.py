"""Publish the same messages in three ways, each of which learns what the broker did with every message.

The broker numbers the messages of a channel in confirm mode 1, 2, 3… and answers for each: basic.ack when
it has taken the message and will keep it, basic.nack when it has not. Waiting for the answers costs time, and
how much depends on how many messages may be on their way at once.
"""

from __future__ import annotations

import os
import sys
import time
from itertools import takewhile
from typing import Any

import pika
import pika.exceptions
from pika.channel import Channel
from pika.frame import Method
from pika.spec import Basic

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
QUEUE = "pika.confirms"
FULL_QUEUE = "pika.confirms.full"
BATCH = 100
WINDOW = 1000
PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)


def publish_one_by_one(connection: pika.BlockingConnection, count: int) -> float:
    """Publish, wait for the answer, publish the next; return the seconds it took."""
    channel = connection.channel()
    # In confirm mode a blocking channel returns from basic_publish when the broker has answered.
    channel.confirm_delivery()
    started = time.monotonic()
    for number in range(1, count + 1):
        try:
            channel.basic_publish("", QUEUE, b"message %d" % number, PERSISTENT)
        except pika.exceptions.NackError:
            print(f"Message {number} was refused")
    return time.monotonic() - started


class StreamingPublisher:
    """Publishes on pika's event loop, where answers come in while more messages go out.

    `outstanding` holds every message from its publish to its answer, by sequence number. What is left in it
    when the connection breaks is what may be lost, and what a careful program publishes again.
    """

    def __init__(self, queue: str, count: int, most_outstanding: int, in_batches: bool) -> None:
        self.outstanding: dict[int, bytes] = {}
        self.refused: list[bytes] = []
        self.elapsed_s = 0.0
        self._queue = queue
        self._count = count
        self._most_outstanding = most_outstanding
        self._in_batches = in_batches
        self._published = 0
        self._close_reason: BaseException | None = None
        self._connection = pika.SelectConnection(
            pika.URLParameters(AMQP_URL),
            on_open_callback=self._on_connection_open,
            on_open_error_callback=self._on_connection_gone,
            on_close_callback=self._on_connection_gone,
        )

    def run(self) -> None:
        """Publish everything, and return when the broker has answered for everything."""
        self._connection.ioloop.start()
        if not isinstance(self._close_reason, pika.exceptions.ConnectionClosedByClient):
            raise pika.exceptions.AMQPConnectionError(self._close_reason)

    def _on_connection_open(self, connection: pika.SelectConnection) -> None:
        connection.channel(on_open_callback=self._on_channel_open)

    def _on_connection_gone(self, connection: pika.SelectConnection, reason: BaseException) -> None:
        self._close_reason = reason
        connection.ioloop.stop()

    def _on_channel_open(self, channel: Channel) -> None:
        self._channel = channel
        channel.confirm_delivery(self._on_answer, callback=self._on_confirm_mode)

    def _on_confirm_mode(self, frame: Method[Any]) -> None:
        self._started = time.monotonic()
        self._publish_more()

    def _publish_more(self) -> None:
        while self._published < self._count and len(self.outstanding) < self._most_outstanding:
            self._published += 1
            body = b"message %d" % self._published
            self.outstanding[self._published] = body
            self._channel.basic_publish("", self._queue, body, PERSISTENT)

    def _on_answer(self, frame: Method[Any]) -> None:
        answer: Basic.Ack | Basic.Nack = frame.method
        last: int = answer.delivery_tag
        # multiple: one answer for this message and for all before it that are still waiting.
        numbers = [last]
        if answer.multiple:
            numbers = list(takewhile(lambda number: number <= last, self.outstanding))
        for number in numbers:
            body = self.outstanding.pop(number)
            if isinstance(answer, Basic.Nack):
                self.refused.append(body)
        # A batch ends with a pause until all of it is answered; otherwise each answer makes room for more.
        if not self.outstanding or not self._in_batches:
            self._publish_more()
        if not self.outstanding:
            self.elapsed_s = time.monotonic() - self._started
            self._connection.close()


def report(way: str, count: int, elapsed_s: float) -> None:
    """Print one line of the comparison."""
    print(f"{way}: {count} messages in {elapsed_s:.3f} s, {count / elapsed_s:.0f} messages/s")


def main() -> None:
    """Compare the three ways, then fill a small queue to see refusals."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with pika.BlockingConnection(pika.URLParameters(AMQP_URL)) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=True)
        report("One by one", count, publish_one_by_one(connection, count))

        batches = StreamingPublisher(QUEUE, count, most_outstanding=BATCH, in_batches=True)
        batches.run()
        report(f"In batches of {BATCH}", count, batches.elapsed_s)

        stream = StreamingPublisher(QUEUE, count, most_outstanding=WINDOW, in_batches=False)
        stream.run()
        report("Asynchronously", count, stream.elapsed_s)
        channel.queue_delete(QUEUE)

        # A queue that holds ten messages and refuses the rest.
        limits = {"x-max-length": 10, "x-overflow": "reject-publish"}
        channel.queue_declare(FULL_QUEUE, durable=True, arguments=limits)
        full = StreamingPublisher(FULL_QUEUE, 15, most_outstanding=WINDOW, in_batches=False)
        full.run()
        for body in full.refused:
            print(f"Refused by the full queue: {body.decode()}")
        channel.queue_delete(FULL_QUEUE)


if __name__ == "__main__":
    try:
        main()
    except pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
