"""Time as a value: the driver sets it, the core only reads it. Timers say when the core wants to be called again."""

import heapq
from abc import abstractmethod


class Clock:
    """now_ms: milliseconds that only grow, from any start; wall_ms: milliseconds since 1970."""

    __slots__ = ("now_ms", "offset_ms")

    def __init__(self, now_ms: int = 0, wall_ms: int = 0) -> None:
        self.now_ms = now_ms
        self.offset_ms = wall_ms - now_ms

    @property
    def wall_ms(self) -> int:
        """The time of day, in milliseconds since 1970."""
        return self.now_ms + self.offset_ms


class Timed:
    """Something that wants to be called at a certain time."""

    @abstractmethod
    def on_timer(self, token: int) -> None:
        """The time has come. token: what call_at() was given, to tell timers of one object apart."""


class Timers:
    """Everything that waits for its time, soonest first.

    There is no cancelling: whoever is called looks whether the call still matters.
    """

    __slots__ = ("_count", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timed, int]] = []
        self._count = 0

    def call_at(self, at_ms: int, target: Timed, token: int = 0) -> None:
        """Call target.on_timer(token) at the first run() with now_ms >= at_ms."""
        self._count += 1
        heapq.heappush(self._heap, (at_ms, self._count, target, token))

    def next_ms(self) -> int | None:
        """When the next one is due, None when there is none."""
        return self._heap[0][0] if self._heap else None

    def run(self, now_ms: int) -> None:
        """Call what is due."""
        heap = self._heap
        while heap and heap[0][0] <= now_ms:
            _, _, target, token = heapq.heappop(heap)
            target.on_timer(token)
