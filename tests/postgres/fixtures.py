"""Fixtures: a PostgreSQL with a synchronous standby, and a fresh database on it.

tests/conftest.py has them for all tests. One pair serves all tests of a process: it starts with the first that
wants it, in about two seconds. Where there is no PostgreSQL the tests are skipped, unless LEVERET_TEST_EXPECT_POSTGRES
is set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.postgres.server import Pair


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[Pair]:
    """The pair that all tests of a process share; `postgres` is what a test uses."""
    from tests.postgres.server import EXPECTED, Pair, programs

    place = programs()
    if place is None:
        assert not os.environ.get(EXPECTED), f"{EXPECTED} is set, and there is no PostgreSQL"
        pytest.skip("there is no PostgreSQL: `apt-get install postgresql`")
    pair = Pair(place)
    try:
        pair.start()
        yield pair
    finally:
        pair.close()


@pytest.fixture
def postgres(shared_postgres: Pair) -> Pair:
    """A running primary with its synchronous standby. A test may stop, pause or kill both, and change nothing else for
    longer than itself.
    """
    shared_postgres.recover()
    return shared_postgres


@pytest.fixture
def database(postgres: Pair) -> Iterator[str]:
    """The name of an empty database, owned by the role `leveret`."""
    name = postgres.new_database()
    yield name
    postgres.recover()
    postgres.drop(name)


@pytest.fixture
def database_url(postgres: Pair, database: str) -> str:
    """The URL of an empty database with a synchronous standby behind it, for the role `leveret`."""
    return postgres.primary.url(database)
