"""Names for queues, and the few things that several clients are tested with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.brokers.process import Server

_numbers = count(1)

HEADERS: dict[str, Any] = {
    "true": True,
    "false": False,
    "zero": 0,
    "minus": -1,
    "byte": 200,
    "short": 40_000,
    "int": 2**31 - 1,
    "long": 2**40,
    "lowest": -(2**63),
    "float": 2.5,
    "decimal": Decimal("3.14"),
    "text": "grüße",
    "empty": "",
    "when": datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
    "nothing": None,
    "table": {"deep": {"deeper": [1, {"deepest": "x"}]}},
    "array": ["a", 1, True, None, {"k": "v"}, ["nested"]],
    "long key " * 14: "x" * 5000,
}
BIG = bytes(range(256)) * 4096 * 3  # 3 MiB: many frames in both directions


@pytest.fixture
def amqp_url(fresh_url: str) -> str:
    """A broker for this test."""
    return fresh_url


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"interop-{os.getpid():x}-{next(_numbers)}"


@pytest.fixture
def low_disk(tmp_path: Path) -> Iterator[Server]:
    """A broker that finds its disk too small."""
    server = Server.start(
        "--data-dir", str(tmp_path / "data"), "--disk-free-limit", str(10**18), "--log-level", "error"
    )
    yield server
    assert server.stop() == 0
