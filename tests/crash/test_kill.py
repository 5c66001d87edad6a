"""A few kills of every workload. `make crash` does many more."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from leveret.store.database import FILE_NAME
from tests.crash.kill import Victim, kill
from tests.crash.workloads import WORKLOADS


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_nothing_confirmed_is_lost(name: str, tmp_path: Path) -> None:
    (victim,) = kill([name], tmp_path, seed=1, kills=2, max_s=0.25, least=60)
    assert victim.findings == []
    assert victim.counts["confirmed"] > 100
    assert victim.counts["acked"] > 100
    assert victim.counts["audited"] > 0
    assert victim.counts["declared"] > 0


def test_what_is_missing_from_the_file_is_found(tmp_path: Path) -> None:
    def cut(directory: Path) -> None:
        with closing(sqlite3.connect(directory / FILE_NAME)) as sql, sql:
            sql.execute("DELETE FROM chunks WHERE id > (SELECT max(id) FROM chunks) - 5")
            sql.execute("DELETE FROM definitions WHERE id = (SELECT max(id) FROM definitions)")

    victim = Victim(WORKLOADS["plain"], tmp_path / "data", seed=1, between=cut)
    victim.live(0.3)
    victim.finish()
    assert {"lost", "undeclared"} & {finding.kind for finding in victim.findings}
