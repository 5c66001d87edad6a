"""Fixtures of the framework tests: programs that cannot outlive their test, and a broker without leftovers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.programs import Programs, without_leftovers

QUEUES = [
    "celery.kitchen",
    *("kombu.warm", "kombu.cold", "kombu.unreadable"),
    *("faststream.orders", "faststream.invoices", "faststream.refused", "faststream.stock"),
    *("dramatiq.parcels", "dramatiq.parcels.DQ", "dramatiq.parcels.XQ"),
    *("taskiq.jobs", "taskiq.jobs.delay", "taskiq.jobs.dead"),
]
EXCHANGES = ["celery.kitchen", "kombu.readings", "taskiq.jobs"]


@pytest.fixture
def amqp_url(fresh_url: str) -> str:
    """A broker for this test."""
    return fresh_url


@pytest.fixture
def clean_broker(amqp_url: str) -> Iterator[str]:
    """The URL of the broker, with nothing of the applications in it, before and after."""
    with without_leftovers(amqp_url, QUEUES, EXCHANGES):
        yield amqp_url


@pytest.fixture
def programs(clean_broker: str) -> Iterator[Programs]:
    """Start programs with this; those still running at the end of the test are killed."""
    with Programs(clean_broker) as programs:
        yield programs
