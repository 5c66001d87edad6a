"""Send one log line to everybody who is listening right now."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import aio_pika
import aio_pika.exceptions
from aio_pika import ExchangeType, Message

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
EXCHANGE = "aio_pika.logs"


async def main() -> None:
    """Publish one line to the fanout exchange."""
    line = " ".join(sys.argv[1:]) or "something happened"
    async with await aio_pika.connect(AMQP_URL) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.FANOUT, durable=True)
        # A fanout exchange copies the message to every queue bound to it, and ignores the routing key.
        # aio-pika sets `mandatory` unless told otherwise; here it is fine that nobody listens.
        await exchange.publish(Message(line.encode()), routing_key="", mandatory=False)
        print(f"Sent: {line}")


if __name__ == "__main__":
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)  # we say it ourselves, below
    try:
        asyncio.run(main())
    except aio_pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
