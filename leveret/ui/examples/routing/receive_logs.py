"""Listen to the log lines of the severities given: receive_logs.py SEVERITY..."""

from __future__ import annotations

import os
import sys

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
EXCHANGE = "pika.logs_by_severity"


def on_line(channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
    """Print one log line and its severity."""
    print(f"Received {method.routing_key}: {body.decode()}")


def main() -> None:
    """Bind one queue to the exchange once for each severity."""
    severities = sys.argv[1:] or ["info", "warning", "error"]
    with pika.BlockingConnection(pika.URLParameters(AMQP_URL)) as connection:
        channel = connection.channel()
        channel.exchange_declare(EXCHANGE, "direct", durable=True)
        queue = channel.queue_declare("", exclusive=True).method.queue
        # Several bindings of one queue add up: it gets the lines of any of these severities.
        for severity in severities:
            channel.queue_bind(queue, EXCHANGE, routing_key=severity)
        channel.basic_consume(queue, on_line, auto_ack=True)
        print(f"Waiting for lines of severity {', '.join(severities)}. Ctrl-C stops.")
        channel.start_consuming()


if __name__ == "__main__":
    try:
        main()
    except pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
