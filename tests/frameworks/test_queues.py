"""Applications in Celery, Dramatiq and FastStream, whose queues a policy or an operator has told how to work."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.brokers.process import Server
from tests.clients.command_line import good, leveret
from tests.clients.programs import Program, Programs
from tests.clients.waiting import eventually

FOLDER = Path(__file__).parent / "queues"


class Site:
    """A broker and programs that use it. data: where the broker keeps what it has."""

    def __init__(self, server: Server, data: Path, programs: Programs) -> None:
        self.server = server
        self.data = data
        self.programs = programs

    def command(self, *words: str) -> str:
        """A command of an operator."""
        return good(leveret(*words, "--data-dir", str(self.data)))

    def policy(self, pattern: str, **definition: object) -> None:
        """Have this policy and no other."""
        said = json.dumps({name.replace("_", "-"): value for name, value in definition.items()})
        self.command("policies", "set", "queues", pattern, said)

    def show(self, queue: str) -> dict[str, Any]:
        """What there is in a queue."""
        found: dict[str, Any] = json.loads(self.command("queues", "show", queue, "--json"))
        return found

    def await_counts(self, queue: str, **expected: int) -> None:
        """Wait until a queue has so many messages: ready, held, unacknowledged."""
        eventually(
            lambda: expected.items() <= {name: self.show(queue).get(f"messages_{name}") for name in expected}.items()
        )

    def start(self, module: str, *arguments: str) -> Program:
        """Start a program in the folder of the applications."""
        return self.programs.start_module(module, *arguments, folder=str(FOLDER))

    def run(self, module: str, *arguments: str) -> Program:
        """Run a program to its end."""
        program = self.start(module, *arguments)
        assert program.exit_code() == 0, program.transcript()
        return program

    def celery(self, name: str) -> Program:
        """Start a worker with one child process."""
        worker = self.start(
            "celery",
            *("--app", "celery_tasks", "worker", "--hostname", f"{name}@jobs", "--concurrency", "1"),
            *("--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"),
        )
        worker.expect(" ready.")
        return worker

    def order(self, *names: str, until: str = "", **options: object) -> None:
        """Send Celery tasks, with these options."""
        self.run("celery_tasks", *[json.dumps({"args": [name, until], **options}) for name in names])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A broker of the test's own, with the queues of the applications."""
    data = tmp_path / "data"
    server = Server.start("--data-dir", str(data))
    try:
        with Programs(server.url) as programs:
            yield Site(server, data, programs)
    finally:
        server.stop()


def begun(program: Program) -> list[str]:
    """Which jobs have begun."""
    return [found[1] for line in program.lines if (found := re.search(r"begun (\w+)", line))]


def expect_begun(site: Site, program: Program, *names: str) -> None:
    """Wait until these jobs have begun, in whatever order."""
    site.programs.wait_until(lambda: set(names) <= set(begun(program)), program)


# -- Celery


def test_celery_tasks_for_later_stay_in_the_broker(site: Site) -> None:
    site.policy("^celery", hold_until_header="eta")
    worker = site.celery("one")
    eta = datetime.fromtimestamp(time.time() + 3600, UTC).isoformat()
    site.order("tomorrow", eta=eta)
    site.order("soon", countdown=2)
    site.order("now")
    expect_begun(site, worker, "now")
    assert site.show("celery.jobs")["messages_held"] >= 1
    expect_begun(site, worker, "soon")
    site.await_counts("celery.jobs", held=1, ready=0, unacknowledged=0)
    assert begun(worker) == ["now", "soon"]
    assert sum("received" in line for line in worker.lines) == 2  # the worker never had the other one
    (held,) = json.loads(site.command("queues", "held", "celery.jobs", "--json"))
    assert held["properties"]["headers"]["eta"] == eta
    assert 0 <= held["due_ms"] - datetime.fromisoformat(eta).timestamp() * 1000 < 1
    site.command("queues", "drop-held", "celery.jobs", held["id"])
    site.await_counts("celery.jobs", held=0)


def test_held_celery_tasks_outlive_the_broker_and_the_worker(site: Site) -> None:
    site.policy("^celery", hold_until_header="eta")
    worker = site.celery("one")
    worker.kill()
    site.order("later", countdown=3)
    assert site.show("celery.jobs")["messages_held"] == 1
    port = site.server.port
    site.server.stop()
    again = Server.start("--data-dir", str(site.data), port=port)
    try:
        other = site.celery("two")
        expect_begun(site, other, "later")
    finally:
        again.stop()


def test_a_greedy_celery_worker_leaves_tasks_to_others(site: Site, tmp_path: Path) -> None:
    site.policy("^celery", max_prefetch=2)
    until = str(tmp_path / "go")
    greedy = site.celery("one")
    site.order(*"abcdef", until=until)
    site.await_counts("celery.jobs", ready=4, unacknowledged=2)
    other = site.celery("two")
    site.await_counts("celery.jobs", ready=2, unacknowledged=4)
    Path(until).touch()
    site.await_counts("celery.jobs", ready=0, unacknowledged=0)
    assert sorted(begun(greedy) + begun(other)) == list("abcdef")
    assert len(begun(other)) >= 2


def test_without_a_cap_a_greedy_celery_worker_takes_all(site: Site, tmp_path: Path) -> None:
    until = str(tmp_path / "go")
    greedy = site.celery("one")
    site.order(*"abcd", until=until)
    site.await_counts("celery.jobs", ready=0, unacknowledged=4)
    site.policy("^celery", max_prefetch=1)
    site.order("e", until=until)
    site.await_counts("celery.jobs", ready=1, unacknowledged=4)
    Path(until).touch()
    expect_begun(site, greedy, *"abcde")


def test_celery_tasks_come_at_the_rate_of_their_queue(site: Site) -> None:
    site.policy("^celery", delivery_rate=0.001)
    worker = site.celery("one")
    site.order(*"abcd")
    expect_begun(site, worker, "a")
    site.await_counts("celery.jobs", ready=3, unacknowledged=0)
    assert begun(worker) == ["a"]
    site.command("queues", "rate", "celery.jobs", "--unlimited")
    expect_begun(site, worker, *"abcd")


def test_a_paused_queue_keeps_celery_tasks_and_a_duplicate_is_gone(site: Site) -> None:
    site.policy("^celery", deduplicate_by="id")
    worker = site.celery("one")
    site.command("queues", "pause", "celery.jobs")
    site.order("a", "a", task_id="the-same")
    site.order("b")
    site.await_counts("celery.jobs", ready=2, unacknowledged=0)
    assert begun(worker) == []
    site.command("queues", "resume", "celery.jobs")
    expect_begun(site, worker, "a", "b")
    site.await_counts("celery.jobs", ready=0, unacknowledged=0)
    assert begun(worker) == ["a", "b"]


# -- Dramatiq


def test_delayed_messages_of_dramatiq_stay_in_the_broker(site: Site) -> None:
    site.policy(r"\.DQ$", hold_until_header="eta")
    worker = site.start("dramatiq", "dramatiq_tasks", "--processes", "1", "--threads", "1")
    worker.expect("Worker process is ready for action.")
    site.run("dramatiq_tasks", "tomorrow", "86400")
    site.run("dramatiq_tasks", "soon", "2")
    site.run("dramatiq_tasks", "now", "0")
    expect_begun(site, worker, "now", "soon")
    site.await_counts("dramatiq.jobs.DQ", held=1, ready=0, unacknowledged=0)
    assert begun(worker) == ["now", "soon"]
    late = [float(found[1]) for line in worker.lines if (found := re.search(r"soon, (-?[\d.]+) s after", line))]
    assert late[0] >= 0


# -- FastStream


def test_messages_of_faststream_are_held_deduplicated_and_held_back(site: Site) -> None:
    site.policy("^faststream", hold_until_header="eta", deduplicate_by="message-id")
    shop = site.start("faststream", "run", "faststream_app:app")
    shop.expect("FastStream app started successfully")
    site.run("faststream_app", "tomorrow", str(time.time() + 86_400), "1")
    site.run("faststream_app", "again", "", "1")
    site.run("faststream_app", "wrong", "soon", "")
    due = datetime.fromtimestamp(time.time() + 2, UTC)
    site.run("faststream_app", "later", due.isoformat(), "2")
    site.run("faststream_app", "now", "", "")
    expect_begun(site, shop, "wrong", "now", "later")
    line = next(line for line in shop.lines if "begun later" in line)
    assert float(line.rpartition(" ")[2]) >= due.timestamp()
    site.await_counts("faststream.jobs", held=1, ready=0, unacknowledged=0)
    site.command("queues", "rate", "faststream.jobs", "0.001")
    for name in "abc":
        site.run("faststream_app", name, "", "")
    expect_begun(site, shop, "a")
    site.await_counts("faststream.jobs", ready=2)
    site.command("queues", "rate", "faststream.jobs", "--restore")
    expect_begun(site, shop, "b", "c")
