"""A few strikes of each kind. `make cluster-crash` does many more."""

from __future__ import annotations

import pytest

from leveret.cluster.database import connect
from tests.postgres.audit import STRIKES, audit
from tests.postgres.server import Pair

CASES = list(zip(STRIKES, ("plain", "tx", "fanout", "dead-letter", "priority", "plain", "delayed"), strict=True))


@pytest.mark.parametrize(("strike", "workload"), CASES)
def test_nothing_confirmed_is_lost(postgres: Pair, database_url: str, strike: str, workload: str) -> None:
    victim = audit(postgres, database_url, STRIKES[strike], workload, seed=1, lives=2)
    assert victim.findings == []
    assert victim.counts["confirmed"] > 100
    assert victim.counts["acked"] > 100
    assert victim.counts["audited"] > 0


def test_what_is_missing_from_the_database_is_found(postgres: Pair, database_url: str) -> None:
    def cut(pair: Pair, chance: object) -> None:
        with connect(database_url) as connection:
            connection.execute("DELETE FROM chunks WHERE id > (SELECT max(id) FROM chunks) - 5")

    victim = audit(postgres, database_url, cut, "plain", seed=1, lives=1)
    assert "lost" in {finding.kind for finding in victim.findings}
