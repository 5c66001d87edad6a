"""Houses: brokers that can be killed and started again at the same address, to move from one to the other."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

from leveret.node.amqp import AmqpClient, AmqpError
from leveret.node.cli.remote import read_url
from leveret.node.cli.sides import Address, RemoteSide
from leveret.node.migration.side import SideError
from tests.brokers.process import Server, free_port

PATIENCE_S = 120.0


class House(ABC):
    """A broker. api: its HTTP API, with user and password. port: of AMQP."""

    api: str
    port: int

    @abstractmethod
    def start(self) -> None:
        """Start it, again or for the first time, and wait until it serves."""

    @abstractmethod
    def kill(self) -> None:
        """End it with SIGKILL."""

    @abstractmethod
    def stop(self) -> None:
        """End it."""

    @abstractmethod
    def options(self, word: str) -> list[str]:
        """How the command line names it. word: from or to."""

    def client(self, vhost: str = "/") -> AmqpClient:
        """A client. Raises: AmqpError."""
        return self.side().dial(vhost, lambda: None)

    def side(self) -> RemoteSide:
        """It as a side of a migration."""
        return RemoteSide(read_url(self.api), "", Address("127.0.0.1", self.port, False))

    def wait(self) -> None:
        """Until it serves over AMQP and HTTP."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(AmqpError, SideError):
                self.client().close()
                self.side().look()
                return
            assert time.monotonic() < deadline, "the broker does not come"
            time.sleep(0.05)


class LeveretHouse(House):
    """A Leveret with its data in a directory. is_local: the command goes through its control socket."""

    def __init__(self, directory: Path, *options: str, is_local: bool = False) -> None:
        self._directory = directory
        self._options = options
        self._is_local = is_local
        self.port = free_port()
        self._management = free_port()
        self.api = f"http://guest:guest@127.0.0.1:{self._management}"
        self._server: Server | None = None

    def start(self) -> None:
        """Start it."""
        places = ("--data-dir", str(self._directory), "--management-port", str(self._management))
        self._server = Server.start(*places, "--log-level", "error", *self._options, port=self.port)

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self._server is not None
        self._server.stop(signal.SIGKILL)

    def stop(self) -> None:
        """End it."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def options(self, word: str) -> list[str]:
        """How the command line names it."""
        return ["--data-dir", str(self._directory)] if self._is_local else [f"--{word}", self.api]


class RabbitHouse(House):
    """A RabbitMQ that a program controls. control: its path; it takes start, stop, and pid, which it prints."""

    def __init__(self, control: str, api: str, port: int) -> None:
        self._control = control
        self.api = api
        self.port = port

    def _do(self, word: str) -> str:
        done = subprocess.run([self._control, word], capture_output=True, text=True, check=False, timeout=600)
        return done.stdout

    def start(self) -> None:
        """Start it."""
        self._do("start")
        self.wait()

    def kill(self) -> None:
        """End it with SIGKILL."""
        pid = int(self._do("pid"))
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    def stop(self) -> None:
        """It stays, for whoever started it."""

    def options(self, word: str) -> list[str]:
        """How the command line names it."""
        return [f"--{word}", self.api]
