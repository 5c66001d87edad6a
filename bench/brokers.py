"""The brokers of a run: Leveret, started again for every measurement, and peers that are already running.

Leveret is a child process and never outlives its `with` block. A peer is only connected to and pinned to a core, never
started, configured or stopped.
"""

from __future__ import annotations

import contextlib
import functools
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine

REPOSITORY = Path(__file__).resolve().parent.parent
READY_LIMIT_S = 30.0
STOP_LIMIT_S = 20.0
LEVERET = "leveret"
READY_LINE = re.compile(
    r"^Leveret (?P<version>\S+) \((?P<build>[^)]+)\) ready on amqp://(?P<host>\S+):(?P<port>\d+)\S*"
    r"(?: and amqps://\S+:(?P<tls_port>\d+))? in (?P<ms>[\d.]+) ms",
    re.MULTILINE,
)


class BrokerError(Exception):
    """A broker did not start, answer or stop as expected."""


@dataclass
class Broker:
    """The address of a broker, its process if known, and its TLS port if it has one."""

    name: str
    host: str
    port: int
    pid: int | None
    version: str
    tls_port: int | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        """One line for the start of a run."""
        process = "pid unknown: no CPU numbers"
        if self.pid is not None:
            process = f"pid {self.pid} ({machine.process_name(self.pid)})"
        tls = "" if self.tls_port is None else f", TLS on {self.tls_port}"
        return f"{self.name}: {self.version}, {self.host}:{self.port}{tls}, {process}"


@dataclass
class Leveret(Broker):
    """A Leveret started here, with the times of its ready line and of the wall clock."""

    build: str = ""
    ready_ms: float = 0.0
    wall_ms: float = 0.0
    problems: list[str] = field(default_factory=list)  # filled when stopped


def announced_version(host: str, port: int) -> str:
    """Product and version from the server properties in connection.start; BrokerError without an answer."""
    received = b""
    try:
        with socket.create_connection((host, port), 5) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            while len(received) < 7 or len(received) < 8 + int.from_bytes(received[3:7], "big"):
                data = connection.recv(65536)
                if not data:
                    raise BrokerError(f"{host}:{port} is not an AMQP 0-9-1 broker: it closed the connection")
                received += data
                if received.startswith(b"AMQP"):
                    raise BrokerError(f"{host}:{port} does not speak AMQP 0-9-1")
    except OSError as error:
        raise BrokerError(f"{host}:{port} does not answer: {error}") from error

    def long_string(key: bytes) -> str:
        _, found, rest = received.partition(bytes([len(key)]) + key + b"S")
        length = int.from_bytes(rest[:4], "big")
        return rest[4 : 4 + length].decode("utf-8", "replace") if found else ""

    return f"{long_string(b'product')} {long_string(b'version')}".strip() or "unknown version"


def peer(text: str) -> Broker:
    """Parse `name=host:port[,tls=PORT][,pid=N]` and read the version. Without a pid, search the listener."""
    match = re.fullmatch(r"([\w.-]+)=(?:\[(.+)\]|([^:,\[]+)):(\d+)(?:,tls=(\d+))?(?:,pid=(\d+))?", text)
    if match is None:
        raise BrokerError(f"--peer {text}: expected name=host:port[,tls=PORT][,pid=N]")
    name, host, port = match[1], match[2] or match[3], int(match[4])
    if name == LEVERET:
        raise BrokerError(f"--peer {text}: the name {LEVERET} is taken; choose another")
    version = announced_version(host, port)
    pid = int(match[6]) if match[6] else machine.listening_pid(host, port)
    if pid is not None and machine.rss_kib(pid) is None:
        raise BrokerError(f"--peer {text}: there is no process {pid}")
    return Broker(name, host, port, pid, version, tls_port=int(match[5]) if match[5] else None)


def make_certificate(directory: Path) -> Path | None:
    """A file with a temporary certificate and key, made with openssl; None if openssl is missing."""
    made = directory / "certificate.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    name = ["-subj", "/CN=localhost", "-days", "2"]
    try:
        subprocess.run(
            ["openssl", "req", "-x509", *kind, *name, "-keyout", str(made), "-out", str(directory / "only.pem")],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        return None
    except subprocess.CalledProcessError as error:
        raise BrokerError(f"openssl made no certificate: {error.stderr.decode(errors='replace').strip()}") from None
    with made.open("ab") as file:
        file.write((directory / "only.pem").read_bytes())
    return made


def _await_ready(process: subprocess.Popen[bytes], output: Path) -> re.Match[str]:
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        text = output.read_text(errors="replace")
        if found := READY_LINE.search(text):
            return found
        if ended:
            raise BrokerError(f"leveret serve ended with status {process.returncode}:\n{text[-2000:].strip()}")
        time.sleep(0.002)
    raise BrokerError(f"leveret serve printed no ready line in {READY_LIMIT_S:.0f} s:\n{text[-2000:].strip()}")


@contextlib.contextmanager
def leveret(
    durable: bool, core: int | None, data_parent: Path, under: Sequence[str] = (), *, tls: bool = False
) -> Iterator[Leveret]:
    """Start Leveret on a free port, in memory or in a temporary data directory, and stop it at the end.

    under: a command that runs it, such as a profiler. tls: give it a certificate and a TLS port, if possible; otherwise
    its `tls_port` is None.
    """
    with tempfile.TemporaryDirectory(prefix="leveret-bench-", dir=data_parent) as directory:
        output = Path(directory, "output.txt")
        store = ["--data-dir", str(Path(directory, "data"))] if durable else ["--memory"]
        certificate = make_certificate(Path(directory)) if tls else None
        if certificate is not None:
            store += ["--tls-port", "0", "--tls-certificate", str(certificate)]
        started = time.monotonic()
        with output.open("wb") as sink:
            process = subprocess.Popen(
                [*under, sys.executable, "-m", "leveret", "serve", "--port", "0", *store],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                preexec_fn=functools.partial(machine.pin_self, core),
            )
        try:
            ready = _await_ready(process, output)
            wall_ms = (time.monotonic() - started) * 1000
            version = f"Leveret {ready['version']} ({ready['build']})"
            broker = Leveret(
                LEVERET,
                ready["host"].strip("[]"),
                int(ready["port"]),
                process.pid,
                version,
                ready["build"],
                float(ready["ms"]),
                wall_ms,
                tls_port=int(ready["tls_port"]) if ready["tls_port"] else None,
            )
            yield broker
            broker.problems += _stop(process, output)
        finally:
            process.kill()
            process.wait()


def _stop(process: subprocess.Popen[bytes], output: Path) -> list[str]:
    """Stop Leveret as a service manager would. Returns: problems."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        status = process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        return [f"leveret did not stop within {STOP_LIMIT_S:.0f} s of SIGTERM"]
    if status != 0:
        return [f"leveret ended with status {status}: {output.read_text(errors='replace')[-500:].strip()}"]
    return []
