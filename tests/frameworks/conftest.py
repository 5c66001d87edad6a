"""Fixtures of the framework tests: programs that cannot outlive their test, and a broker without leftovers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pika
import pytest

from tests.examples.programs import Programs

QUEUES = [
    "celery.kitchen",
    *("kombu.warm", "kombu.cold", "kombu.unreadable"),
    *("faststream.orders", "faststream.invoices", "faststream.refused", "faststream.stock"),
    *("dramatiq.parcels", "dramatiq.parcels.DQ", "dramatiq.parcels.XQ"),
    *("taskiq.jobs", "taskiq.jobs.delay", "taskiq.jobs.dead"),
]
EXCHANGES = ["celery.kitchen", "kombu.readings", "taskiq.jobs"]


def delete_leftovers(amqp_url: str) -> None:
    """Delete every durable queue and exchange of the applications; it is no error if there is none."""
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        for name in QUEUES:
            channel.queue_delete(name)
        for name in EXCHANGES:
            channel.exchange_delete(name)


@pytest.fixture
def amqp_url(fresh_url: str) -> str:
    """A broker for this test."""
    return fresh_url


@pytest.fixture
def clean_broker(amqp_url: str) -> Iterator[str]:
    """The URL of the broker, with nothing of the applications in it, before and after."""
    if os.environ.get("LEVERET_TEST_URL"):
        delete_leftovers(amqp_url)
    yield amqp_url
    if os.environ.get("LEVERET_TEST_URL"):
        delete_leftovers(amqp_url)


@pytest.fixture
def programs(clean_broker: str) -> Iterator[Programs]:
    """Start programs with this; those still running at the end of the test are killed."""
    with Programs(clean_broker) as programs:
        yield programs
