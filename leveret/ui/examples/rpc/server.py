"""Compute Fibonacci numbers for whoever asks, one request at a time."""

from __future__ import annotations

import argparse
import os
import sys

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
REQUEST_QUEUE = "pika.rpc.fibonacci"
LARGE = 30


def fibonacci(number: int) -> int:
    """Return one Fibonacci number: 0, 1, 1, 2, 3, 5, 8…"""
    this, following = 0, 1
    for _ in range(number):
        this, following = following, this + following
    return this


def serve(connection: pika.BlockingConnection, delay_s: float) -> None:
    """Answer requests until Ctrl-C; a large number takes `delay_s` longer."""
    channel = connection.channel()
    # auto_delete: the queue lives as long as some server consumes it. With the last server it goes,
    # and that is how a client can tell at once that nobody is there.
    channel.queue_declare(REQUEST_QUEUE, durable=True, auto_delete=True)
    channel.basic_qos(prefetch_count=1)

    def on_request(channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        if not body.isdigit() or properties.reply_to is None:
            # Never requeue what nobody can read: it would come back for ever, to one server after another.
            channel.basic_reject(method.delivery_tag, requeue=False)
            return
        number = int(body)
        print(f"Working on fibonacci({number}){', redelivered' if method.redelivered else ''}")
        if number >= LARGE:
            connection.sleep(delay_s)
        # The reply goes to the queue the client named, with the id the client will know it by. If the client
        # has gone, so has its queue, and the broker drops the reply.
        channel.basic_publish(
            exchange="",
            routing_key=properties.reply_to,
            body=str(fibonacci(number)).encode(),
            properties=BasicProperties(correlation_id=properties.correlation_id),
        )
        # Acknowledged after the reply: if we die in between, another server answers the same request again,
        # and the client gets two replies. It must not mind.
        channel.basic_ack(method.delivery_tag)

    channel.basic_consume(REQUEST_QUEUE, on_request)
    print(f"Waiting for requests in {REQUEST_QUEUE}. Ctrl-C stops.")
    channel.start_consuming()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0.0, help=f"extra seconds for numbers from {LARGE} up")
    options = parser.parse_args()
    with pika.BlockingConnection(pika.URLParameters(AMQP_URL)) as connection:
        serve(connection, options.delay)


if __name__ == "__main__":
    try:
        main()
    except pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
