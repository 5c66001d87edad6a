"""Field: a broker of its own for one case, a quiet client beside it, and what both say of the time it took."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import machine
from tests.brokers.process import Server
from tests.clients.codec import METHOD, Properties
from tests.clients.methods_basic import BasicDeliver, BasicPublish
from tests.clients.peer import Channel, Peer

ROOT = Path(__file__).resolve().parent.parent.parent
BLOCK = 1000  # messages in one write
PATIENCE_S = 120.0
REST_S = 1.2  # after which no second that the broker looks back at has anything of what was before
QUIETLY = ("--log-level", "error")
BUDGET = 64 << 20  # bytes of waiting messages in memory


@dataclass(frozen=True)
class Found:
    """What a case has shown.

    took_s: until the broker was at rest. longest_ms, stalls: of its event loop, by its own count. p50_ms, p99_ms,
    max_ms: round trips of the quiet client. before_mb, peak_mb: resident memory. starved_ms: time that its thread could
    run, and the machine let others run.
    """

    case: str
    took_s: float
    longest_ms: float
    stalls: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    before_mb: float
    peak_mb: float
    starved_ms: float
    cpu_s: float


class Field:
    """A broker on a data directory that is removed at the end. niceness: of the processes that are measured."""

    def __init__(self, niceness: int = 0) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="leveret-overload-")
        path = Path(self._directory.name)
        self.server = Server.start("--data-dir", str(path / "data"), "--memory-budget", str(BUDGET), *QUIETLY)
        self.pid = self.server.process.pid
        favour(self.pid, niceness)
        self.address = (self.server.host, self.server.port)
        self._control = socket.socket(socket.AF_UNIX)
        self._control.connect(str(path / "data" / "control.sock"))
        self._answers = self._control.makefile("rb")
        command = [sys.executable, "-m", "tests.overload.quiet", *map(str, self.address)]
        self._quiet = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._quiet.stdout is not None
        assert self._quiet.stdout.readline() == "ready\n"
        favour(self._quiet.pid, niceness)

    def close(self) -> int:
        """End everything. Returns: the exit code of the broker."""
        assert self._quiet.stdin is not None
        assert self._quiet.stdout is not None
        self._quiet.stdin.close()
        self._quiet.wait(60)
        self._quiet.stdout.close()
        self._answers.close()
        self._control.close()
        code = self.server.stop()
        self._directory.cleanup()
        return code

    # -- measuring

    def verb(self, verb: str, **arguments: object) -> Any:
        """Ask the control socket."""
        self._control.sendall(json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n")
        answer = json.loads(self._answers.readline())
        assert "error" not in answer, answer
        return answer["result"]

    def begin(self) -> None:
        """What was before does not count."""
        machine.wait_until_quiet([self.pid], PATIENCE_S)
        time.sleep(REST_S)
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # the peak of the resident memory
        self._before_mb = self._memory("VmRSS")
        self._before_starved = self._starved_ms()
        self._before_cpu = machine.cpu_seconds(self.pid)
        self._ask_quiet()
        self._began = time.monotonic()

    def end(self, case: str) -> Found:
        """What was since begin(), until the broker is at rest."""
        machine.wait_until_quiet([self.pid], PATIENCE_S)
        took = time.monotonic() - self._began
        status = self.verb("show_status", seconds=min(int(took) + 1, 60))
        quiet = self._ask_quiet()
        return Found(
            case,
            round(took, 1),
            status["loop_longest_ms_recent"],
            status["loop_stalls_recent"],
            quiet["p50"],
            quiet["p99"],
            quiet["max"],
            self._before_mb,
            self._memory("VmHWM"),
            round(self._starved_ms() - self._before_starved, 1),
            round(machine.cpu_seconds(self.pid) - self._before_cpu, 2),
        )

    def _ask_quiet(self) -> dict[str, float]:
        assert self._quiet.stdin is not None
        assert self._quiet.stdout is not None
        self._quiet.stdin.write("\n")
        self._quiet.stdin.flush()
        found: dict[str, float] = json.loads(self._quiet.stdout.readline())
        return found

    def _memory(self, key: str) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return round(int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024, 1)

    def _starved_ms(self) -> float:
        try:
            return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e6
        except (OSError, IndexError):
            return 0.0  # not on this kernel

    # -- clients

    def channel(self) -> Channel:
        """A new connection with a channel."""
        channel = Peer(self.address).login().channel()
        channel.link.socket.settimeout(PATIENCE_S)
        return channel

    def fill(self, channel: Channel, queue: str, count: int, size: int = 16, persistent: bool = False) -> None:
        """Publish so many messages, and wait until they are all in the queue."""
        ready = channel.ready(queue)
        blast(channel, queue, count, size, persistent)
        deadline = time.monotonic() + PATIENCE_S
        while channel.ready(queue) < ready + count:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def favour(pid: int, niceness: int) -> None:
    """Let a process run before others on a machine that is busy. niceness: below 0 as root, 0 for no favour."""
    if niceness:
        os.setpriority(os.PRIO_PROCESS, pid, niceness)


def block(channel: Channel, queue: str, count: int, size: int, persistent: bool = False) -> bytes:
    """The frames of so many equal messages."""
    properties = Properties(delivery_mode=2) if persistent else Properties()
    publish = BasicPublish(routing_key=queue, body=bytes(size), properties=properties)
    return publish.frames(channel.number, channel.link.frame_max) * count


def blast(channel: Channel, queue: str, count: int, size: int, persistent: bool = False) -> None:
    """Publish so many messages as fast as they are taken."""
    data = block(channel, queue, BLOCK, size, persistent)
    raw = channel.link.socket
    raw.settimeout(PATIENCE_S)
    for _ in range(count // BLOCK):
        raw.sendall(data)
    raw.sendall(block(channel, queue, count % BLOCK, size, persistent))


def take(channel: Channel, count: int) -> int:
    """Read so many deliveries without looking into them. Returns: the delivery tag of the last one."""
    raw = channel.link.socket
    raw.settimeout(PATIENCE_S)
    data = channel.link._received
    channel.link._received = b""
    head = BasicDeliver.index
    tag = 0
    while True:
        at = 0
        while len(data) >= at + 7:
            end = at + 8 + int.from_bytes(data[at + 3 : at + 7], "big")
            if end > len(data):
                break
            if data[at] == METHOD and data[at + 8] == head[0] and data[at + 10] == head[1]:
                count -= 1
                behind = at + 12 + data[at + 11]
                tag = int.from_bytes(data[behind : behind + 8], "big")
            elif count == 0 and data[at] == METHOD:
                break  # the answer to something else
            at = end
        data = data[at:]
        if count == 0 and not data:
            return tag
        more = raw.recv(1 << 18)
        assert more, "the broker closed the socket"
        data += more


def durable(channel: Channel, name: str, **arguments: object) -> str:
    """A durable queue."""
    return channel.queue(name, exclusive=False, durable=True, **arguments)


def wait_for(channel: Channel, queue: str, ready: int) -> None:
    """Wait until so many messages are ready."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := channel.ready(queue)) != ready:
        assert time.monotonic() < deadline, f"{found} are ready, not {ready}"
        time.sleep(0.05)
