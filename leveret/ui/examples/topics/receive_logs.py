"""Listen to the log lines whose key matches a pattern: receive_logs.py '*.*.error' 'disk.#'"""

from __future__ import annotations

import os
import sys

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
EXCHANGE = "pika.logs_by_topic"


def on_line(channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
    """Print one log line and its key."""
    print(f"Received {method.routing_key}: {body.decode()}")


def main() -> None:
    """Bind one queue to the exchange once for each pattern."""
    patterns = sys.argv[1:] or ["#"]
    with pika.BlockingConnection(pika.URLParameters(AMQP_URL)) as connection:
        channel = connection.channel()
        channel.exchange_declare(EXCHANGE, "topic", durable=True)
        queue = channel.queue_declare("", exclusive=True).method.queue
        # `*` stands for exactly one word, `#` for any number of words, none included.
        # A line that matches several of our patterns still comes once: it is one queue.
        for pattern in patterns:
            channel.queue_bind(queue, EXCHANGE, routing_key=pattern)
        channel.basic_consume(queue, on_line, auto_ack=True)
        print(f"Waiting for lines with a key like {' or '.join(patterns)}. Ctrl-C stops.")
        channel.start_consuming()


if __name__ == "__main__":
    try:
        main()
    except pika.exceptions.ShortStringTooLong:
        sys.exit("Not bound: a pattern is a routing key too, and may have at most 255 bytes.")
    except pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
