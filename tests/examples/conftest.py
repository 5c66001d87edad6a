"""Fixtures of the example tests: programs that cannot outlive their test, and a broker without leftovers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pika
import pytest

from .programs import Programs

PATTERN_QUEUES = ["hello", "tasks", "rpc.fibonacci", "confirms", "confirms.full"]
PATTERN_EXCHANGES = ["logs", "logs_by_severity", "logs_by_topic"]
LIBRARIES = ["pika", "aio_pika"]


def delete_leftovers(amqp_url: str) -> None:
    """Delete every durable queue and exchange that an example declares; it is no error if there is none."""
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        for library in LIBRARIES:
            for name in PATTERN_QUEUES:
                channel.queue_delete(f"{library}.{name}")
            for name in PATTERN_EXCHANGES:
                channel.exchange_delete(f"{library}.{name}")
        channel.queue_delete("celery.reports")
        channel.exchange_delete("celery.reports")


@pytest.fixture
def amqp_url(fresh_url: str) -> str:
    """A broker for this test."""
    return fresh_url


@pytest.fixture
def clean_broker(amqp_url: str) -> Iterator[str]:
    """The URL of the broker, with nothing of the examples in it, before and after."""
    if os.environ.get("LEVERET_TEST_URL"):
        delete_leftovers(amqp_url)
    yield amqp_url
    if os.environ.get("LEVERET_TEST_URL"):
        delete_leftovers(amqp_url)


@pytest.fixture
def programs(clean_broker: str) -> Iterator[Programs]:
    """Start scripts with this; those still running at the end of the test are killed."""
    with Programs(clean_broker) as programs:
        yield programs


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    """The folder of one client library: the same scripts, with the same words, exist for each."""
    return str(request.param)
