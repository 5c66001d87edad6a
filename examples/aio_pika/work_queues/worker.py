"""Do tasks one at a time. A task is acknowledged when it is done, so none is lost if this program dies."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys

import aio_pika
import aio_pika.exceptions

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
QUEUE = "aio_pika.tasks"


async def main() -> None:
    """Consume the task queue, with at most one unfinished task in hand."""
    async with await aio_pika.connect_robust(AMQP_URL) as connection:
        channel = await connection.channel()
        # Without this limit the first worker would be sent the whole backlog, and the second would sit idle.
        await channel.set_qos(prefetch_count=1)
        queue = await channel.declare_queue(QUEUE, durable=True)
        async with queue.iterator() as messages:
            print(f"Waiting for tasks in {QUEUE}. Ctrl-C stops.")
            async for message in messages:
                # The block acknowledges at its end. If it is left by an exception or by Ctrl-C the task goes
                # back into the queue; without requeue=True, which is not the default, it would be dropped.
                async with message.process(requeue=True):
                    task = json.loads(message.body)
                    # redelivered: somebody got this task before and did not acknowledge it.
                    print(f"{'Started again' if message.redelivered else 'Started'}: {task['title']}")
                    await asyncio.sleep(task["seconds"])  # stands for the work
                    print(f"Done: {task['title']}")


if __name__ == "__main__":
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)  # we say it ourselves, below
    try:
        asyncio.run(main())
    except aio_pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
