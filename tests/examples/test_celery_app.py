"""examples/celery_app: a task outlives the worker that was killed over it."""

from __future__ import annotations

import os
import re
import signal

from tests.clients.programs import Program, Programs

PAGES = 4


def start_worker(programs: Programs, name: str) -> Program:
    """Start one worker with one child process for tasks."""
    return programs.start_module(
        "celery",
        *("--app", "tasks", "worker", "--hostname", f"{name}@reports", "--concurrency", "1"),
        *("--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"),
        folder="celery_app",
    )


def start_rendering(programs: Programs) -> tuple[Program, Program, Program, int, int]:
    """Order a report from two workers.

    Returns: the order, the worker that has begun, the idle one, and the process ids of the child that renders
    and of its worker.
    """
    workers = [start_worker(programs, name) for name in ("one", "two")]
    for worker in workers:
        worker.expect(" ready.")
    order = programs.start("celery_app/order.py", "Sales", "--pages", str(PAGES), "--seconds-per-page", "0.5")
    order.expect("Ordered: Sales")
    busy = programs.first_to_print(f"page 1 of {PAGES} of Sales", *workers)
    (idle,) = (worker for worker in workers if worker is not busy)
    found = re.search(r"process (\d+) of worker (\d+)", busy.expect(f"page 1 of {PAGES} of Sales"))
    assert found
    return order, busy, idle, int(found[1]), int(found[2])


def test_the_task_of_a_killed_worker_completes_on_another(programs: Programs) -> None:
    order, busy, idle, _, worker_id = start_rendering(programs)
    assert worker_id == busy.process.pid
    os.kill(worker_id, signal.SIGKILL)
    for page in range(1, PAGES + 1):
        idle.expect(f"page {page} of {PAGES} of Sales")
    order.expect(f"Result: Sales: {PAGES} pages rendered by {idle_name(idle)}")
    assert order.exit_code() == 0
    assert busy.find(f"page {PAGES} of {PAGES}") is None


def test_the_task_of_a_killed_child_process_is_put_back(programs: Programs) -> None:
    order, busy, idle, child_id, _ = start_rendering(programs)
    os.kill(child_id, signal.SIGKILL)
    # Both workers live, so either may get it.
    again = programs.first_to_print(f"page 1 of {PAGES} of Sales", busy, idle)
    again.expect(f"page {PAGES} of {PAGES} of Sales")
    order.expect(f"Result: Sales: {PAGES} pages rendered by ")
    assert order.exit_code() == 0


def idle_name(worker: Program) -> str:
    """Return the node name a worker was started with."""
    found = re.search(r"--hostname (\S+)", worker.name)
    assert found
    return found[1]
