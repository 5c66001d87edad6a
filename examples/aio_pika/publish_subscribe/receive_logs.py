"""Listen to all log lines, from now on and until Ctrl-C."""

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
EXCHANGE = "aio_pika.logs"


async def on_line(message: AbstractIncomingMessage) -> None:
    """Print one log line."""
    print(f"Received: {message.body.decode()}")


async def main() -> None:
    """Bind a queue of our own to the exchange and consume it."""
    # connect_robust comes back by itself after the broker was away, and declares and binds the queue again.
    async with await aio_pika.connect_robust(AMQP_URL) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.FANOUT, durable=True)
        # No name: one is invented, by the broker, or on a robust connection by aio-pika, which needs it again
        # after a reconnect. Exclusive: ours alone, and gone when this connection closes.
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange)
        await queue.consume(on_line, no_ack=True)
        print(f"Waiting for log lines in {queue.name}. Ctrl-C stops.")
        await asyncio.Future()


if __name__ == "__main__":
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)  # we say it ourselves, below
    try:
        asyncio.run(main())
    except aio_pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
