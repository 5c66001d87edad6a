"""Flat: whether a series of measurements has stopped growing.

The rule: the largest value of the last third of the time must not be above the largest one of the second third by more
than a share and a slack. The first third is for what a broker takes once: buffers, caches, the free space of a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Point(NamedTuple):
    """A measurement. when_s: seconds since the load began."""

    when_s: float
    value: float


@dataclass(frozen=True)
class Verdict:
    """What the rule says. second, last: the largest values of these thirds; limit: what the last one may be."""

    name: str
    second: float
    last: float
    limit: float

    @property
    def is_flat(self) -> bool:
        """Whether it has stopped growing."""
        return self.last <= self.limit

    def __str__(self) -> str:
        """One line for the end of a run."""
        told = "flat" if self.is_flat else "GROWS"
        return (
            f"{self.name}: {told}; second third {self.second:.1f}, last third {self.last:.1f}, limit {self.limit:.1f}"
        )


def judge(name: str, points: Sequence[Point], share: float, slack: float) -> Verdict:
    """Apply the rule. Raises: ValueError when there is no measurement in one of the last two thirds."""
    begin, end = points[0].when_s, points[-1].when_s
    third = (end - begin) / 3
    second = [point.value for point in points if begin + third <= point.when_s < begin + 2 * third]
    last = [point.value for point in points if point.when_s >= begin + 2 * third]
    if not second or not last:
        raise ValueError(f"too few measurements of {name} to say anything")
    return Verdict(name, max(second), max(last), max(second) * (1 + share) + slack)
