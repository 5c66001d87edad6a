"""examples/frameworks/celery: retries, times, groups, and a prefetch window that grows."""

from __future__ import annotations

import re

from tests.clients.programs import Program, Programs
from tests.marks import differs_from_rabbitmq

ORDER = "frameworks/celery/order.py"


def start_worker(programs: Programs, name: str, level: str = "INFO") -> Program:
    """Start one worker with one child process, and return when it consumes."""
    worker = programs.start_module(
        "celery",
        *("--app", "tasks", "worker", "--hostname", f"{name}@kitchen", "--concurrency", "1", "--loglevel", level),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        folder="frameworks/celery",
    )
    worker.expect(" ready.")
    return worker


def count(program: Program, text: str) -> int:
    """Return how many lines contain a text."""
    return sum(text in line for line in program.lines)


def lateness_s(line: str) -> float:
    """Return how long after its time a dish was served."""
    found = re.search(r"(-?\d+\.\d+) s after its time", line)
    assert found, line
    return float(found[1])


def test_chains_and_groups_bring_their_results_and_a_chord_says_that_it_cannot(programs: Programs) -> None:
    start_worker(programs, "one")
    assert programs.run(ORDER, "meal").lines == [
        "Chain: soup of chopped onion",
        "Group: chopped leek, chopped carrot, chopped celeriac",
        "No chord with rpc://; instead: stew of chopped leek and chopped carrot and chopped celeriac",
    ]


def test_failed_tasks_are_retried_until_they_succeed_or_have_failed_too_often(programs: Programs) -> None:
    worker = start_worker(programs, "one")
    baked = programs.start(ORDER, "bake", "--failures", "2")
    never_baked = programs.start(ORDER, "bake", "--failures", "9")
    delivered = programs.start(ORDER, "deliver", "--failures", "3")
    assert baked.exit_code() == 0, baked.transcript()
    assert baked.lines == ["Result: bread baked at attempt 3"]
    assert delivered.exit_code() == 0, delivered.transcript()
    assert delivered.lines == ["Result: pizza delivered at attempt 4"]
    assert never_baked.exit_code() == 1
    assert never_baked.lines == ["Failed: OvenIsColdError: bread"]
    attempts = [count(worker, f"attempt {attempt} to bake") for attempt in range(1, 6)]
    assert attempts == [2, 2, 2, 1, 0], worker.transcript()


def test_no_task_begins_before_its_time(programs: Programs) -> None:
    start_worker(programs, "one")
    ordered = programs.run(ORDER, "later", "--seconds", "1.5")
    assert [line.split(" served")[0] for line in ordered.lines] == ["Ordered.", "Result: countdown", "Result: eta"]
    for line in ordered.lines[1:]:
        assert lateness_s(line) >= 0


def test_a_task_that_waits_for_its_time_outlives_its_worker(programs: Programs) -> None:
    doomed = start_worker(programs, "one")
    order = programs.start(ORDER, "later", "--seconds", "4")
    doomed.expect("received")
    doomed.kill()
    start_worker(programs, "two")
    assert order.exit_code() == 0, order.transcript()
    results = order.lines[1:]
    assert len(results) == 2
    for line in results:
        assert "served by two@kitchen" in line
        assert lateness_s(line) >= 0


@differs_from_rabbitmq("RabbitMQ 4 has no window that all consumers of a channel share")
def test_the_prefetch_window_grows_for_tasks_that_wait(programs: Programs) -> None:
    waiting = 5
    worker = start_worker(programs, "one", level="DEBUG")
    ordered, seen, seconds = rush(programs, worker, waiting)
    # The window began with one task. Had it stayed so, the first dish for later would have blocked the snack.
    assert ordered.lines[0].startswith("At once: snack served by one@kitchen")
    assert lateness_s(ordered.lines[0]) < seconds - 1, worker.transcript()
    assert [line.split(" served")[0] for line in ordered.lines[1:]] == [
        f"Later: dish {number}" for number in range(1, waiting + 1)
    ]
    for line in ordered.lines[1:]:
        assert lateness_s(line) >= 0
    windows = [int(found[1]) for line in seen if (found := re.search(r"prefetch_count->(\d+)", line))]
    assert max(windows) == waiting + 1, worker.transcript()
    worker.expect(f"prefetch_count->{waiting + 1}")
    worker.expect("prefetch_count->1")  # as the dishes are served it shrinks again


def rush(programs: Programs, worker: Program, waiting: int) -> tuple[Program, list[str], int]:
    """Order in a rush, again if Celery fell asleep over it. Returns: the order, what the worker said to it, and in how
    many seconds the dishes were wanted.

    kombu looks for another message after each basic.qos-ok, without asking for a wider window if it finds one, and
    then sleeps (kombu/transport/base.py, Transport._make_reader). The broker leaves it a moment in which there is
    none; a worker that has to wait for a core just there may miss it.
    """
    for seconds in (8, 8, 12, 16):  # more time on a busy machine
        before = len(worker.lines)
        ordered = programs.run(ORDER, "rush", "--waiting", str(waiting), "--seconds", str(seconds))
        if lateness_s(ordered.lines[0]) < seconds - 1:
            break
    return ordered, worker.lines[before:], seconds
