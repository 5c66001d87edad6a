"""Ask a server for Fibonacci numbers, with a reply queue of our own: client.py 10 20 30 --timeout 5"""

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
        # One reply queue serves all calls. It is ours alone, and goes when the connection closes.
        reply_queue = channel.queue_declare("", exclusive=True).method.queue
        remote = RemoteFibonacci(channel, reply_queue)
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
