"""A broker to attack, what it holds, and a decent client beside the attack."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.brokers.process import Server, free_port
from tests.clients.administration import ControlSocket
from tests.clients.peer import Peer

WORST_S = 1.0
"""Seconds that a round trip of the decent client may take, not counting what a busy machine takes for others."""

ROUNDS = 3
TOLERANCE = 16 << 20
"""Bytes that the broker may hold after the last round of an attack beyond what it held after the first."""

FIRST_ROUND = 40 << 20
"""Bytes that it may hold after the first round: code and caches come into use, and the C library keeps what is free."""

GIVES_BACK = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}
"""Makes the C library give memory back as soon as it is free, so that what is held is what the broker holds."""

SETTLE_S = 30.0

FREE_S = 120.0
"""Seconds until memory is free again. The HTTP API holds deleted queues until it has sampled its counters twice more,
and samples the more seldom the longer a round takes: many queues on a busy machine.
"""


class Target:
    """The broker under attack. administration: of it. api: where its HTTP API is. log: the file."""

    def __init__(self, server: Server, control: str = "", api: str = "", log: str = "") -> None:
        self.server = server
        self.api = api
        self.log = log
        self.administration = ControlSocket(control)
        self.address = (server.host, server.port)

    def memory(self) -> int:
        """Bytes of resident memory."""
        return int(Path(f"/proc/{self.server.process.pid}/statm").read_text().split()[1]) * 4096

    def sockets(self) -> int:
        """How many files and sockets are open."""
        return len(list(Path(f"/proc/{self.server.process.pid}/fd").iterdir()))

    def connect(self) -> Peer:
        """An open connection."""
        return Peer(self.address).login()

    def settle(self, holds: Callable[[], bool], within: float = SETTLE_S) -> bool:
        """Wait until something holds. Returns: whether it came to be."""
        deadline = time.monotonic() + within
        while not holds():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def withstand(self, attack: Callable[[Target], None], rounds: int = ROUNDS, within: float = SETTLE_S) -> None:
        """Attack in rounds: after the first one memory must not grow, and no socket may stay open."""
        sockets, memory = self.sockets(), self.memory()
        limit = memory + FIRST_ROUND
        held = []
        for each in range(rounds):
            attack(self)
            assert self.settle(lambda: self.sockets() <= sockets, within), f"{self.sockets() - sockets} sockets left"
            if not self.settle(lambda limit=limit: self.memory() <= limit, FREE_S):  # type: ignore[misc]
                pytest.fail(f"round {each + 1}: {self.memory() - limit} bytes too many, {memory} in the beginning")
            held.append(self.memory() - memory)
            if each == 0:
                limit = self.memory() + TOLERANCE
        print(f"{memory >> 10} KiB before, then {[size >> 10 for size in held]} KiB more after each round")
        assert self.server.process.poll() is None


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The broker that all attacks share, with the data directory of a usual one."""
    data = str(tmp_path_factory.mktemp("hostile") / "data")
    control = str(tmp_path_factory.mktemp("control") / "sock")
    log = tmp_path_factory.mktemp("log") / "log"
    port = free_port()
    http = ("--management-port", str(port))
    options = ("--data-dir", data, "--control", control, "--log-level", "error", *http)
    server = Server.start(*options, env=GIVES_BACK, log=log)
    yield Target(server, control, f"http://127.0.0.1:{port}", str(log))
    assert server.stop() == 0


@pytest.fixture(scope="session")
def _observer(broker: Target) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.hostile.bystander", *map(str, (*broker.address, broker.server.process.pid))]
    root = Path(__file__).resolve().parent.parent.parent
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.stdin.close()
    process.stdout.close()
    assert process.wait(30) == 0


def report(process: subprocess.Popen[str]) -> tuple[int, float]:
    """Round trips since the last report, and the worst of them in seconds."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    count, worst = process.stdout.readline().split()
    return int(count), float(worst)


@pytest.fixture
def target(broker: Target, _observer: subprocess.Popen[str]) -> Iterator[Target]:
    """The broker; afterwards the decent client must not have noticed anything."""
    report(_observer)
    yield broker
    count, worst = report(_observer)
    print(f"{count} round trips beside the attack, the worst took {worst * 1000:.0f} ms")
    assert count > 0
    assert worst < WORST_S
