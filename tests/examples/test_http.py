"""examples/http: a worker without a connection, of which nothing is lost when it is killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import leveret
from tests.api.http import Http
from tests.api.messaging import put
from tests.clients.programs import EXAMPLES, Programs
from tests.clients.waiting import eventually

WORKER = "http/worker.py"
QUEUE = "http.tasks"


@pytest.fixture
def broker() -> Iterator[leveret.Broker]:
    """A broker with an HTTP API."""
    with leveret.Broker(management=True) as broker:
        yield broker


@pytest.fixture
def http_programs(broker: leveret.Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Programs]:
    """Start scripts with this, which know where the broker is."""
    monkeypatch.setenv("LEVERET_API", broker.management_url.replace("://", "://guest:guest@"))
    with Programs(broker.url) as programs:
        yield programs


def test_it_is_short() -> None:
    assert len((EXAMPLES / WORKER).read_text().split("\n")) <= 40
    readme = Path(EXAMPLES / "http" / "README.md").read_text()
    assert "worker.py" in readme


def test_a_task_of_a_killed_worker_is_done_by_the_next(broker: leveret.Broker, http_programs: Programs) -> None:
    first = http_programs.start(WORKER)
    first.expect("Waiting for tasks")
    http = Http(broker.management_url)
    put(http, QUEUE, "nap", "paint" * 60)
    first.expect("Done: nap")
    first.expect("Started: paint")
    first.kill()
    second = http_programs.start(WORKER)
    second.expect("Waiting for tasks")
    eventually(lambda: len(broker.queue(QUEUE).consumers) == 2)  # the first one's has its lease
    broker.clock.advance(11)
    second.expect("Started again: paint")
    http_programs.assert_no_traceback()


def test_a_worker_whose_lease_has_run_out_begins_anew(broker: leveret.Broker, http_programs: Programs) -> None:
    worker = http_programs.start(WORKER)
    worker.expect("Waiting for tasks")
    put(Http(broker.management_url), QUEUE, "x" * 20)
    worker.expect("Started: x")
    broker.clock.advance(11)
    worker.expect("Done: x")
    worker.expect("Waiting for tasks")
    worker.expect("Started again: x")
    worker.signal(signal.SIGINT)
    worker.expect("Stopped.")
    assert worker.exit_code() == 0
    http_programs.assert_no_traceback()
