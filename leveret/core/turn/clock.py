"""Time as a value: the driver sets it and the core reads it. Timers tell the driver when to call the core again."""

import heapq
from abc import abstractmethod
from typing import Final

from mypy_extensions import mypyc_attr, trait

STEP_MS: Final = 1000  # smallest jump of the time of day that counts
MANY: Final = 100  # cancelled timers that trigger a clean-up


class Clock:
    """now_ms: a monotonic time in milliseconds with an arbitrary start. offset_ms: wall_ms minus now_ms.

    drift_ms: how far the time of day is ahead of wall_ms, because it was set or the machine was suspended.
    """

    __slots__ = ("drift_ms", "now_ms", "offset_ms")

    def __init__(self, now_ms: int = 0, wall_ms: int = 0) -> None:
        self.now_ms = now_ms
        self.offset_ms = wall_ms - now_ms
        self.drift_ms = 0

    @property
    def wall_ms(self) -> int:
        """Milliseconds since 1970, for deadlines: it runs evenly even if the time of day jumps."""
        return self.now_ms + self.offset_ms

    @property
    def today_ms(self) -> int:
        """The time of day in milliseconds since 1970, for users and clients: it may jump."""
        return self.wall_ms + self.drift_ms

    def resume(self, drift_ms: int, last_ms: int) -> None:
        """Continue from the drift and the wall_ms of an earlier run. Called once, at the start.

        Never makes wall_ms early: if the time of day is behind that of the earlier run, wall_ms continues from last_ms.
        """
        today_ms = self.wall_ms
        wall_ms = max(today_ms - max(drift_ms, 0), last_ms)
        self.offset_ms += wall_ms - today_ms
        self.drift_ms = today_ms - wall_ms

    def look(self, today_ms: int) -> bool:
        """Take the current time of day. Returns: whether it has jumped, by STEP_MS or more in all."""
        drift_ms = today_ms - self.wall_ms
        if abs(drift_ms - self.drift_ms) < STEP_MS:
            return False
        self.drift_ms = drift_ms
        return True


@mypyc_attr(allow_interpreted_subclasses=True)
class Timed:
    """An object that timers call."""

    @abstractmethod
    def on_timer(self, token: int) -> None:
        """The timer is due. token: the argument of call_at(), to tell timers of one object apart."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """on_timer() has failed."""


@trait
class Dated:
    """An object that waits for a time of day."""

    @abstractmethod
    def leapt(self) -> None:
        """The time of day has jumped."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """leapt() has failed."""


class Timer:
    """One scheduled call. target: the object to call; None once called or cancelled."""

    __slots__ = ("target", "token")

    def __init__(self, target: Timed, token: int) -> None:
        self.target: Timed | None = target
        self.token = token


class Timers:
    """All timers, the earliest first. A cancelled timer keeps only its place in the heap."""

    __slots__ = ("_cancelled", "_count", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._count = 0
        self._cancelled = 0  # cancelled timers in the heap

    def __len__(self) -> int:
        return len(self._heap)

    def call_at(self, at_ms: int, target: Timed, token: int = 0) -> Timer:
        """Call target.on_timer(token) at the first run_next() with now_ms >= at_ms."""
        self._count += 1
        timer = Timer(target, token)
        heapq.heappush(self._heap, (at_ms, self._count, timer))
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Cancel a timer; one that was already called is ignored. Cost: now and then a pass over all timers."""
        if timer is None or timer.target is None:
            return
        timer.target = None
        self._cancelled += 1
        if self._cancelled > MANY and self._cancelled * 2 > len(self._heap):
            self._heap[:] = [entry for entry in self._heap if entry[2].target is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_ms(self) -> int | None:
        """When the next timer is due; None without timers."""
        heap = self._heap
        while heap and heap[0][2].target is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def waiting(self) -> list[tuple[int, Timed]]:
        """Due times and their targets, in no order. Cost: a pass over all timers."""
        return [(at_ms, timer.target) for at_ms, _, timer in self._heap if timer.target is not None]

    def run_next(self, now_ms: int) -> bool:
        """Run the timer that is due first. Returns: whether one was due."""
        heap = self._heap
        while heap and heap[0][0] <= now_ms:
            timer = heapq.heappop(heap)[2]
            target = timer.target
            if target is None:
                self._cancelled -= 1
                continue
            timer.target = None
            try:
                target.on_timer(timer.token)
            except Exception as error:
                target.fail("run a timer", error)
            return True
        return False
