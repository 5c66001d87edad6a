"""Agenda: virtual time, and everything that will happen in it."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Final

KEPT: Final = 4000  # lines of a trace

Action = Callable[[], None]


class Violation(Exception):
    """A promise was broken."""


class Agenda:
    """What happens when. The same seed makes the same choices.

    trace: the last things that happened. steps: how many actions there were.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now_ms = 0
        self.steps = 0
        self.trace: deque[str] = deque(maxlen=KEPT)
        self._actions: list[tuple[int, int, Action]] = []
        self._count = 0

    def after(self, delay_ms: int, action: Action) -> None:
        """Do something later, behind everything that is already planned for that time."""
        self._count += 1
        heapq.heappush(self._actions, (self.now_ms + delay_ms, self._count, action))

    def run(self, duration_ms: int) -> None:
        """Time passes."""
        until_ms = self.now_ms + duration_ms
        while self._actions and self._actions[0][0] <= until_ms:
            at_ms, _, action = heapq.heappop(self._actions)
            self.now_ms = at_ms
            self.steps += 1
            action()
        self.now_ms = until_ms

    def some_ms(self, least: int, most: int) -> int:
        """A random time."""
        return self.random.randint(least, most)

    def chance(self, probability: float) -> bool:
        """Whether something happens."""
        return self.random.random() < probability

    def note(self, text: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.now_ms / 1000:8.3f}  {text}")
