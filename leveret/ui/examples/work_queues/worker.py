"""Do tasks one at a time. A task is acknowledged when it is done, so none is lost if this program dies."""

from __future__ import annotations

import json
import os
import sys

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
QUEUE = "pika.tasks"


def on_task(channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
    """Do one task, then acknowledge it."""
    task = json.loads(body)
    # redelivered: somebody got this task before and did not acknowledge it; part of it may be done already.
    print(f"{'Started again' if method.redelivered else 'Started'}: {task['title']}")
    # Stands for the work. Unlike time.sleep it keeps answering the broker's heartbeats.
    channel.connection.sleep(task["seconds"])
    print(f"Done: {task['title']}")
    # Last of all: until now the broker has kept the task, to give it to another worker if we vanish.
    channel.basic_ack(method.delivery_tag)


def main() -> None:
    """Consume the task queue, with at most one unfinished task in hand."""
    with pika.BlockingConnection(pika.URLParameters(AMQP_URL)) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=True)
        # Without this limit the first worker would be sent the whole backlog, and the second would sit idle.
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(QUEUE, on_task)
        print(f"Waiting for tasks in {QUEUE}. Ctrl-C stops.")
        channel.start_consuming()


if __name__ == "__main__":
    try:
        main()
    except pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
