"""Fixtures of the example tests: programs that cannot outlive their test, and a broker without leftovers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.programs import Programs, without_leftovers

LIBRARIES = ["pika", "aio_pika"]
PATTERN_QUEUES = ["hello", "tasks", "rpc.fibonacci", "confirms", "confirms.full"]
PATTERN_EXCHANGES = ["logs", "logs_by_severity", "logs_by_topic"]
QUEUES = [*(f"{library}.{name}" for library in LIBRARIES for name in PATTERN_QUEUES), "celery.reports"]
EXCHANGES = [*(f"{library}.{name}" for library in LIBRARIES for name in PATTERN_EXCHANGES), "celery.reports"]


@pytest.fixture
def amqp_url(fresh_url: str) -> str:
    """A broker for this test."""
    return fresh_url


@pytest.fixture
def clean_broker(amqp_url: str) -> Iterator[str]:
    """The URL of the broker, with nothing of the examples in it, before and after."""
    with without_leftovers(amqp_url, QUEUES, EXCHANGES):
        yield amqp_url


@pytest.fixture
def programs(clean_broker: str) -> Iterator[Programs]:
    """Start scripts with this; those still running at the end of the test are killed."""
    with Programs(clean_broker) as programs:
        yield programs


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    """The folder of one client library: the same scripts, with the same words, exist for each."""
    return str(request.param)
