"""Moving between a real RabbitMQ and Leveret: runs when LEVERET_TEST_MANAGEMENT says where its HTTP API is.

    LEVERET_TEST_MANAGEMENT=http://127.0.0.1:15672 python -m pytest tests/migration/test_rabbitmq.py

It makes and deletes queues in its virtual host /. `make migration` kills it as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.administration import ManagementApi
from tests.clients.command_line import leveret
from tests.migration.audit import total
from tests.migration.houses import House, LeveretHouse, RabbitHouse
from tests.migration.kills import Move, move_under_kills
from tests.migration.load import EXCHANGE, LINES

URL = os.environ.get("LEVERET_TEST_MANAGEMENT", "")
WINDOW = 200
KILLS = 3

pytestmark = pytest.mark.skipif(not URL, reason="LEVERET_TEST_MANAGEMENT does not say where RabbitMQ's API is")


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[House]:
    """The RabbitMQ, in which nothing of the tests stays."""
    api = ManagementApi(URL)
    port = next(each["port"] for each in api.get("overview")["listeners"] if each["protocol"] == "amqp")
    yield RabbitHouse("", URL.replace("://", "://guest:guest@"), port)
    present = {each["name"] for each in api.get("queues", "/")}
    for line in LINES:
        if line.name in present:
            api._call("DELETE", ["queues", "/", line.name])
    api._call("DELETE", ["exchanges", "/", EXCHANGE])


@pytest.fixture
def here(tmp_path: Path) -> Iterator[House]:
    """A Leveret."""
    house = LeveretHouse(tmp_path / "here", is_local=True)
    house.start()
    house.wait()
    yield house
    house.stop()


@pytest.mark.parametrize("is_back", [False, True], ids=["from RabbitMQ", "to RabbitMQ"])
def test_nothing_is_lost(rabbitmq: House, here: House, is_back: bool, tmp_path: Path) -> None:
    source, target = (here, rabbitmq) if is_back else (rabbitmq, here)
    move = Move(source, target, tmp_path, WINDOW)
    victims = ("command",) if is_back else ("command", "target")
    verdict = total(move_under_kills(move, KILLS, 1, backlog=1000, per_s=100, victims=victims, pause_s=(0.1, 0.5)))
    assert verdict.wrong == []
    assert verdict.counts["disordered"] == 0
    assert verdict.counts["doubled"] <= verdict.counts["marked"] <= KILLS * WINDOW
    assert verdict.counts["marked"] == move.reports[-1]["all_runs"]["again"]


def test_a_dry_run_tells_what_differs(rabbitmq: House, here: House, tmp_path: Path) -> None:
    api = ManagementApi(URL)
    for name, kind in (("voted", "quorum"), ("told", "stream")):
        api._call("PUT", ["queues", "/", name], {"durable": True, "arguments": {"x-queue-type": kind}})
    try:
        result = leveret("migrate", *rabbitmq.options("from"), *here.options("to"), "--dry-run")
        assert result.returncode == 0, result.stderr
        assert "From RabbitMQ 4." in result.stdout
        assert "queue 'voted' in virtual host '/': it is a quorum queue: on one node there" in result.stderr
        assert "queue 'told' in virtual host '/': not moved: it is a stream" in result.stderr
        assert "queue 'told'" not in result.stdout
    finally:
        for name in ("voted", "told"):
            api._call("DELETE", ["queues", "/", name])
