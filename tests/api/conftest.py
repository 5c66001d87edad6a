"""Fixtures: a broker with its HTTP API, as a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.http import Http
from tests.api.place import Started


@pytest.fixture(scope="session")
def started() -> Iterator[Started]:
    """A broker that the tests of this folder share, and that samples what it counts five times a second."""
    with Started.start() as started:
        yield started


@pytest.fixture
def http(started: Started) -> Http:
    """Its administrator."""
    return Http(started.place.api)
