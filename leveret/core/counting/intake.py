"""Intake: how large the messages are that clients publish, and how often it was known already where they go."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

SMALL: Final = 100  # bytes of a body; most are no larger, and so cost one comparison
MIDDLE: Final = 1_000
LARGE: Final = 10_000
BOUNDS: Final = (SMALL, MIDDLE, LARGE, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000)
"""The sizes that are told apart. Source: rabbit_msg_size_metrics.erl, BUCKETS."""


class Intake:
    """Of one broker, since its start; nothing of it ends with a channel.

    published: messages, also those that are too large, or in a transaction. bytes: of their bodies. over_small,
    over_middle: those with more than so many bytes. misses: those whose route had to be found.
    """

    def __init__(self) -> None:
        self.published: i64 = 0
        self.bytes: i64 = 0
        self.misses: i64 = 0
        self.over_small: i64 = 0
        self.over_middle: i64 = 0
        self._over = [0] * len(BOUNDS)

    def note_large(self, size: i64) -> None:
        """One had more than LARGE bytes."""
        for at in range(2, len(BOUNDS)):
            if size <= BOUNDS[at]:
                break
            self._over[at] += 1

    def up_to(self) -> list[int]:
        """How many had at most so many bytes, for each of BOUNDS."""
        over = [int(self.over_small), int(self.over_middle), *self._over[2:]]
        return [int(self.published) - each for each in over]
