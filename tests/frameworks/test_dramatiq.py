"""examples/frameworks/dramatiq: retries, delays, dead letters, and workers that are killed."""

from __future__ import annotations

import re

from tests.clients.programs import Program, Programs

POST = "frameworks/dramatiq/post.py"


def start_worker(programs: Programs) -> Program:
    """Start a worker process with one thread, and return when it consumes."""
    worker = programs.start_module(
        "dramatiq", "tasks", "--processes", "1", "--threads", "1", folder="frameworks/dramatiq"
    )
    worker.expect("Worker process is ready for action.")
    return worker


def attempts(worker: Program, parcel: str) -> list[int]:
    """Which attempts to deliver a parcel there were."""
    return [int(found[1]) for line in worker.lines if (found := re.search(rf"Attempt (\d+): {parcel}$", line))]


def test_a_parcel_is_tried_again_and_then_is_a_dead_letter(programs: Programs) -> None:
    worker = start_worker(programs)
    programs.run(POST, "send", "piano", "--failures", "9")
    programs.run(POST, "send", "vase", "--failures", "2")
    programs.run(POST, "send", "book")
    programs.wait_until(lambda: any("Delivered: vase" in line for line in worker.lines), worker)
    programs.wait_until(lambda: any("Retries exceeded for message" in line for line in worker.lines), worker)
    assert attempts(worker, "book") == [1]
    assert attempts(worker, "vase") == [1, 2, 3]
    assert attempts(worker, "piano") == [1, 2, 3]
    assert not any("Delivered: piano" in line for line in worker.lines)
    # The worker rejects the parcel a moment after it says so.
    dead: list[str] = []
    for _ in range(20):
        dead += programs.run(POST, "dead").lines
        if dead:
            break
    assert dead == ["Dead: piano after 2 retries, rejected from dramatiq.parcels"]


def test_a_delayed_message_does_not_come_before_its_time(programs: Programs) -> None:
    worker = start_worker(programs)
    programs.run(POST, "remind", "birthday", "--seconds", "1.5")
    programs.run(POST, "send", "book")
    # What has no delay does not wait behind it.
    worker.expect("Delivered: book")
    found = re.search(r"(-?\d+\.\d+) s after its time", worker.expect("Reminded: birthday"))
    assert found
    assert 0 <= float(found[1]) < 30


def test_the_parcel_of_killed_workers_is_delivered_by_others(programs: Programs) -> None:
    first = start_worker(programs)
    # Nobody waits for the sender to end: a busy machine takes longer for that than the worker for the parcel.
    programs.start(POST, "send", "book", "--seconds", "3")
    first.expect("Attempt 1: book")
    first.kill()
    second = start_worker(programs)
    second.expect("Attempt 1: book")
    second.expect("Delivered: book")
