"""Send one message to a queue, by the name of the queue."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import aio_pika
import aio_pika.exceptions

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
QUEUE = "aio_pika.hello"


async def main() -> None:
    """Declare the queue, publish one message to it, and leave."""
    text = " ".join(sys.argv[1:]) or "Hello!"
    async with await aio_pika.connect(AMQP_URL) as connection:
        channel = await connection.channel()
        # Both programs declare the queue, so either of them may start first.
        await channel.declare_queue(QUEUE, durable=True)
        # The nameless exchange hands a message to the queue that has the routing key as its name.
        await channel.default_exchange.publish(aio_pika.Message(text.encode()), routing_key=QUEUE)
        print(f"Sent: {text}")


if __name__ == "__main__":
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)  # we say it ourselves, below
    try:
        asyncio.run(main())
    except aio_pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
