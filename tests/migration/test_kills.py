"""A few kills of the command and of both brokers, under load. `make migration` does more, and with a RabbitMQ."""

from __future__ import annotations

from pathlib import Path

from tests.migration.audit import Found, judge, total
from tests.migration.houses import LeveretHouse
from tests.migration.kills import Move, move_under_kills
from tests.migration.load import LINES, Publisher

WINDOW = 100
KILLS = 6


def test_nothing_is_lost_and_little_comes_twice(tmp_path: Path) -> None:
    source, target = LeveretHouse(tmp_path / "old"), LeveretHouse(tmp_path / "new", is_local=True)
    move = Move(source, target, tmp_path, WINDOW)
    for house in (source, target):
        house.start()
        house.wait()
    try:
        verdict = total(move_under_kills(move, KILLS, 1, backlog=1000, per_s=100, pause_s=(0.1, 0.5)))
    finally:
        for house in (source, target):
            house.stop()
    assert verdict.wrong == []
    assert verdict.counts["confirmed"] > 5000
    assert verdict.counts["disordered"] == 0
    assert verdict.counts["doubled"] <= verdict.counts["marked"] <= KILLS * WINDOW
    assert verdict.counts["marked"] == move.reports[-1]["all_runs"]["again"]


def test_the_audit_finds_what_is_wrong() -> None:
    (line, *_) = LINES
    publisher = Publisher(LeveretHouse(Path()), line)
    publisher.confirmed = {0, 1, 2, 3}
    good = judge(line, publisher, Found([0, 1, 2, 2, 3], {3}))
    assert (good.wrong, good.counts["doubled"], good.counts["disordered"]) == ([], 1, 0)
    assert "1 lost" in judge(line, publisher, Found([0, 1, 2])).wrong[0]
    assert "1 doubled and not marked" in judge(line, publisher, Found([0, 1, 2, 2, 3])).wrong[0]
    assert judge(line, publisher, Found([0, 2, 1, 3])).counts["disordered"] == 1
