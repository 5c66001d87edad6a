"""History: samples of counters and gauges over time, for rates and charts.

A Sampler copies the numbers every few seconds; counters do not know of it. A number that does not change costs a
comparison and no memory. Source of the retention times: rabbit_mgmt_agent_config.erl, sample_retention_policies.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from typing import Any

from leveret.api.query import Span

DETAILED = ((605, 5),)  # seconds to keep, and seconds between two samples
BASIC = (*DETAILED, (3_660, 60))
GLOBAL = (*BASIC, (29_400, 600), (86_400, 1_800))
MOST = 100_000  # samples of all series together; above this, long series are shortened
FEW = 12  # samples that each series keeps in any case

Values = tuple[int, ...]


class Store:
    """Counts the samples of all series. count: their number."""

    def __init__(self) -> None:
        self.count = 0


class Line:
    """Samples at one interval, oldest first. A sample is valid until the next one."""

    __slots__ = ("kept_ms", "samples", "step_ms")

    def __init__(self, kept_s: int, step_s: int) -> None:
        self.kept_ms = kept_s * 1000
        self.step_ms = step_s * 1000
        self.samples: deque[tuple[int, bytes]] = deque()

    def is_due(self, at_ms: int) -> bool:
        """Whether it is time for another sample."""
        return not self.samples or at_ms - self.samples[-1][0] >= self.step_ms


class Series:
    """The samples of one object, such as a queue. names: position of each number, by name.

    changed_ms: time of the last sample that differed from the one before, in milliseconds since 1970.
    """

    __slots__ = ("_at_ms", "_before", "_before_ms", "_format", "_lines", "_store", "changed_ms", "names", "now")

    def __init__(self, names: dict[str, int], retention: tuple[tuple[int, int], ...], store: Store) -> None:
        self.names = names
        self.now: Values = ()
        self.changed_ms = 0
        self._before: Values = ()
        self._at_ms = 0
        self._before_ms = 0
        self._format = struct.Struct(f"<{len(names)}q")
        self._lines = [Line(kept_s, step_s) for kept_s, step_s in retention]
        self._store = store

    def add(self, at_ms: int, values: Values) -> None:
        """Add a sample. at_ms: its time, in milliseconds since 1970."""
        is_new = values != self.now
        if is_new:
            self.changed_ms = at_ms
        else:
            values = self.now
        self._before, self._before_ms = self.now or values, self._at_ms
        self.now, self._at_ms = values, at_ms
        for at, line in enumerate(self._lines):
            if is_new if at == 0 else line.is_due(at_ms):
                self._keep(line, at_ms, self._format.pack(*values))

    @property
    def is_moving(self) -> bool:
        """Whether any number changed between the last two samples."""
        return self.changed_ms == self._at_ms

    def rate(self, name: str) -> float:
        """Growth of a number per second, between the last two samples."""
        spent_ms = self._at_ms - self._before_ms
        at = self.names[name]
        if not self._before_ms or spent_ms <= 0:
            return 0.0
        return round((self.now[at] - self._before[at]) * 1000 / spent_ms, 3)

    def samples(self, name: str, span: Span) -> list[tuple[int, int]]:
        """Pairs (milliseconds since 1970, value) for each step back from the last sample, latest first."""
        if not self._at_ms:
            return []
        at = self.names[name]
        step_ms = span.step_s * 1000
        until_ms = self._at_ms - self._at_ms % step_ms
        line = next((each for each in self._lines if each.kept_ms >= span.age_s * 1000), self._lines[-1])
        kept = list(line.samples)
        found: list[tuple[int, int]] = []
        for back in range(span.age_s // span.step_s + 1):
            wanted_ms = until_ms - back * step_ms
            while kept and kept[-1][0] > wanted_ms:
                kept.pop()
            if kept:
                found.append((wanted_ms, self._format.unpack(kept[-1][1])[at]))
            elif not line.samples or line.samples[0][0] > wanted_ms:
                break
        return found

    def end(self) -> None:
        """The object no longer exists: drop its samples."""
        self._store.count -= sum(len(line.samples) for line in self._lines)
        self._lines = []

    def _keep(self, line: Line, at_ms: int, packed: bytes) -> None:
        samples, store = line.samples, self._store
        if samples and samples[-1][1] == packed:
            return
        samples.append((at_ms, packed))
        store.count += 1
        while len(samples) > FEW and (samples[1][0] < at_ms - line.kept_ms or store.count > MOST):
            samples.popleft()
            store.count -= 1


class Sum:
    """The sum of several series, over the numbers that all of them have. Ignores parts that are None."""

    def __init__(self, names: dict[str, int], parts: list[Series | None]) -> None:
        self._names = names
        self._parts = [part for part in parts if part is not None and part.now]

    @property
    def now(self) -> Values:
        """The current totals, in the order of the names."""
        return tuple(sum(part.now[at] for part in self._parts) for at in self._names.values())

    def rate(self, name: str) -> float:
        """As Series.rate()."""
        return round(sum(part.rate(name) for part in self._parts), 3)

    def samples(self, name: str, span: Span) -> list[tuple[int, int]]:
        """As Series.samples(); a series that did not exist yet counts as 0."""
        found: dict[int, int] = {}
        for part in self._parts:
            for at_ms, value in part.samples(name, span):
                found[at_ms] = found.get(at_ms, 0) + value
        return sorted(found.items(), reverse=True)


Numbers = Series | Sum


class History:
    """The series of all objects, by the object itself.

    born, died: the objects that appeared and disappeared in the last round. Objects that exist when the history begins
    do not count as born.
    """

    def __init__(self) -> None:
        self.born: list[Any] = []
        self.died: list[Any] = []
        self._begins = True  # with the next round
        self._has_begun = False  # with this one
        self._series: dict[Any, Series] = {}  # of objects noted in this round
        self._waiting: dict[Any, Series] = {}  # of objects noted in the round before, and not yet in this one
        self._store = Store()

    @property
    def count(self) -> int:
        """The number of samples in all series."""
        return self._store.count

    def begin(self) -> None:
        """Begin a round, in which each existing object is noted once."""
        self._series.update(self._waiting)  # empty unless the last round failed
        self._series, self._waiting = {}, self._series
        self.born, self.died = [], []
        self._has_begun, self._begins = self._begins, False

    def note(self, thing: object, names: dict[str, int], retention: tuple[tuple[int, int], ...]) -> Series:
        """The series of an object that exists; creates it on first use."""
        series = self._waiting.pop(thing, None) or self._series.get(thing)
        if series is None:
            series = Series(names, retention, self._store)
            if not self._has_begun:
                self.born.append(thing)
        self._series[thing] = series
        return series

    def find(self, thing: object) -> Series | None:
        """The series of an object; None if it has no samples yet."""
        return self._series.get(thing) or self._waiting.get(thing)

    def end(self) -> Iterator[None]:
        """End the round: forget the objects that it did not note, one at each step."""
        while self._waiting:
            thing, series = self._waiting.popitem()
            self.died.append(thing)
            series.end()
            yield

    def clear(self) -> Iterator[None]:
        """Forget all series, one at each step."""
        self._begins = self._has_begun = True
        for held in (self._waiting, self._series):
            while held:
                held.popitem()[1].end()
                yield


def numbers(*names: str) -> dict[str, int]:
    """The position of each number in Values, by name."""
    return {name: at for at, name in enumerate(names)}
