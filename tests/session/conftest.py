"""Restarts that bring messages into memory, and those that leave all of them on the disk."""

from __future__ import annotations

import pytest

from leveret.store.chunk_log import LOAD_BYTES
from tests.brokers.run import Run


@pytest.fixture(params=[LOAD_BYTES, 0], ids=["loaded", "at rest"])
def load_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much a start brings into memory."""
    monkeypatch.setattr(Run, "load_bytes", request.param)
