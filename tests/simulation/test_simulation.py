"""A simulated cluster keeps its promises whatever happens, and does not without any one of its rules."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.simulation.rules import ALL, WITHOUT
from tests.simulation.world import run

SEEDS = 8
ENOUGH = 60  # seeds that find out that a rule is missing
FAULTS = {
    "one-statement": ("stop",),
    "session": ("flaky", "kill"),
    "own-beats": ("hang",),
    "warning": ("standby", "kill"),
}
"""What a rule is there for, so that few seeds are enough."""


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Nodes without logs: they have a lot to complain about."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_nobody_notices_that_something_fails(seed: int) -> None:
    assert run(seed, ALL).failure == ""


@pytest.mark.parametrize("rule", WITHOUT)
def test_every_rule_is_needed(rule: str) -> None:
    assert any(run(seed, WITHOUT[rule], FAULTS[rule]).failure for seed in range(1, ENOUGH + 1))


@pytest.mark.parametrize("rule", WITHOUT)
def test_these_faults_alone_are_survived_with_all_rules(rule: str) -> None:
    assert run(1, ALL, FAULTS[rule]).failure == ""


def test_a_seed_repeats_itself() -> None:
    assert list(run(5, ALL).trace) == list(run(5, ALL).trace)
