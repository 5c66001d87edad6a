"""Information from Linux for the benchmark: processes, cores, memory, listening sockets, the machine itself.

Everything comes from /proc and the standard library. If a process disappears meanwhile, functions return None or an
empty value and raise no exception, as a peer may be stopped at any time.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import platform
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
LISTENING = "0A"  # the state column of /proc/net/tcp


@dataclass(frozen=True)
class Cores:
    """The cores of broker and generator; None if there is only one core, so that nothing is pinned."""

    broker: int | None
    generator: int | None

    @classmethod
    def available(cls) -> Cores:
        """The first two cores that this process may use."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[0], usable[1]) if len(usable) > 1 else cls(None, None)

    def __str__(self) -> str:
        """A description of the pinning, for a report."""
        if self.broker is None:
            return "nothing pinned (one core)"
        return f"brokers on core {self.broker}, generator on core {self.generator}"


def pin_self(core: int | None) -> None:
    """Pin the calling process; for use between fork and exec."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def _threads(pid: int) -> list[int]:
    try:
        return [int(entry.name) for entry in (PROC / str(pid) / "task").iterdir()]
    except OSError:
        return []


@contextlib.contextmanager
def pinned(pid: int | None, core: int | None) -> Iterator[None]:
    """Pin all threads of a running process, and restore their cores at the end."""
    if pid is None or core is None:
        yield
        return
    before: dict[int, set[int]] = {}
    # A new thread inherits its parent's mask, old or new: repeat until all threads are known.
    while fresh := [thread for thread in _threads(pid) if thread not in before]:
        for thread in fresh:
            before[thread] = set()
            with contextlib.suppress(ProcessLookupError):
                before[thread] = os.sched_getaffinity(thread)
                os.sched_setaffinity(thread, {core})
    try:
        yield
    finally:
        for thread in _threads(pid):
            with contextlib.suppress(OSError):
                os.sched_setaffinity(thread, before.get(thread) or before[pid])


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process so far; 0 if it ended."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def rss_kib(pid: int) -> int | None:
    """Resident memory of a process."""
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), None)


def forget_peak_rss(pid: int) -> bool:
    """Reset the peak of a process's resident memory (VmHWM). Returns: False if that is not permitted."""
    try:
        (PROC / str(pid) / "clear_refs").write_text("5\n")
    except OSError:
        return False
    return True


def process_name(pid: int) -> str:
    """The short name of a process; `?` if it ended."""
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return "?"


def wait_until_quiet(pids: list[int], limit_s: float = 20.0) -> bool:
    """Wait until the processes together use less than 10 % of a core. Returns: False after a timeout."""
    deadline = time.monotonic() + limit_s
    while pids and time.monotonic() < deadline:
        before, since = sum(map(cpu_seconds, pids)), time.monotonic()
        time.sleep(0.3)
        if sum(map(cpu_seconds, pids)) - before < 0.1 * (time.monotonic() - since):
            return True
    return not pids


def _local_addresses(host: str) -> set[str]:
    """The addresses of a host that belong to this machine, so that a socket can be bound to them."""
    found = set()
    for family, _, _, _, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address[0], 0))
            found.add(str(address[0]))
    return found


def _kernel_address(text: str) -> str:
    """An address in the format of /proc/net/tcp: 32-bit words in the byte order of the machine."""
    words = [bytes.fromhex(text[i : i + 8]) for i in range(0, len(text), 8)]
    if sys.byteorder == "little":
        words = [word[::-1] for word in words]
    address = ipaddress.ip_address(b"".join(words))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def listening_pid(host: str, port: int) -> int | None:
    """The process listening on host:port, if it is on this machine and can be inspected."""
    addresses = _local_addresses(host)
    if not addresses:
        return None
    inodes = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                local, _, local_port = fields[1].partition(":")
                accepts = _kernel_address(local) in addresses | {"0.0.0.0", "::"}
                if fields[3] == LISTENING and int(local_port, 16) == port and accepts:
                    inodes.add(f"socket:[{fields[9]}]")
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                for descriptor in (entry / "fd").iterdir():
                    if str(descriptor.readlink()) in inodes:
                        return int(entry.name)
    return None


def raise_open_files(wanted: int) -> tuple[int, int]:
    """Raise RLIMIT_NOFILE of this process and its children. Returns: the old and the new limit."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for soft, new_hard in ((max(wanted, before), max(wanted, hard)), (hard, hard)):
        if before >= wanted:
            break
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, new_hard))
            break
    return before, resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def synced_append_us(directory: Path, count: int = 1000) -> list[float]:
    """Repeatedly append 4 KiB to a new file with fdatasync. Returns: the duration of each in microseconds."""
    block = os.urandom(4096)
    spent = []
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        for _ in range(count):
            since = time.perf_counter_ns()
            file.write(block)
            os.fdatasync(file.fileno())
            spent.append((time.perf_counter_ns() - since) / 1000)
    return spent


def filesystem(path: Path) -> str:
    """The type of the file system that holds path, such as ext4 or tmpfs."""
    place, best = path.resolve(), ("", "?")
    with contextlib.suppress(OSError):
        for line in (PROC / "mounts").read_text().splitlines():
            mount, kind = line.split()[1:3]
            if place.is_relative_to(mount) and len(mount) >= len(best[0]):
                best = (mount, kind)
    return best[1]


def description() -> dict[str, str | int | float]:
    """The machine and the date, for the last line of a report."""
    model = platform.machine()
    with contextlib.suppress(OSError):
        for line in (PROC / "cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "date": time.strftime("%Y-%m-%d %H:%M %z"),
        "load_average": round(os.getloadavg()[0], 2),
    }
