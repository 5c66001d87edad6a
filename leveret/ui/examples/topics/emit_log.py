"""Send one log line under a key of words with dots between: emit_log.py disk.sda.error WORDS..."""

from __future__ import annotations

import os
import sys

import pika
import pika.exceptions

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
EXCHANGE = "pika.logs_by_topic"


def main() -> None:
    """Publish one line to the topic exchange."""
    key = sys.argv[1] if len(sys.argv) > 1 else "disk.sda.info"
    line = " ".join(sys.argv[2:]) or "something happened"
    with pika.BlockingConnection(pika.URLParameters(AMQP_URL)) as connection:
        channel = connection.channel()
        channel.exchange_declare(EXCHANGE, "topic", durable=True)
        try:
            channel.basic_publish(EXCHANGE, routing_key=key, body=line.encode())
        except pika.exceptions.ShortStringTooLong:
            # On the wire one byte holds the length of the key: pika refuses before the broker sees anything.
            sys.exit(f"Not sent: the routing key has {len(key.encode())} bytes, and AMQP allows at most 255.")
        print(f"Sent {key}: {line}")


if __name__ == "__main__":
    try:
        main()
    except pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
