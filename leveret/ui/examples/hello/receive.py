"""Print every message of a queue, until Ctrl-C."""

from __future__ import annotations

import os
import sys

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
QUEUE = "pika.hello"


def on_message(channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
    """Print one message; pika calls this for each delivery."""
    print(f"Received: {body.decode()}")


def main() -> None:
    """Declare the queue and consume it."""
    with pika.BlockingConnection(pika.URLParameters(AMQP_URL)) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=True)
        # auto_ack: the broker forgets a message as soon as it is sent. ../work_queues shows the safe way.
        channel.basic_consume(QUEUE, on_message, auto_ack=True)
        print(f"Waiting for messages in {QUEUE}. Ctrl-C stops.")
        channel.start_consuming()


if __name__ == "__main__":
    try:
        main()
    except pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
