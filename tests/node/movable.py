"""The time of a broker process that a test moves: the clock is set, or time passes."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("shift.c")


class MovableTime:
    """Of processes that are started with this environment, and of those to come; seconds pass for all at once."""

    def __init__(self, directory: Path) -> None:
        library = directory / "shift.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True)
        self._file = directory / "shift"
        self._file.write_bytes(bytes(16))
        self._passed_s = 0
        self.environment = {"LD_PRELOAD": str(library), "LEVERET_TEST_SHIFT": str(self._file)}

    def set(self, seconds: int) -> None:
        """Set the time of day so far ahead."""
        self._write(0, seconds)

    def let_pass(self, seconds: int) -> None:
        """Let so much time pass."""
        self._passed_s += seconds
        self._write(8, self._passed_s)

    def _write(self, at: int, seconds: int) -> None:
        with self._file.open("r+b", buffering=0) as file:
            file.seek(at)
            file.write(struct.pack("=q", seconds))
