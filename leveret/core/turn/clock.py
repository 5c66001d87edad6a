"""Time as a value: the driver sets it, the core only reads it. Timers say when the core wants to be called again."""

import heapq
from abc import abstractmethod
from typing import Final

from mypy_extensions import mypyc_attr, trait

STEP_MS: Final = 1000  # of the time of day that are worth to be noted
MANY: Final = 100  # cancelled timers that are worth a clean-up


class Clock:
    """now_ms: milliseconds that only grow, from any start; offset_ms: what makes wall_ms of it.

    drift_ms: what the time of day is ahead of wall_ms, because somebody has set it or the machine has slept.
    """

    __slots__ = ("drift_ms", "now_ms", "offset_ms")

    def __init__(self, now_ms: int = 0, wall_ms: int = 0) -> None:
        self.now_ms = now_ms
        self.offset_ms = wall_ms - now_ms
        self.drift_ms = 0

    @property
    def wall_ms(self) -> int:
        """Milliseconds since 1970, as deadlines are kept: they go on evenly whatever the time of day does."""
        return self.now_ms + self.offset_ms

    @property
    def today_ms(self) -> int:
        """The time of day in milliseconds since 1970, for people and clients: it may leap."""
        return self.wall_ms + self.drift_ms

    def resume(self, drift_ms: int, last_ms: int) -> None:
        """Go on where an earlier run was when it had this drift and this wall_ms. To be called once, at the start.

        Never early: a time of day that is behind that of the earlier run tells nothing, and the run is only resumed.
        """
        today_ms = self.wall_ms
        wall_ms = max(today_ms - max(drift_ms, 0), last_ms)
        self.offset_ms += wall_ms - today_ms
        self.drift_ms = today_ms - wall_ms

    def look(self, today_ms: int) -> bool:
        """This is the time of day now. Returns: whether it has leapt, by STEP_MS or more in all."""
        drift_ms = today_ms - self.wall_ms
        if abs(drift_ms - self.drift_ms) < STEP_MS:
            return False
        self.drift_ms = drift_ms
        return True


@mypyc_attr(allow_interpreted_subclasses=True)
class Timed:
    """Something that wants to be called at a certain time."""

    @abstractmethod
    def on_timer(self, token: int) -> None:
        """The time has come. token: what call_at() was given, to tell timers of one object apart."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """on_timer() has failed."""


@trait
class Dated:
    """Something that waits for a time of day."""

    @abstractmethod
    def leapt(self) -> None:
        """The time of day has leapt."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """leapt() has failed."""


class Timer:
    """One call that is to come. target: who is called; None once it came or was cancelled."""

    __slots__ = ("target", "token")

    def __init__(self, target: Timed, token: int) -> None:
        self.target: Timed | None = target
        self.token = token


class Timers:
    """Everything that waits for its time, soonest first. A cancelled timer holds on to nothing but its place."""

    __slots__ = ("_cancelled", "_count", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._count = 0
        self._cancelled = 0  # timers in the heap that will not be called

    def __len__(self) -> int:
        return len(self._heap)

    def call_at(self, at_ms: int, target: Timed, token: int = 0) -> Timer:
        """Call target.on_timer(token) at the first run_next() with now_ms >= at_ms."""
        self._count += 1
        timer = Timer(target, token)
        heapq.heappush(self._heap, (at_ms, self._count, timer))
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Let a call not come; one that came is fine. Cost: now and then a pass over all timers."""
        if timer is None or timer.target is None:
            return
        timer.target = None
        self._cancelled += 1
        if self._cancelled > MANY and self._cancelled * 2 > len(self._heap):
            self._heap[:] = [entry for entry in self._heap if entry[2].target is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_ms(self) -> int | None:
        """When the next one is due, None when there is none."""
        heap = self._heap
        while heap and heap[0][2].target is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def waiting(self) -> list[tuple[int, Timed]]:
        """When who will be called, in no order. Cost: a pass over all timers."""
        return [(at_ms, timer.target) for at_ms, _, timer in self._heap if timer.target is not None]

    def run_next(self, now_ms: int) -> bool:
        """Call what is due first. Returns: whether anything was due."""
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
                target.fail("do what is due", error)
            return True
        return False
