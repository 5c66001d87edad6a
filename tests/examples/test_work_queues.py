"""examples/*/work_queues: a backlog is shared, and no task is lost with its worker."""

from __future__ import annotations

import signal

from tests.clients.programs import Program, Programs


def start_two_workers(programs: Programs, library: str) -> tuple[Program, Program]:
    """Start two workers at the same time, and return when both consume."""
    workers = (
        programs.start(f"{library}/work_queues/worker.py"),
        programs.start(f"{library}/work_queues/worker.py"),
    )
    for worker in workers:
        worker.expect("Waiting for tasks")
    return workers


def test_two_workers_share_a_backlog(programs: Programs, library: str) -> None:
    titles = [f"paint #{number}" for number in range(1, 13)]
    queued = programs.run(f"{library}/work_queues/new_task.py", "paint", "--count", "12", "--seconds", "0.3")
    assert queued.lines == [f"Queued: {title}" for title in titles]

    workers = start_two_workers(programs, library)

    def done(worker: Program) -> list[str]:
        return [line.removeprefix("Done: ") for line in worker.lines if line.startswith("Done: ")]

    programs.wait_until(lambda: sum(len(done(worker)) for worker in workers) >= len(titles), *workers)
    assert sorted(done(workers[0]) + done(workers[1])) == sorted(titles)
    # Six each, or nearly so: one may have begun a little earlier. Without the prefetch limit the first to
    # come is sent all twelve, and the other none.
    assert min(len(done(worker)) for worker in workers) >= 3
    programs.assert_no_traceback()


def test_the_task_of_a_killed_worker_goes_to_another(programs: Programs, library: str) -> None:
    first, second = start_two_workers(programs, library)
    # Nobody waits for the sender to end: a busy machine takes longer for that than a worker for the task.
    programs.start(f"{library}/work_queues/new_task.py", "move the piano", "--seconds", "3")
    victim = programs.first_to_print("Started: move the piano #1", first, second)
    survivor = second if victim is first else first
    victim.kill()
    survivor.expect("Started again: move the piano #1")
    survivor.expect("Done: move the piano #1")
    assert victim.find("Done") is None
    programs.assert_no_traceback()


def test_the_task_of_an_interrupted_worker_goes_to_another(programs: Programs, library: str) -> None:
    first, second = start_two_workers(programs, library)
    programs.start(f"{library}/work_queues/new_task.py", "tune the piano", "--seconds", "3")
    victim = programs.first_to_print("Started: tune the piano #1", first, second)
    survivor = second if victim is first else first
    victim.signal(signal.SIGINT)
    victim.expect("Stopped.")
    survivor.expect("Started again: tune the piano #1")
    programs.assert_no_traceback()
