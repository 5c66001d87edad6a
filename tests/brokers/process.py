"""Server: a broker as the process that a user would start, and ports for it."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

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
    """One `leveret serve` process. api: where its HTTP API is, empty without one."""

    process: subprocess.Popen[str]
    host: str
    port: int
    ready_line: str
    url: str = field(init=False)
    api: str = field(init=False)

    def __post_init__(self) -> None:
        self.url = f"amqp://guest:guest@{self.host}:{self.port}/"
        found = re.search(r"HTTP API on (\S+)", self.ready_line)
        self.api = "" if found is None else found[1]

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
        found = re.search(r"amqp://(?:[^@\s]+@)?(\[[^\]]+\]|[^:/@]+):(\d+)", line)
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
