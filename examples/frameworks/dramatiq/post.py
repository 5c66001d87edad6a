"""Send parcels and look for those that came to nothing: post.py send PARCEL, post.py remind ABOUT, post.py dead"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time

import pika
import pika.exceptions
from dramatiq import BrokerConnectionError
from dramatiq.common import xq_name
from tasks import broker, deliver, remind


def print_dead_letters() -> None:
    """Take the dead letters out of their queue, which is an ordinary one, and print them."""
    broker.declare_queue("dramatiq.parcels", ensure=True)
    with pika.BlockingConnection(broker.parameters) as connection:
        channel = connection.channel()
        while True:
            method, properties, body = channel.basic_get(xq_name("dramatiq.parcels"), auto_ack=True)
            if method is None:
                return
            death = properties.headers["x-death"][0]
            message = json.loads(body)
            retries = message["options"].get("retries", 0)
            print(f"Dead: {message['args'][0]} after {retries} retries, {death['reason']} from {death['queue']}")


def main() -> None:
    """Read the options and do it."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    sending = commands.add_parser("send")
    sending.add_argument("parcel")
    sending.add_argument("--failures", type=int, default=0, help="how often nobody is at home")
    sending.add_argument("--seconds", type=float, default=0.0, help="how long each attempt takes")
    reminding = commands.add_parser("remind")
    reminding.add_argument("about")
    reminding.add_argument("--seconds", type=float, default=2.0, help="in how many")
    commands.add_parser("dead")
    options = parser.parse_args()
    if options.command == "send":
        deliver.send(options.parcel, options.failures, options.seconds)
        print(f"Sent: {options.parcel}")
    elif options.command == "remind":
        due = time.time() + options.seconds
        remind.send_with_options(args=(options.about, due), delay=int(options.seconds * 1000))
        print(f"Sent for later: {options.about}")
    else:
        print_dead_letters()


if __name__ == "__main__":
    try:
        with contextlib.closing(broker):
            main()
    except (BrokerConnectionError, pika.exceptions.AMQPConnectionError) as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
