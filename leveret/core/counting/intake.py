"""Intake: how large the messages are that clients publish, and how often it was known already where they go."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

SMALL: Final = 100  # bytes of a body; one that is no larger costs one comparison
MIDDLE: Final = 1_000
LARGE: Final = 10_000
BOUNDS: Final = (SMALL, MIDDLE, LARGE, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000)
"""The sizes that are told apart. Source: rabbit_msg_size_metrics.erl, BUCKETS."""


class Intake:
    """Of one broker, since its start.

    published, bytes: messages, also those in a transaction, and what is in their bodies, of clients that are gone; who
    is there counts them alone. misses: those of all clients whose route had to be found.
    """

    def __init__(self) -> None:
        self.published: i64 = 0
        self.bytes: i64 = 0
        self.misses: i64 = 0
        self._over_small: i64 = 0
        self._over_middle: i64 = 0
        self._over = [0] * len(BOUNDS)  # from LARGE on

    def take_over(self, published: i64, size: i64) -> None:
        """A client is gone, which has published so many messages of so many bytes."""
        self.published += published
        self.bytes += size

    def note_larger(self, size: i64) -> None:
        """One had more than SMALL bytes."""
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
        """How many had more than so many bytes, for each of BOUNDS."""
        return [int(self._over_small), int(self._over_middle), *self._over[2:]]
