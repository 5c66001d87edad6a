"""Fixtures: a collector, and brokers that send spans to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.brokers.process import Server
from tests.telemetry.collector import Collector

SOON = {"OTEL_BSP_SCHEDULE_DELAY": "20"}
"""Spans are sent every 20 ms."""


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector."""
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def traced(collector: Collector) -> Iterator[Callable[..., Server]]:
    """Starts a broker whose spans the collector gets: traced(*options, **variables)."""
    servers: list[Server] = []

    def start(*options: str, **variables: str) -> Server:
        server = Server.start("--memory", "--otlp-endpoint", collector.url, *options, env=SOON | variables)
        servers.append(server)
        return server

    yield start
    assert [server.stop() for server in servers] == [0] * len(servers)
