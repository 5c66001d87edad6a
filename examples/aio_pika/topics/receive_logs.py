"""Listen to the log lines whose key matches a pattern: receive_logs.py '*.*.error' 'disk.#'"""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import aio_pika
import aio_pika.exceptions
from aio_pika import ExchangeType
from aio_pika.abc import AbstractIncomingMessage

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
EXCHANGE = "aio_pika.logs_by_topic"


async def on_line(message: AbstractIncomingMessage) -> None:
    """Print one log line and its key."""
    print(f"Received {message.routing_key}: {message.body.decode()}")


async def main() -> None:
    """Bind one queue to the exchange once for each pattern."""
    patterns = sys.argv[1:] or ["#"]
    if max(len(pattern.encode()) for pattern in patterns) > 255:
        sys.exit("Not bound: a pattern is a routing key too, and may have at most 255 bytes.")
    async with await aio_pika.connect_robust(AMQP_URL) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(exclusive=True)
        # `*` stands for exactly one word, `#` for any number of words, none included.
        # A line that matches several of our patterns still comes once: it is one queue.
        for pattern in patterns:
            await queue.bind(exchange, routing_key=pattern)
        await queue.consume(on_line, no_ack=True)
        print(f"Waiting for lines with a key like {' or '.join(patterns)}. Ctrl-C stops.")
        await asyncio.Future()


if __name__ == "__main__":
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)  # we say it ourselves, below
    try:
        asyncio.run(main())
    except aio_pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
