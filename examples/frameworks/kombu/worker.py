"""Note the readings of thermometers: worker.py [--seconds 0.5]"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from kombu import Connection, Consumer, Message
from kombu.exceptions import OperationalError
from kombu.mixins import ConsumerMixin
from readings import COLD, UNREADABLE, WARM

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


class Worker(ConsumerMixin):
    """Consumes two queues; ConsumerMixin declares them, and connects again when the broker was away."""

    def __init__(self, connection: Connection, seconds: float) -> None:
        self.connection = connection
        self._seconds = seconds

    def get_consumers(self, consumer: Callable[..., Consumer], channel: Any) -> list[Consumer]:
        """Return one consumer for each queue, with one unacknowledged message at a time."""
        UNREADABLE(channel).declare()
        return [
            consumer(queues=[WARM], callbacks=[self.on_reading], accept=["json"], prefetch_count=1),
            consumer(queues=[COLD], callbacks=[self.on_reading], accept=["json"], prefetch_count=1),
        ]

    def on_consume_ready(self, *_arguments: Any, **_options: Any) -> None:
        """Say that the consumers are there, for the first time or again."""
        print("Waiting for readings. Ctrl-C stops.")

    def on_connection_error(self, exc: Exception, interval: float) -> None:
        """Say that the broker is away; ConsumerMixin goes on trying."""
        print(f"No broker, trying again in {interval:g} s")

    def on_reading(self, body: Any, message: Message) -> None:
        """Note one reading, then acknowledge it; hand over what is none to the queue for such things."""
        queue = message.delivery_info["routing_key"]
        if not isinstance(body, dict) or not isinstance(body.get("celsius"), int | float):
            message.reject()
            print(f"Unreadable: {body}")
            return
        again = ", redelivered" if message.delivery_info["redelivered"] else ""
        print(f"Started: {body['room']} {body['celsius']} °C from {queue}{again}")
        time.sleep(self._seconds)
        message.ack()
        print(f"Noted: {body['room']} {body['celsius']} °C")


def main() -> None:
    """Read the options and consume until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.0, help="how long it takes to note a reading")
    options = parser.parse_args()
    with Connection(AMQP_URL, heartbeat=10) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)
        Worker(connection, options.seconds).run()


if __name__ == "__main__":
    try:
        main()
    except OperationalError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
