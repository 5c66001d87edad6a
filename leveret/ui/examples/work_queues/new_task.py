"""Put tasks into a queue that survives a restart of the broker."""

from __future__ import annotations

import argparse
import json
import os
import sys

import pika
import pika.exceptions

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
QUEUE = "pika.tasks"


def main() -> None:
    """Publish `--count` tasks of `--seconds` each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("title", nargs="?", default="wash the dishes")
    parser.add_argument("--count", type=int, default=1, help="how many tasks to queue")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a worker needs for one")
    options = parser.parse_args()

    with pika.BlockingConnection(pika.URLParameters(AMQP_URL)) as connection:
        channel = connection.channel()
        # A task needs both to survive a restart: a durable queue, and a message marked persistent.
        channel.queue_declare(QUEUE, durable=True)
        persistent = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent, content_type="application/json")
        for number in range(1, options.count + 1):
            task = {"title": f"{options.title} #{number}", "seconds": options.seconds}
            channel.basic_publish("", QUEUE, json.dumps(task).encode(), persistent)
            print(f"Queued: {task['title']}")


if __name__ == "__main__":
    try:
        main()
    except pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
