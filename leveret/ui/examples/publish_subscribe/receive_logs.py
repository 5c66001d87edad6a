"""Listen to all log lines, from now on and until Ctrl-C."""

from __future__ import annotations

import os
import sys

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
EXCHANGE = "pika.logs"


def on_line(channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
    """Print one log line."""
    print(f"Received: {body.decode()}")


def main() -> None:
    """Bind a queue of our own to the exchange and consume it."""
    with pika.BlockingConnection(pika.URLParameters(AMQP_URL)) as connection:
        channel = connection.channel()
        channel.exchange_declare(EXCHANGE, "fanout", durable=True)
        # No name: the broker invents one. Exclusive: ours alone, and gone when this connection closes.
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, EXCHANGE)
        channel.basic_consume(queue, on_line, auto_ack=True)
        print(f"Waiting for log lines in {queue}. Ctrl-C stops.")
        channel.start_consuming()


if __name__ == "__main__":
    try:
        main()
    except pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
