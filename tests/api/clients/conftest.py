"""A broker for the clients of one file, with its API."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.api.http import Http
from tests.api.place import Place
from tests.brokers.process import Server, free_port


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Where the broker is; `LEVERET_TEST_URL` and `LEVERET_TEST_MANAGEMENT` name another one, as a RabbitMQ."""
    url, management = os.environ.get("LEVERET_TEST_URL"), os.environ.get("LEVERET_TEST_MANAGEMENT")
    if url and management:
        parts = urlsplit(url)
        yield Place(parts.hostname or "127.0.0.1", parts.port or 5672, management)
        return
    port = free_port()
    server = Server.start("--memory", "--management-port", str(port), "--log-level", "warning")
    yield Place(server.host, server.port, f"http://{server.host}:{port}")
    assert server.stop() == 0


@pytest.fixture
def http(place: Place) -> Http:
    """The API, without a client."""
    return Http(place.api)
