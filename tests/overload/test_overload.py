"""Every case in small: the broker does what it was asked for, and its memory stays within bounds."""

from __future__ import annotations

import pytest

from tests.overload.cases import CASES, run

SHARE = 0.02
PEAK_MB = 400  # with a memory budget of 64 MB, and up to as many bytes on their way to the disk


@pytest.mark.parametrize("name", list(CASES))
def test_a_case(name: str) -> None:
    found, code = run(name, SHARE)
    assert code == 0
    assert found.peak_mb < PEAK_MB
    assert found.longest_ms > 0  # the broker has looked at the time
