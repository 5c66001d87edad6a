"""Send one log line to everybody who is listening right now."""

from __future__ import annotations

import os
import sys

import pika
import pika.exceptions

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
EXCHANGE = "pika.logs"


def main() -> None:
    """Publish one line to the fanout exchange."""
    line = " ".join(sys.argv[1:]) or "something happened"
    with pika.BlockingConnection(pika.URLParameters(AMQP_URL)) as connection:
        channel = connection.channel()
        channel.exchange_declare(EXCHANGE, "fanout", durable=True)
        # A fanout exchange copies the message to every queue bound to it, and ignores the routing key.
        # With no queue bound the message is dropped: nobody was listening.
        channel.basic_publish(EXCHANGE, routing_key="", body=line.encode())
        print(f"Sent: {line}")


if __name__ == "__main__":
    try:
        main()
    except pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
