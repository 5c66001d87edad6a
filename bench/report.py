"""Turning results into the tables of a run, the list of faults, and the JSON file.

A cell shows the median over the repeats, with the smallest and largest value behind it when there are more.
Lost, duplicated, reordered and corrupt messages are summed over all repeats, never averaged away.
"""

from __future__ import annotations

import json
import operator
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.brokers import LEVERET
from bench.generator import FAULTS, Result
from bench.scenarios import Kind, Scenario

NONE = "-"
LOAD_HEAD = (
    "scenario",
    "broker",
    "CPU us/msg",
    "/Leveret",
    "k msg/s",
    "p50 us",
    "p99 us",
    "lost/dup/reord/corr",
    "",
)
Measure = Callable[[Result], float | None]


@dataclass
class Report:
    """All results of one run of the benchmark."""

    machine: dict[str, Any]
    options: dict[str, Any]
    brokers: dict[str, dict[str, Any]]
    results: list[Result] = field(default_factory=list)

    def of(self, scenario: Scenario, broker: str) -> list[Result]:
        """The repeats of one scenario with one broker."""
        return [found for found in self.results if (found.scenario, found.broker) == (scenario.name, broker)]

    def bad(self) -> list[str]:
        """One line per run in which a message or the run itself went wrong."""
        lines = []
        for result in self.results:
            wrong = [f"{count} {fault.upper()}" for fault, count in result.faults.items()] + result.errors
            if wrong:
                lines.append(f"{result.scenario}, {result.broker}, run {result.repeat}: {'; '.join(wrong)}")
        return lines

    def write_json(self, path: Path) -> None:
        """Write everything, raw."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def _values(results: list[Result], measure: Measure) -> list[float]:
    return [value for result in results if (value := measure(result)) is not None]


def _median(results: list[Result], measure: Measure) -> float | None:
    values = _values(results, measure)
    return statistics.median(values) if values else None


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _cell(results: list[Result], measure: Measure) -> str:
    values = _values(results, measure)
    if not values:
        return NONE
    middle = _number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({_number(min(values))}..{_number(max(values))})"


def _ratio(results: list[Result], leveret: list[Result], measure: Measure) -> str:
    theirs, ours = _median(results, measure), _median(leveret, measure)
    return NONE if theirs is None or not ours or ours < 0 or results is leveret else f"{theirs / ours:.1f}x"


def _faults(results: list[Result]) -> str:
    """`0/0/0/0`, or the totals in words when one of them is not zero."""
    if not any(result.number(FAULTS[0]) is not None for result in results):
        return "NO RESULT"
    totals = {key: sum(result.faults.get(key, 0) for result in results) for key in FAULTS}
    loud = [f"{count} {key.upper()}" for key, count in totals.items() if count]
    if loud:
        return "!! " + " ".join(loud)
    return "!! ERROR" if any(result.errors for result in results) else "0/0/0/0"


def _remarks(scenario: Scenario, results: list[Result]) -> str:
    remarks = []
    if scenario.kind is Kind.FLOOD:
        share = _median(results, lambda result: result.delivered_share)
        remarks.append(f"delivered/published {NONE if share is None else f'{share:.2f}'}")
    if any(result.number("blocked") for result in results):
        remarks.append("publisher blocked by the broker")
    if any(result.generator_bound for result in results):
        remarks.append("generator at its limit")
    if any(result.raw.get("broker_was_busy") for result in results):
        remarks.append("broker not idle before the run")
    return ", ".join(remarks)


def _aligned(head: Sequence[str], rows: list[list[str]]) -> str:
    """A table; text columns (the first two and the last) to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in [list(head), *rows]) for i in range(len(head))]
    lines = []
    for row in [list(head), ["-" * width for width in widths], *rows]:
        cells = [
            text.ljust(width) if i < 2 or i == len(head) - 1 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _load_table(report: Report, scenarios: list[Scenario]) -> str:
    rows = []
    for scenario in scenarios:
        leveret = report.of(scenario, LEVERET)
        for index, broker in enumerate(report.brokers):
            results = leveret if broker == LEVERET else report.of(scenario, broker)
            timed = results if scenario.kind is Kind.LATENCY else []
            rows.append(
                [
                    "" if index else scenario.name,
                    broker,
                    _cell(results, lambda result: result.cpu_us_per_delivery),
                    _ratio(results, leveret, lambda result: result.cpu_us_per_delivery),
                    _cell(results, lambda result: result.delivered_k_per_s),
                    _cell(timed, lambda result: result.number("latency_us.p50")),
                    _cell(timed, lambda result: result.number("latency_us.p99")),
                    _faults(results),
                    _remarks(scenario, results),
                ]
            )
    return _aligned(LOAD_HEAD, rows)


def _connections_table(report: Report, scenario: Scenario) -> str:
    rows = []
    leveret = report.of(scenario, LEVERET)
    for broker in report.brokers:
        results = leveret if broker == LEVERET else report.of(scenario, broker)
        opened = _median(results, lambda result: result.number("connections"))
        alive = _median(results, lambda result: result.number("alive_after"))
        rows.append(
            [
                scenario.name,
                broker,
                NONE if opened is None or alive is None else f"{alive:.0f} of {opened:.0f}",
                _cell(results, lambda result: result.number("connections_per_s")),
                _cell(results, lambda result: result.kib_per_connection),
                _ratio(results, leveret, lambda result: result.kib_per_connection),
                _cell(results, lambda result: result.idle_cpu_percent),
                "!! ERROR" if any(result.errors for result in results) else _remarks(scenario, results),
            ]
        )
    head = ["scenario", "broker", "open", "opened/s", "RSS KiB each", "/Leveret", "CPU % while idle", ""]
    return _aligned(head, rows)


def _confirm_table(report: Report, scenarios: list[Scenario]) -> str:
    rows = []
    for scenario in scenarios:
        for index, broker in enumerate(report.brokers):
            results = report.of(scenario, broker)
            cells = [
                _cell(results, operator.methodcaller("number", key))
                for key in ("confirm_latency_us.p50", "confirm_latency_us.p99", "synced_append_us.p50")
            ]
            ratio = _cell(results, lambda result: result.confirm_per_sync)
            remarks = _remarks(scenario, results)
            rows.append(["" if index else scenario.name, broker, *cells, ratio, _faults(results), remarks])
    head = ["scenario", "broker", "p50 us", "p99 us", "append+fdatasync p50 us", "ratio", "lost/dup/reord/corr", ""]
    return _aligned(head, rows)


def _start_table(report: Report, scenario: Scenario) -> str:
    results = report.of(scenario, LEVERET)
    head = ["scenario", "broker", "ready line, ms", "spawn to ready, ms", "idle RSS MiB", ""]
    keys = ("ready_ms", "wall_ms", "rss_mb")
    cells = [_cell(results, operator.methodcaller("number", key)) for key in keys]
    remark = "!! ERROR" if any(result.errors for result in results) else ""
    return _aligned(head, [[scenario.name, LEVERET, *cells, remark]])


def tables(report: Report, scenarios: list[Scenario]) -> str:
    """Everything measured, as text."""
    parts = []
    for scenario in scenarios:
        if scenario.kind is Kind.START and LEVERET in report.brokers:
            parts.append(_start_table(report, scenario))
        elif scenario.kind is Kind.CONNECTIONS:
            parts.append(_connections_table(report, scenario))
    load = [scenario for scenario in scenarios if scenario.kind in (Kind.LOAD, Kind.FLOOD, Kind.LATENCY)]
    if load:
        parts.append(_load_table(report, load))
    confirm = [scenario for scenario in scenarios if scenario.kind is Kind.CONFIRM]
    if confirm:
        parts.append(_confirm_table(report, confirm))
    return "\n\n".join(parts)


def machine_line(report: Report) -> str:
    """CPU, cores, Python, kernel, date."""
    facts = report.machine
    return (
        f"{facts['cpu']}, {facts['cores']} cores ({facts['pinning']}), {facts['python']}, {facts['kernel']}, "
        f"data on {facts['data_filesystem']}, load before {facts['load_average']}, {facts['date']}"
    )
