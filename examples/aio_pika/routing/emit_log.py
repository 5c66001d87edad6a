"""Send one log line of one severity: emit_log.py SEVERITY WORDS..."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import aio_pika
import aio_pika.exceptions
from aio_pika import ExchangeType, Message

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
EXCHANGE = "aio_pika.logs_by_severity"


async def main() -> None:
    """Publish one line, with its severity as the routing key."""
    severity = sys.argv[1] if len(sys.argv) > 1 else "info"
    line = " ".join(sys.argv[2:]) or "something happened"
    async with await aio_pika.connect(AMQP_URL) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.DIRECT, durable=True)
        # A direct exchange gives the message to the queues that are bound with exactly this key.
        await exchange.publish(Message(line.encode()), routing_key=severity, mandatory=False)
        print(f"Sent {severity}: {line}")


if __name__ == "__main__":
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)  # we say it ourselves, below
    try:
        asyncio.run(main())
    except aio_pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
