"""Publish the same messages in three ways, each of which learns what the broker did with every message.

aio-pika opens channels in confirm mode and keeps the sequence numbers itself: `await publish(...)` returns
when the broker has answered basic.ack for the message, and raises DeliveryError when it has answered
basic.nack. How fast that is depends on how many messages may be on their way at once. ../../pika/confirms
shows the numbers at work.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time

import aio_pika
import aio_pika.exceptions
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractExchange

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
QUEUE = "aio_pika.confirms"
FULL_QUEUE = "aio_pika.confirms.full"
BATCH = 100
WINDOW = 1000


def numbered_message(number: int) -> Message:
    """Return the persistent message of that number."""
    return Message(b"message %d" % number, delivery_mode=DeliveryMode.PERSISTENT)


async def publish_one_by_one(exchange: AbstractExchange, count: int) -> None:
    """Publish, wait for the answer, publish the next."""
    for number in range(1, count + 1):
        await exchange.publish(numbered_message(number), QUEUE)


async def publish_in_batches(exchange: AbstractExchange, count: int) -> None:
    """Publish a batch without waiting, then wait for all its answers."""
    for first in range(1, count + 1, BATCH):
        batch = range(first, min(first + BATCH, count + 1))
        await asyncio.gather(*(exchange.publish(numbered_message(number), QUEUE) for number in batch))


async def publish_asynchronously(exchange: AbstractExchange, queue: str, count: int) -> list[int]:
    """Publish on and on, with a task for each message that waits for its answer.

    Returns: the numbers of the messages refused.
    """
    refused: list[int] = []
    room = asyncio.Semaphore(WINDOW)

    async def publish(number: int) -> None:
        try:
            await exchange.publish(numbered_message(number), queue)
        except aio_pika.exceptions.DeliveryError:
            refused.append(number)
        finally:
            room.release()

    async with asyncio.TaskGroup() as answers:
        for number in range(1, count + 1):
            # Each answer makes room for one more message; a broker that is too slow slows us down here.
            await room.acquire()
            answers.create_task(publish(number))
    return refused


def report(way: str, count: int, elapsed_s: float) -> None:
    """Print one line of the comparison."""
    print(f"{way}: {count} messages in {elapsed_s:.3f} s, {count / elapsed_s:.0f} messages/s")


async def main() -> None:
    """Compare the three ways, then fill a small queue to see refusals."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    async with await aio_pika.connect(AMQP_URL) as connection:
        channel = await connection.channel()
        exchange = channel.default_exchange
        await channel.declare_queue(QUEUE, durable=True)
        started = time.monotonic()
        await publish_one_by_one(exchange, count)
        report("One by one", count, time.monotonic() - started)

        started = time.monotonic()
        await publish_in_batches(exchange, count)
        report(f"In batches of {BATCH}", count, time.monotonic() - started)

        started = time.monotonic()
        await publish_asynchronously(exchange, QUEUE, count)
        report("Asynchronously", count, time.monotonic() - started)
        await channel.queue_delete(QUEUE)

        # A queue that holds ten messages and refuses the rest.
        await channel.declare_queue(
            FULL_QUEUE, durable=True, arguments={"x-max-length": 10, "x-overflow": "reject-publish"}
        )
        for number in await publish_asynchronously(exchange, FULL_QUEUE, 15):
            print(f"Refused by the full queue: message {number}")
        await channel.queue_delete(FULL_QUEUE)


if __name__ == "__main__":
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)  # we say it ourselves, below
    try:
        asyncio.run(main())
    except aio_pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
