"""The measures: name, source, whether less is better, and their tables.

Terminal, page and JSON all use these lists, so a number has the same name and meaning everywhere.
"""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from bench.generator import Result
from bench.scenarios import Kind


@dataclass(frozen=True)
class Measure:
    """A measure of a run."""

    key: str  # in the JSON file
    head: str  # column title
    of: Callable[[Result], float | None]
    less_is_better: bool = True
    compared: bool = False  # followed by a column with the ratio of peer to Leveret


@dataclass(frozen=True)
class Spread:
    """The median, minimum and maximum of some runs."""

    median: float
    least: float
    most: float
    runs: int

    @classmethod
    def over(cls, results: list[Result], measure: Measure) -> Spread | None:
        """The spread over runs that have this number; None if none has."""
        values = [value for result in results if (value := measure.of(result)) is not None]
        if not values:
            return None
        return cls(statistics.median(values), min(values), max(values), len(values))

    def overlaps(self, other: Spread) -> bool:
        """Whether the ranges overlap, so that there is no difference to report."""
        return self.least <= other.most and other.least <= self.most

    def __str__(self) -> str:
        """`median (minimum..maximum)`; only the median for a single run."""
        if self.runs == 1:
            return number(self.median)
        return f"{number(self.median)} ({number(self.least)}..{number(self.most)})"


def number(value: float) -> str:
    """Three significant digits, or all digits before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _raw(key: str) -> Callable[[Result], float | None]:
    return operator.methodcaller("number", key)


CPU = Measure("cpu_us", "CPU µs/msg", operator.attrgetter("cpu_us"), compared=True)
RATE = Measure("k_per_s", "k msg/s", operator.attrgetter("k_per_s"), less_is_better=False)
PEAK = Measure("peak_rss_mib", "peak RSS MiB", _raw("broker_peak_rss_mb"))
CPU_MIB = Measure("cpu_us_per_mib", "CPU µs/MiB", operator.attrgetter("cpu_us_per_mib"), compared=True)
MIB_S = Measure("mib_per_s", "MiB/s", operator.attrgetter("mib_per_s"), less_is_better=False)
P50 = Measure("p50_us", "p50 µs", _raw("latency_us.p50"), compared=True)
P99 = Measure("p99_us", "p99 µs", _raw("latency_us.p99"), compared=True)
P999 = Measure("p999_us", "p99.9 µs", _raw("latency_us.p999"))
MAX = Measure("max_us", "max µs", _raw("latency_us.max"))
CYCLES = Measure("cycles_per_s", "cycles/s", operator.attrgetter("per_s"), less_is_better=False)
CPU_CYCLE = Measure("cpu_us", "CPU µs/cycle", operator.attrgetter("cpu_us"), compared=True)
CYCLE_P50 = Measure("p50_us", "p50 µs", _raw("cycle_us.p50"), compared=True)
CYCLE_P99 = Measure("p99_us", "p99 µs", _raw("cycle_us.p99"))

MEASURES: dict[Kind, tuple[Measure, ...]] = {
    Kind.START: (
        Measure("ready_ms", "ready line, ms", _raw("ready_ms")),
        Measure("wall_ms", "spawn to ready, ms", _raw("wall_ms")),
        Measure("idle_rss_mib", "idle RSS MiB", _raw("rss_mb")),
    ),
    Kind.CONNECTIONS: (
        Measure("alive", "open", _raw("alive_after"), less_is_better=False),
        Measure("opened_per_s", "opened/s", _raw("connections_per_s"), less_is_better=False),
        Measure("kib_each", "RSS KiB each", operator.attrgetter("kib_per_connection"), compared=True),
        Measure("idle_cpu_percent", "CPU % while idle", operator.attrgetter("idle_cpu_percent")),
    ),
    Kind.LOAD: (CPU, RATE, PEAK),
    Kind.FLOOD: (CPU, RATE, PEAK),
    Kind.BACKLOG: (CPU, RATE, PEAK),
    Kind.BODIES: (CPU_MIB, MIB_S, PEAK),
    Kind.LATENCY: (CPU, P50, P99, P999, MAX),
    Kind.CONFIRM: (
        Measure("p50_us", "p50 µs", _raw("confirm_latency_us.p50"), compared=True),
        Measure("p99_us", "p99 µs", _raw("confirm_latency_us.p99"), compared=True),
        Measure("sync_us", "append+fdatasync p50 µs", _raw("synced_append_us.p50")),
        Measure("per_sync", "p50 / sync", operator.attrgetter("confirm_per_sync")),
    ),
    Kind.CHURN: (CPU_CYCLE, CYCLES, CYCLE_P50, CYCLE_P99),
}
CHECKED = (Kind.LOAD, Kind.FLOOD, Kind.BACKLOG, Kind.BODIES, Kind.LATENCY, Kind.CONFIRM)  # every message is checked
NOT_COMPARED = ("alive", "sync_us", "per_sync")  # not a measure of quality
