"""The same client with direct reply-to: no reply queue, the broker passes replies straight to our channel."""

from __future__ import annotations

import argparse
import os
import sys
import time

import pika
import pika.exceptions
from remote_fibonacci import RemoteFibonacci, ReplyTimeout, ServerAbsent

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def main() -> None:
    """Call once for each number given and print what came of it; exit with 1 if a call failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", metavar="NUMBER", type=int, nargs="+")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds to wait for each reply")
    options = parser.parse_args()

    failures = 0
    with pika.BlockingConnection(pika.URLParameters(AMQP_URL)) as connection:
        channel = connection.channel()
        # Not a real queue, so there is nothing to declare. It must be consumed without acknowledgements,
        # before the first request, and on the channel of the requests. In each request the broker replaces
        # this name by an address that leads back here; the server notices no difference.
        remote = RemoteFibonacci(channel, reply_queue="amq.rabbitmq.reply-to")
        for number in options.numbers:
            started = time.monotonic()
            try:
                print(f"fibonacci({number}) = {remote.call(number, options.timeout)}")
            except ServerAbsent:
                failures += 1
                print(f"fibonacci({number}): no server, known after {time.monotonic() - started:.3f} s")
            except ReplyTimeout:
                failures += 1
                print(f"fibonacci({number}): no reply in {options.timeout:g} s")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    try:
        main()
    except pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
