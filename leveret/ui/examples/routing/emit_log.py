"""Send one log line of one severity: emit_log.py SEVERITY WORDS..."""

from __future__ import annotations

import os
import sys

import pika
import pika.exceptions

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
EXCHANGE = "pika.logs_by_severity"


def main() -> None:
    """Publish one line, with its severity as the routing key."""
    severity = sys.argv[1] if len(sys.argv) > 1 else "info"
    line = " ".join(sys.argv[2:]) or "something happened"
    with pika.BlockingConnection(pika.URLParameters(AMQP_URL)) as connection:
        channel = connection.channel()
        channel.exchange_declare(EXCHANGE, "direct", durable=True)
        # A direct exchange gives the message to the queues that are bound with exactly this key.
        channel.basic_publish(EXCHANGE, routing_key=severity, body=line.encode())
        print(f"Sent {severity}: {line}")


if __name__ == "__main__":
    try:
        main()
    except pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
