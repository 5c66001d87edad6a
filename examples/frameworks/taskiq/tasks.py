"""An observatory in taskiq: tasks with results, that are tried again, and that wait."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Annotated

from aio_pika import ExchangeType
from results import AmqpResults
from taskiq import Context, SimpleRetryMiddleware, TaskiqDepends
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
logger = logging.getLogger("observatory")

broker = (
    AioPikaBroker(
        AMQP_URL,
        qos=1,
        exchange=Exchange(name="taskiq.jobs", type=ExchangeType.DIRECT),
        # Messages with a delay wait here; when they expire the broker moves them to the queue for tasks.
        delay_queue=Queue(name="taskiq.jobs.delay"),
        dead_letter_queue=Queue(name="taskiq.jobs.dead"),
    )
    .with_queue(Queue(name="taskiq.jobs"))
    .with_result_backend(AmqpResults(AMQP_URL))
    .with_middlewares(SimpleRetryMiddleware(default_retry_count=3))
)


@broker.task
async def observe(star: str, seconds: float = 0.0) -> str:
    """Look at a star for a while."""
    logger.info("Started: %s", star)
    await asyncio.sleep(seconds)
    return f"{star} shines"


@broker.task(retry_on_error=True)
async def photograph(star: str, clouds: int, context: Annotated[Context, TaskiqDepends()]) -> str:
    """Take a picture; it is cloudy the first times. taskiq tries three times in all."""
    attempt = int(context.message.labels.get("_retries", 0)) + 1
    logger.info("Attempt %d: %s", attempt, star)
    if attempt <= clouds:
        raise RuntimeError(f"clouds before {star}")
    return f"{star} photographed at attempt {attempt}"


@broker.task
async def wake(astronomer: str, due: float) -> str:
    """Wake somebody, and say how long after the time it was to be done."""
    return f"{astronomer} woken {time.time() - due:.2f} s after the time"
