"""Send one log line under a key of words with dots between: emit_log.py disk.sda.error WORDS..."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import aio_pika
import aio_pika.exceptions
from aio_pika import ExchangeType, Message

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
EXCHANGE = "aio_pika.logs_by_topic"


async def main() -> None:
    """Publish one line to the topic exchange."""
    key = sys.argv[1] if len(sys.argv) > 1 else "disk.sda.info"
    line = " ".join(sys.argv[2:]) or "something happened"
    if len(key.encode()) > 255:
        # On the wire one byte holds the length of the key, so no broker can ever see a longer one. aio-pika
        # would refuse too: with ValueError above 255 characters, with TypeError above 255 bytes.
        sys.exit(f"Not sent: the routing key has {len(key.encode())} bytes, and AMQP allows at most 255.")
    async with await aio_pika.connect(AMQP_URL) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
        await exchange.publish(Message(line.encode()), routing_key=key, mandatory=False)
        print(f"Sent {key}: {line}")


if __name__ == "__main__":
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)  # we say it ourselves, below
    try:
        asyncio.run(main())
    except aio_pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
