"""Send one message to a queue, by the name of the queue."""

from __future__ import annotations

import os
import sys

import pika
import pika.exceptions

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
QUEUE = "pika.hello"


def main() -> None:
    """Declare the queue, publish one message to it, and leave."""
    text = " ".join(sys.argv[1:]) or "Hello!"
    with pika.BlockingConnection(pika.URLParameters(AMQP_URL)) as connection:
        channel = connection.channel()
        # Both programs declare the queue, so either of them may start first.
        channel.queue_declare(QUEUE, durable=True)
        # The nameless exchange hands a message to the queue that has the routing key as its name.
        channel.basic_publish(exchange="", routing_key=QUEUE, body=text.encode())
        print(f"Sent: {text}")


if __name__ == "__main__":
    try:
        main()
    except pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
