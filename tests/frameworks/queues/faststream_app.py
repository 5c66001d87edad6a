"""A FastStream application, and its publisher: faststream_app.py NAME ETA MESSAGE_ID"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

from faststream import FastStream
from faststream.rabbit import RabbitBroker, RabbitQueue

JOBS = RabbitQueue("faststream.jobs", durable=True)
broker = RabbitBroker(os.environ["AMQP_URL"])
app = FastStream(broker)


@broker.subscriber(JOBS)
async def work(name: str) -> None:
    """Say that it has begun."""
    print(f"begun {name} at {time.time():.3f}", flush=True)


async def send(name: str, eta: str, message_id: str) -> None:
    """Publish a job, perhaps for later."""
    async with broker:
        headers: Any = {"eta": eta} if eta else None
        await broker.publish(name, JOBS, headers=headers, message_id=message_id or None, persist=True)
    print("sent")


if __name__ == "__main__":
    asyncio.run(send(*sys.argv[1:4]))
