"""A broker with an HTTP API, for the tests of this folder; most of them share it and leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import leveret
from tests.api.http import Http
from tests.api.place import Started


@pytest.fixture(scope="session")
def started() -> Iterator[Started]:
    """One that tests share and leave as it was, and that samples what it counts five times a second."""
    with Started.start() as started:
        yield started


@pytest.fixture
def managed() -> Iterator[leveret.Broker]:
    """A broker of the test's own."""
    with leveret.Broker(management=True) as broker:
        yield broker


@pytest.fixture
def http(managed: leveret.Broker) -> Http:
    """Its guest."""
    return Http(managed.management_url)
