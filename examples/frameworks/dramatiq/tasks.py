"""A post office in Dramatiq: parcels that are tried again, that wait, and that cannot be delivered."""

from __future__ import annotations

import logging
import os
import time

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.middleware import CurrentMessage

logger = logging.getLogger("post")
broker = RabbitmqBroker(
    url=os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/"),
    confirm_delivery=True,  # send() returns when the broker has the message
)
broker.add_middleware(CurrentMessage())  # so that an actor can see how often it was tried
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="dramatiq.parcels", max_retries=2, min_backoff=200, max_backoff=400)
def deliver(parcel: str, failures: int = 0, seconds: float = 0.0) -> None:
    """Deliver a parcel; nobody is at home for as long as there are failures left.

    Dramatiq tries again twice, some tenths of a second later, and then leaves the parcel with the broker's dead
    letters.
    """
    message = CurrentMessage.get_current_message()
    assert message is not None
    attempt = message.options.get("retries", 0) + 1
    logger.info("Attempt %d: %s", attempt, parcel)
    time.sleep(seconds)
    if attempt <= failures:
        raise LookupError(f"nobody at home for {parcel}")
    logger.info("Delivered: %s", parcel)


@dramatiq.actor(queue_name="dramatiq.parcels")
def remind(about: str, due: float) -> None:
    """Remind of something, and say how long after the time it was to be done."""
    logger.info("Reminded: %s, %.2f s after its time", about, time.time() - due)
