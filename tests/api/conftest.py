"""A broker with an HTTP API, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.place import Started


@pytest.fixture(scope="session")
def started() -> Iterator[Started]:
    """One that tests share and leave as it was, and that samples what it counts five times a second."""
    with Started.start() as started:
        yield started
