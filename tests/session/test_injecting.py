"""One call after the other fails, and nobody but the guilty one notices. See injecting.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leveret.wire.constants import INTERNAL_ERROR

pytestmark = pytest.mark.skipif(
    os.environ.get("LEVERET_EXPECT_BUILD") == "interpreted",
    reason="here the broker is loaded from its source whatever the build; the tests of the compiled one have done it",
)

SCRIPT = Path(__file__).with_name("injecting.py")
NOT_REACHED = {  # points to which no client leads while the broker runs
    "faults.py client.close_failed": "only when something has failed already",
    "jobs.py queue.requeue": "only when something has failed already",
    "queue.py client.held": "only when somebody looks",
    "receiver.py queue.requeue": "only when something has failed already",
    "queue.py retries.watch": "only when something has failed already",
    "destination.py destination.not_taken": "only when something has failed already",
    "destination.py destination.not_published": "only where an observer objects, or a transaction is rolled back",
    "detours.py log.fetch": "only at a start",
    "detours.py ready.push": "only at a start",
    "detours.py duplicates.value": "only at a start",
    "detours.py duplicates.claim": "only at a start",
    "delayed.py log.extent": "only when memory is short",
    "delayed.py _pending.refuse": "only when something could not be written",
    "delayed.py log.fetch": "only at a start",
    "recovery.py log.drop": "only at a start",
    "recovery.py log.damaged": "only at a start",
    "broker.py _definition_log.gather": "only for definitions files",
    **{f"sharing.py _log.{name}": "only in a cluster" for name in ("put", "delete", "gather", "damaged")},
    "driver.py conversation.force_close": "only at the end",
    "news.py listener.on_behind": "takes 64 MiB",
    "news.py listener.on_conflict": "only in a cluster",
    "news.py listener.on_fetched": "only with a database that is not in the data directory",
    "in_log.py log.can_rest": "only when something could not be written",
}


@pytest.fixture(scope="module")
def outcomes() -> list[dict[str, Any]]:
    """What came of each point."""
    found = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False, timeout=600)
    assert found.returncode == 0, found.stderr
    return [json.loads(line) for line in found.stdout.splitlines()]


def name_of(point: str) -> str:
    """A point without its line and its folder."""
    place, _, called = point.partition(" ")
    return f"{place.partition(':')[0].rpartition('/')[2]} {called}"


@pytest.mark.timeout(700)
def test_nobody_else_notices(outcomes: list[dict[str, Any]]) -> None:
    wrong = {each["point"]: each["wrong"] for each in outcomes if each["wrong"]}
    assert wrong == {}


@pytest.mark.timeout(700)
def test_no_point_is_forgotten(outcomes: list[dict[str, Any]]) -> None:
    assert len(outcomes) > 100
    reached = {name_of(each["point"]) for each in outcomes if each["ways"]}
    missed = {name_of(each["point"]) for each in outcomes} - reached
    assert missed == set(NOT_REACHED)


@pytest.mark.timeout(700)
def test_the_guilty_connection_is_closed_with_an_internal_error(outcomes: list[dict[str, Any]]) -> None:
    closed: dict[str, list[int]] = {}
    for each in outcomes:
        closed.setdefault(name_of(each["point"]), []).extend(each.get("closed", []))
    assert INTERNAL_ERROR in closed["queue.py subscriber.deliver"]
    assert INTERNAL_ERROR in closed["confirm.py _listener.confirmed"]
