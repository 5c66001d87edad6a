"""Lag: how long each turn of the event loop took, during which all input waits."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

STALL_US: Final = 20_000  # a turn that takes longer is a stall
MINUTE: Final = 60


class Lag:
    """The lag of one event loop. longest_us, stalls: since the start; a turn of more than STALL_US is a stall.

    second_us: the longest turn since next_second() was called.
    """

    __slots__ = ("_longest", "_second_stalls", "_stalls", "longest_us", "second_us", "stalls")

    def __init__(self) -> None:
        self.longest_us: i64 = 0
        self.stalls: i64 = 0
        self.second_us: i64 = 0
        self._second_stalls: i64 = 0
        self._longest = [0] * MINUTE  # the longest turn of each of the last seconds
        self._stalls = [0] * MINUTE

    def note(self, took_us: i64) -> None:
        """Record the duration of a turn in microseconds."""
        if took_us > self.second_us:
            self.second_us = took_us
            if took_us > self.longest_us:
                self.longest_us = took_us
        if took_us > STALL_US:
            self.stalls += 1
            self._second_stalls += 1

    def next_second(self) -> None:
        """A second has passed."""
        self._longest = [*self._longest[1:], int(self.second_us)]
        self._stalls = [*self._stalls[1:], int(self._second_stalls)]
        self.second_us = 0
        self._second_stalls = 0

    def recent(self, seconds: int) -> tuple[int, int]:
        """The longest turn of the last seconds in microseconds, and the number of stalls. seconds: at most 60."""
        longest = [*self._longest[MINUTE - seconds :], int(self.second_us)]
        return max(longest), sum(self._stalls[MINUTE - seconds :]) + int(self._second_stalls)
