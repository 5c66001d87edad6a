"""Every case in small: a broker whose clients let it hold more than its budget stays within bounds."""

from __future__ import annotations

import pytest

from tests.memory.cases import BUDGET_MB, CASES, ROOM_MB, run

SHARE = 0.2


@pytest.mark.parametrize("name", list(CASES))
def test_a_case(name: str) -> None:
    found = run(name, SHARE)
    assert found.peak_mb < BUDGET_MB + ROOM_MB, found.what
