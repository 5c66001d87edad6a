"""Some cases in small: a broker whose clients let it hold more than its budget stays within bounds."""

from __future__ import annotations

import pytest

from tests.memory.cases import BUDGET_MB, run

SHARE = 0.2
SOME = ("large-priorities", "many-queues", "unacked", "dead-letters", "replies")  # all of them take a minute
MORE_MB = 40  # beside the budget and what an idle broker needs, which differs between systems


@pytest.mark.parametrize("name", SOME)
def test_a_case(name: str) -> None:
    found = run(name, SHARE)
    assert found.peak_mb - found.idle_mb < BUDGET_MB + MORE_MB, found.what
