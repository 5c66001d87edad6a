"""Listen to the log lines of the severities given: receive_logs.py SEVERITY..."""

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
EXCHANGE = "aio_pika.logs_by_severity"


async def on_line(message: AbstractIncomingMessage) -> None:
    """Print one log line and its severity."""
    print(f"Received {message.routing_key}: {message.body.decode()}")


async def main() -> None:
    """Bind one queue to the exchange once for each severity."""
    severities = sys.argv[1:] or ["info", "warning", "error"]
    async with await aio_pika.connect_robust(AMQP_URL) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.DIRECT, durable=True)
        queue = await channel.declare_queue(exclusive=True)
        # Several bindings of one queue add up: it gets the lines of any of these severities.
        for severity in severities:
            await queue.bind(exchange, routing_key=severity)
        await queue.consume(on_line, no_ack=True)
        print(f"Waiting for lines of severity {', '.join(severities)}. Ctrl-C stops.")
        await asyncio.Future()


if __name__ == "__main__":
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)  # we say it ourselves, below
    try:
        asyncio.run(main())
    except aio_pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
