"""A kitchen in Celery: tasks that are retried, that wait for their time, and that make up a meal."""

from __future__ import annotations

import os
import time

from celery import Celery, Task
from celery.utils.log import get_task_logger

app = Celery(
    "kitchen",
    broker=os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/"),
    backend="rpc://",  # results come back over the same broker, to a queue of the program that waits for them
)
app.conf.update(
    task_default_queue="celery.kitchen",
    # Acknowledge a task when it is done, so that the broker gives it to another worker if this one dies.
    task_acks_late=True,
    # One process, one task at a time: the window begins with 1, and grows with each task that waits for its time.
    worker_prefetch_multiplier=1,
)
logger = get_task_logger(__name__)


class OvenIsColdError(Exception):
    """Try again a little later."""


@app.task
def chop(vegetable: str) -> str:
    """Chop one vegetable."""
    return f"chopped {vegetable}"


@app.task
def cook(ingredients: str | list[str], dish: str) -> str:
    """Cook something of what was chopped before."""
    return f"{dish} of {ingredients if isinstance(ingredients, str) else ' and '.join(ingredients)}"


@app.task(bind=True, autoretry_for=(OvenIsColdError,), retry_kwargs={"max_retries": 3, "countdown": 0.3})
def bake(self: Task, dish: str, failures: int) -> str:
    """Bake in an oven that is cold the first times; Celery tries again, 0.3 s later, three times at most."""
    attempt = self.request.retries + 1
    logger.info("attempt %d to bake %s", attempt, dish)
    if attempt <= failures:
        raise OvenIsColdError(dish)
    return f"{dish} baked at attempt {attempt}"


@app.task(bind=True, max_retries=5)
def deliver(self: Task, dish: str, nobody_home: int) -> str:
    """Ring the bell; the task itself decides to come back, and when."""
    attempt = self.request.retries + 1
    logger.info("attempt %d to deliver %s", attempt, dish)
    if attempt <= nobody_home:
        raise self.retry(countdown=0.1 * attempt)
    return f"{dish} delivered at attempt {attempt}"


@app.task(bind=True)
def serve(self: Task, dish: str, due: float) -> str:
    """Say which worker served the dish, and how long after it was due."""
    return f"{dish} served by {self.request.hostname}, {time.time() - due:.2f} s after its time"
