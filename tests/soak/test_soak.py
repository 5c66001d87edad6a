"""A short soak: too short to see whether anything grows, but every part has to work, and nothing may stay open."""

from __future__ import annotations

from pathlib import Path

from tests.soak.parts import PARTS
from tests.soak.soak import Soak

SECONDS = 7
SLOW_TO_JUDGE = ("memory", "disk", "files")  # not in seconds


def test_nothing_is_lost_and_no_file_stays_open(tmp_path: Path) -> None:
    outcome = Soak(tmp_path / "data", 1, list(PARTS), backlog=0).run(SECONDS)
    assert outcome.findings == []
    assert [problem for problem in outcome.problems if not problem.startswith(SLOW_TO_JUDGE)] == []
    assert outcome.counts["delivered"] > 500
    assert min(outcome.counts[what] for what in ("calls", "rounds", "channels", "acked")) > 10
