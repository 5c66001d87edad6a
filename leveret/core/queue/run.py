"""Run: consecutive messages of one line that are paged out together."""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter, read_i64_be, write_i64_be
from mypy_extensions import i64

RUN_MESSAGES: Final = 256  # a run with fewer messages is merged with the next one, if both are small
RUN_BYTES: Final = 256 << 10
UNKNOWN: Final = 1  # a deadline that has always passed, so that the queue checks the message


class Run:
    """Messages of one line that are paged out together.

    log_id: their id in the log. positions: 8 bytes for each, ascending. size: bytes of their bodies.
    deadline_ms: of the first one, 0 for none, or UNKNOWN.
    """

    __slots__ = ("count", "deadline_ms", "log_id", "positions", "size")

    def __init__(self, log_id: i64, deadline_ms: i64) -> None:
        self.log_id: i64 = log_id
        self.positions = b""
        self.count: i64 = 0
        self.size: i64 = 0
        self.deadline_ms: i64 = deadline_ms

    def extend(self, positions: bytes, size: i64) -> None:
        """Add messages at the end."""
        self.positions += positions
        self.count += len(positions) // 8
        self.size += size

    def remove(self, position: i64, size: i64) -> None:
        """Remove a message. size: bytes of its body. Cost: a copy of the positions."""
        at = self.offset_behind(position - 1)
        self.positions = self.positions[:at] + self.positions[at + 8 :]
        self.count -= 1
        self.size -= size

    def clear(self) -> None:
        """Remove all messages."""
        self.positions = b""
        self.count = 0
        self.size = 0

    def is_small(self) -> bool:
        """Whether it should be merged with the next run."""
        return self.count < RUN_MESSAGES and self.size < RUN_BYTES

    def offset_behind(self, position: i64) -> i64:
        """The offset in positions of the first one behind this position."""
        low: i64 = 0
        high: i64 = len(self.positions) // 8
        while low < high:
            middle = (low + high) // 2
            if read_i64_be(self.positions, middle * 8) <= position:
                low = middle + 1
            else:
                high = middle
        return low * 8


def single(log_id: i64, position: i64, size: i64) -> Run:
    """A run of one message. size: bytes of its body."""
    run = Run(log_id, 0)
    out = BytesWriter()
    write_i64_be(out, position)
    run.extend(out.getvalue(), size)
    return run
