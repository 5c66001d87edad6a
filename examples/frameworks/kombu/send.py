"""Send readings of a thermometer: send.py ROOM CELSIUS..."""

from __future__ import annotations

import argparse
import os
import sys

from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.pools import producers
from readings import COLD, READINGS, UNREADABLE, WARM

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def main() -> None:
    """Publish each reading, with a key that says where it belongs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("room")
    parser.add_argument("celsius", nargs="+", help="what is no number is sent too, for the worker to refuse")
    options = parser.parse_args()
    # With confirms, publish() returns when the broker has the message, or raises.
    connection = Connection(AMQP_URL, transport_options={"confirm_publish": True})
    connection.ensure_connection(max_retries=1, interval_start=0)
    with producers[connection].acquire(block=True) as producer:
        for text in options.celsius:
            try:
                celsius: float | str = float(text)
            except ValueError:
                celsius = text
            key = "cold" if isinstance(celsius, float) and celsius < 10 else "warm"
            producer.publish(
                {"room": options.room, "celsius": celsius},
                exchange=READINGS,
                routing_key=key,
                serializer="json",
                declare=[UNREADABLE, WARM, COLD],  # so that nothing is lost before the first worker comes
                retry=True,
                retry_policy={"max_retries": 3},
            )
            print(f"Sent: {options.room} {text} as {key}")


if __name__ == "__main__":
    try:
        main()
    except OperationalError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
