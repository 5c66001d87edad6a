"""A small Celery application: reports that take a while to render."""

from __future__ import annotations

import os
import time

from celery import Celery
from celery.utils.log import get_task_logger

app = Celery(
    "reports",
    broker=os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/"),
    # Results come back over the same broker, to a reply queue of the program that ordered the report.
    backend="rpc://",
)
app.conf.update(
    task_default_queue="celery.reports",
    # Acknowledge a task when it is done instead of when it is received. If the worker's connection breaks
    # before that, the broker puts the task back into the queue.
    task_acks_late=True,
    # The worker may live while its child process that runs the task dies. Celery would then acknowledge the
    # task as failed; with this it tells the broker to put the task back.
    task_reject_on_worker_lost=True,
    # With one process per worker: take one task, and leave the rest to the other workers.
    worker_prefetch_multiplier=1,
)
logger = get_task_logger(__name__)


@app.task
def render_report(title: str, pages: int, seconds_per_page: float) -> str:
    """Render a report page by page.

    It may be run again from the start when a worker dies, so it must not mind being run twice.
    """
    for page in range(1, pages + 1):
        logger.info("page %d of %d of %s: process %d of worker %d", page, pages, title, os.getpid(), os.getppid())
        time.sleep(seconds_per_page)
    return f"{title}: {pages} pages rendered by {render_report.request.hostname}"
