"""Celery tasks that know nothing of what the broker does with their queue. They end when a file is there.

Run as a program it sends some, with the options of apply_async() as JSON: celery_tasks.py '{"args": ["a"]}' ...
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from celery import Celery, Task

app = Celery("queues", broker=os.environ["AMQP_URL"])
app.conf.update(
    task_default_queue="celery.jobs",
    task_acks_late=True,
    worker_prefetch_multiplier=100,  # greedy
    broker_connection_retry_on_startup=True,
)


@app.task(bind=True, name="jobs.work")
def work(self: Task, name: str, until: str = "") -> None:
    """Say that it has begun, wait for a file, and say that it has ended."""
    print(f"begun {name} by {self.request.hostname} at {time.time():.3f}", flush=True)
    while until and not Path(until).exists():
        time.sleep(0.02)
    print(f"ended {name} by {self.request.hostname}", flush=True)


if __name__ == "__main__":
    for order in sys.argv[1:]:
        work.apply_async(**json.loads(order))
