"""Intake: the sizes of published messages, and how often their route was cached."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

SMALL: Final = 100  # bytes of a body; a body up to this size costs one comparison
MIDDLE: Final = 1_000
LARGE: Final = 10_000
BOUNDS: Final = (SMALL, MIDDLE, LARGE, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000)
"""The upper bounds of the size classes. Source: rabbit_msg_size_metrics.erl, BUCKETS."""


class Intake:
    """The intake of one broker since its start.

    published, bytes: messages, including those in transactions, and bytes of their bodies, of clients that have
    disconnected; connected clients count their own. misses: messages of all clients whose route was not cached.
    """

    def __init__(self) -> None:
        self.published: i64 = 0
        self.bytes: i64 = 0
        self.misses: i64 = 0
        self._over_small: i64 = 0
        self._over_middle: i64 = 0
        self._over = [0] * len(BOUNDS)  # by index of BOUNDS, from LARGE on

    def take_over(self, published: i64, size: i64) -> None:
        """Add the messages and bytes that a client has published; it has disconnected."""
        self.published += published
        self.bytes += size

    def note_larger(self, size: i64) -> None:
        """A message had more than SMALL bytes."""
        self._over_small += 1
        if size > MIDDLE:
            self._over_middle += 1
            if size > LARGE:
                self._note_large(size)

    def _note_large(self, size: i64) -> None:
        for at in range(2, len(BOUNDS)):
            if size <= BOUNDS[at]:
                break
            self._over[at] += 1

    def over(self) -> list[int]:
        """The number of messages larger than each of BOUNDS."""
        return [int(self._over_small), int(self._over_middle), *self._over[2:]]
