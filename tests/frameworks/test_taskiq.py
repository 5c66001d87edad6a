"""examples/frameworks/taskiq: results, retries, delays, and workers that are killed."""

from __future__ import annotations

import re

from tests.clients.programs import Program, Programs

ASK = "frameworks/taskiq/ask.py"


def start_worker(programs: Programs) -> Program:
    """Start a worker process; it consumes a little later."""
    return programs.start_module("taskiq", "worker", "tasks:broker", "--workers", "1", folder="frameworks/taskiq")


def test_results_come_back_and_failed_tasks_are_tried_three_times(programs: Programs) -> None:
    worker = start_worker(programs)
    observed = programs.start(ASK, "observe", "Vega")
    photographed = programs.start(ASK, "photograph", "Mira", "--clouds", "2")
    failed = programs.start(ASK, "photograph", "Deneb", "--clouds", "9")
    assert [asked.exit_code() for asked in (observed, photographed, failed)] == [0, 0, 1]
    assert observed.lines == ["Sent: observe Vega", "Result: Vega shines"]
    assert photographed.lines == ["Sent: photograph Mira", "Result: Mira photographed at attempt 3"]
    assert failed.lines[-1] == "Failed: clouds before Deneb"
    found = [re.search(r"Attempt (\d+): (\w+)", line) for line in worker.lines]
    attempts = sorted((match[2], int(match[1])) for match in found if match)
    assert attempts == [(star, attempt) for star in ("Deneb", "Mira") for attempt in (1, 2, 3)], worker.transcript()


def test_a_delayed_task_does_not_come_before_its_time(programs: Programs) -> None:
    start_worker(programs)
    woken = programs.run(ASK, "wake", "Tycho", "--seconds", "1.5")
    found = re.fullmatch(r"Result: Tycho woken (-?\d+\.\d+) s after the time", woken.lines[1])
    assert found, woken.transcript()
    # The queue for delays counts from when the broker has the message, a little after the program sent it.
    assert 0 <= float(found[1]) < 30


def test_the_task_of_a_killed_worker_goes_to_another(programs: Programs) -> None:
    first = start_worker(programs)
    asked = programs.start(ASK, "observe", "Vega", "--seconds", "3")
    first.expect("Started: Vega")
    first.kill()
    second = start_worker(programs)
    second.expect("Started: Vega")
    asked.expect("Result: Vega shines")
    assert asked.exit_code() == 0
