"""Fixtures shared by all tests: a real broker, as the process that a user would start, or in this process as a test of
theirs would have it (`leveret`, of leveret/pytest_plugin.py).

`LEVERET_TEST_URL=amqp://guest:guest@localhost:5673/` runs the black-box tests against another broker instead.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more of the machine than of the code.
settings.register_profile("leveret", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("leveret")

# `make test &` in a shell has interrupts ignored, here and in all that is started from here.
signal.signal(signal.SIGINT, signal.default_int_handler)


PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Where Linux says which ports it gives to clients, and to servers that ask for none."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port at which nobody listens, and that the system gives to nobody meanwhile who does not ask for it."""
    lowest = int(PORTS.read_text().split()[0]) if PORTS.exists() else 32_768
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, random.randrange(10_000, lowest) if lowest > 11_000 else 0))
            return int(probe.getsockname()[1])


@dataclass
class Server:
    """One `leveret serve` process."""

    process: subprocess.Popen[str]
    host: str
    port: int
    ready_line: str
    url: str = field(init=False)

    def __post_init__(self) -> None:
        self.url = f"amqp://guest:guest@{self.host}:{self.port}/"

    @classmethod
    def start(cls, *options: str, port: int = 0, env: dict[str, str] | None = None, log: Path | None = None) -> Server:
        """Start `leveret serve` and wait for its ready line; port 0 takes a free one. log: a file for what it logs."""
        with contextlib.ExitStack() as files:
            process = subprocess.Popen(
                [sys.executable, "-m", "leveret", "serve", "--port", str(port), *options],
                stdout=subprocess.PIPE,
                stderr=None if log is None else files.enter_context(log.open("wb")),
                text=True,
                env={**os.environ, **(env or {})},
            )
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"amqp://([^:/]+):(\d+)", line)
        if found is None:
            process.kill()
            raise RuntimeError(f"leveret serve did not start: {line!r}")
        return cls(process, found[1], int(found[2]), line)

    def stop(self, sig: int = signal.SIGTERM) -> int:
        """Send a signal, wait at most 60 s for the end, and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()


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
