"""A few kills of every workload. `make crash` does many more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.kill import Victim, kill
from tests.crash.workloads import WORKLOADS


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_nothing_confirmed_is_lost(name: str, tmp_path: Path) -> None:
    (victim,) = kill([name], tmp_path, seed=1, kills=2, max_s=0.4)
    assert victim.findings == []
    assert victim.counts["confirmed"] > 100
    assert victim.counts["acked"] > 100
    assert victim.counts["audited"] > 0
    assert victim.counts["declared"] > 0


def test_a_lost_end_of_the_file_is_found(tmp_path: Path) -> None:
    def cut(directory: Path) -> None:
        wal = directory / "leveret.db-wal"
        with wal.open("r+b") as file:
            file.truncate(wal.stat().st_size // 2)

    victim = Victim(WORKLOADS["plain"], tmp_path / "data", seed=1, between=cut)
    victim.live(0.3)
    victim.finish()
    assert {"lost", "undeclared"} <= {finding.kind for finding in victim.findings}
