"""Put tasks into a queue that survives a restart of the broker."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys

import aio_pika
import aio_pika.exceptions
from aio_pika import DeliveryMode, Message

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
QUEUE = "aio_pika.tasks"


async def main() -> None:
    """Publish `--count` tasks of `--seconds` each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("title", nargs="?", default="wash the dishes")
    parser.add_argument("--count", type=int, default=1, help="how many tasks to queue")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a worker needs for one")
    options = parser.parse_args()

    async with await aio_pika.connect(AMQP_URL) as connection:
        channel = await connection.channel()
        # A task needs both to survive a restart: a durable queue, and a message marked persistent.
        await channel.declare_queue(QUEUE, durable=True)
        for number in range(1, options.count + 1):
            task = {"title": f"{options.title} #{number}", "seconds": options.seconds}
            message = Message(
                json.dumps(task).encode(),
                content_type="application/json",
                delivery_mode=DeliveryMode.PERSISTENT,
            )
            # aio-pika opens channels in confirm mode: this returns when the broker has taken the task.
            await channel.default_exchange.publish(message, routing_key=QUEUE)
            print(f"Queued: {task['title']}")


if __name__ == "__main__":
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)  # we say it ourselves, below
    try:
        asyncio.run(main())
    except aio_pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
