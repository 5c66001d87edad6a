"""Dramatiq actors, and a broker class that writes when a delayed message is due into a header.

Run as a program it sends a message that is due in so many seconds: dramatiq_tasks.py NAME SECONDS
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker


def publish_with_eta(publish: Any, *, body: bytes, properties: Any, **more: Any) -> None:
    """Publish a message of Dramatiq with its time in a header."""
    properties.headers = {"eta": json.loads(body)["options"].get("eta")}
    publish(body=body, properties=properties, **more)


class EtaBroker(RabbitmqBroker):
    """Writes the time of a delayed message into a header."""

    @RabbitmqBroker.channel.getter  # type: ignore[attr-defined]
    def channel(self) -> Any:
        """A channel that does so."""
        channel = super().channel
        if "basic_publish" not in vars(channel):
            channel.basic_publish = partial(publish_with_eta, channel.basic_publish)
        return channel


broker = EtaBroker(url=os.environ["AMQP_URL"], confirm_delivery=True)
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="dramatiq.jobs")
def work(name: str, due: float) -> None:
    """Say how long after its time it has begun."""
    print(f"begun {name}, {time.time() - due:.3f} s after its time", flush=True)


if __name__ == "__main__":
    seconds = float(sys.argv[2])
    due_s = time.time() + seconds
    if seconds:
        work.send_with_options(args=(sys.argv[1], due_s), delay=int(seconds * 1000))
    else:
        work.send(sys.argv[1], due_s)
    print("sent")
    broker.close()
