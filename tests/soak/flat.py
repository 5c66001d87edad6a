"""Flat: whether a series of measurements has stopped growing.

The rule: the largest value of the last third of them must not be above the largest one of the second third by more than
a share and a slack. The first third is for what a broker takes once: buffers, caches, the free space of a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 3  # measurements that a verdict needs


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


def judge(name: str, values: Sequence[float], share: float, slack: float) -> Verdict:
    """Apply the rule to measurements taken at even intervals. Raises: ValueError when there are fewer than LEAST."""
    if len(values) < LEAST:
        raise ValueError(f"too few measurements of {name} to say anything")
    third = len(values) // 3
    second, last = max(values[third:-third]), max(values[-third:])
    return Verdict(name, second, last, second * (1 + share) + slack)
