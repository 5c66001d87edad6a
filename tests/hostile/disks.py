"""Disks that are full, cannot be written, fail at a call, or have lost a bit."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import resource
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

COMPILER: Final = shutil.which("cc") or shutil.which("gcc")
SOURCE: Final = Path(__file__).with_name("failing.c")
ERRORS: Final = (errno.ENOSPC, errno.EIO)
DISK_MB: Final = 256
SPARE: Final = 256 << 10  # bytes that a full disk has left


class Disk:
    """Where the data directory of a broker is: a small file system of its own, if it can be mounted.

    place: the directory. orders: for failing.c, None where it cannot be compiled.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.orders: Path | None = None
        self.environment: dict[str, str] = {}
        self._ballast = place / "ballast"
        self._unlimited: tuple[int, int] | None = None
        place.mkdir()
        options = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=700", "tmpfs", str(place)]
        self.is_mounted = os.geteuid() == 0 and shutil.which("mount") is not None and _works(options)
        if COMPILER is not None:
            library = place.with_name(f"{place.name}-failing.so")
            subprocess.run([COMPILER, "-O2", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
            self.orders = place.with_name(f"{place.name}-orders")
            self.orders.write_bytes(struct.pack("=4i", -1, 0, 0, 0))
            self.environment = {
                "LD_PRELOAD": str(library),
                "FAIL_ORDERS": str(self.orders),
                "FAIL_DIRECTORY": str(place.resolve()),
            }

    def close(self) -> None:
        """Take the file system away."""
        if self.is_mounted:
            subprocess.run(["umount", "-l", str(self.place)], check=False)
            self.is_mounted = False

    @contextlib.contextmanager
    def full(self, pid: int) -> Iterator[None]:
        """Let there be no space; without a file system of its own, let the broker's files not grow."""
        if self.is_mounted:
            with self._ballast.open("wb") as file, contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, max(shutil.disk_usage(self.place).free - SPARE, 1))
            try:
                yield
            finally:
                self._ballast.unlink(missing_ok=True)
            return
        unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, unlimited[1]))
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)

    @contextlib.contextmanager
    def failing(self, after: int, count: int, error: int) -> Iterator[None]:
        """Let calls fail: after so many, so many, with this errno."""
        assert self.orders is not None
        with self.orders.open("r+b") as file:
            file.write(struct.pack("=4i", after, count, error, 0))
        try:
            yield
        finally:
            with self.orders.open("r+b") as file:
                file.write(struct.pack("=3i", -1, 0, 0))

    def failed(self) -> int:
        """How many calls have failed since failing() began."""
        assert self.orders is not None
        return int(struct.unpack("=4i", self.orders.read_bytes())[3])


@contextlib.contextmanager
def read_only(directory: Path) -> Iterator[bool]:
    """A directory that cannot be written to. Yields: whether that could be arranged."""
    if os.geteuid() != 0:
        mode = directory.stat().st_mode & 0o777
        directory.chmod(0o500)
        try:
            yield True
        finally:
            directory.chmod(mode)
        return
    bound = _works(["mount", "--bind", str(directory), str(directory)])
    is_done = bound and _works(["mount", "-o", "remount,ro,bind", str(directory)])
    try:
        yield is_done
    finally:
        if bound:
            subprocess.run(["umount", "-l", str(directory)], check=False)


@contextlib.contextmanager
def few_files(pid: int, spare: int) -> Iterator[None]:
    """Let a process open only so many files more than it has open now."""
    unlimited = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    open_now = max(int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()) + 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(open_now + spare, unlimited[1]), unlimited[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, unlimited)


def flip(directory: Path, chance: random.Random) -> str:
    """Turn one bit of the files of a data directory. Returns: which one, for people."""
    files = [path for path in sorted(directory.glob("leveret.db*")) if path.stat().st_size and path.suffix != ".db-shm"]
    sizes = [path.stat().st_size for path in files]
    path = chance.choices(files, sizes)[0]
    at, bit = chance.randrange(path.stat().st_size), chance.randrange(8)
    with path.open("r+b") as file:
        file.seek(at)
        octet = file.read(1)[0]
        file.seek(at)
        file.write(bytes([octet ^ 1 << bit]))
    return f"bit {bit} of byte {at} of {path.name}"


def _works(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
