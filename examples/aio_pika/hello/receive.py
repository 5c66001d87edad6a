"""Print every message of a queue, until Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import aio_pika
import aio_pika.exceptions
from aio_pika.abc import AbstractIncomingMessage

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
QUEUE = "aio_pika.hello"


async def on_message(message: AbstractIncomingMessage) -> None:
    """Print one message; aio-pika runs this as a task for each delivery."""
    print(f"Received: {message.body.decode()}")


async def main() -> None:
    """Declare the queue and consume it."""
    # connect_robust comes back by itself after the broker was away, and consumes again.
    async with await aio_pika.connect_robust(AMQP_URL) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(QUEUE, durable=True)
        # no_ack: the broker forgets a message as soon as it is sent. ../work_queues shows the safe way.
        await queue.consume(on_message, no_ack=True)
        print(f"Waiting for messages in {QUEUE}. Ctrl-C stops.")
        await asyncio.Future()


if __name__ == "__main__":
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)  # we say it ourselves, below
    try:
        asyncio.run(main())
    except aio_pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
