"""Fixtures shared by all tests: a real broker, as the process that a user would start, or in this process as a test of
theirs would have it (`leveret`, of leveret/pytest_plugin.py).

`LEVERET_TEST_URL=amqp://guest:guest@localhost:5673/` runs the black-box tests against another broker instead.
`HYPOTHESIS_PROFILE=thorough` tries ten times as many examples; `TMPDIR=/tmp` has data directories on a disk.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings

from tests.brokers.process import Server, free_port
from tests.postgres.fixtures import database, database_url, postgres, shared_postgres  # noqa: F401

# How long an example takes says more of the machine than of the code.
settings.register_profile("quick", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# No test depends on what a disk does, unless it makes one of its own; and waiting for a real one takes long.
MEMORY = Path("/dev/shm")
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 << 30:
    tempfile.tempdir = str(MEMORY)  # not TMPDIR: processes that are killed would leave theirs there

# Brokers of tests run beside each other, and few of them are asked over HTTP: those say so with an option.
os.environ.setdefault("LEVERET_MANAGEMENT_PORT", "off")

# `make test &` in a shell has interrupts ignored, here and in all that is started from here.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def amqp_control(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """The path of the control socket of the shared broker, if that is known."""
    if os.environ.get("LEVERET_TEST_URL"):
        return os.environ.get("LEVERET_TEST_CONTROL")
    return str(tmp_path_factory.mktemp("control") / "sock")


@pytest.fixture(scope="session")
def amqp_url(amqp_control: str | None) -> Iterator[str]:
    """The URL of a broker that the whole test session shares; tests must use queue names of their own."""
    given = os.environ.get("LEVERET_TEST_URL")
    if given:
        yield given
        return
    options = ["--memory"] if amqp_control is None else ["--memory", "--control", amqp_control]
    server = Server.start(*options)
    yield server.url
    assert server.stop() == 0


@pytest.fixture
def fresh_url(request: pytest.FixtureRequest) -> str:
    """The URL of a virtual host of the test's own, in a broker in this process; or the one that was given."""
    return os.environ.get("LEVERET_TEST_URL") or str(request.getfixturevalue("leveret").url)


@pytest.fixture(scope="session")
def amqp_address(amqp_url: str) -> tuple[str, int]:
    """Host and port of the shared broker."""
    parts = urlsplit(amqp_url)
    return parts.hostname or "127.0.0.1", parts.port or 5672


@pytest.fixture
def closed_port_url() -> str:
    """A URL at which nobody listens."""
    return f"amqp://guest:guest@127.0.0.1:{free_port()}/"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A broker of the test's own, durable, in a temporary data directory; it may start again on its port."""
    server = Server.start("--data-dir", str(tmp_path / "data"), port=free_port())
    yield server
    server.stop()
