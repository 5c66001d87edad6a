"""Turn results into tables, a list of faults, and a JSON file.

A cell shows the median of the repeats, followed by minimum and maximum if there are several. Lost, duplicated,
reordered and corrupt messages are summed over all repeats, never averaged.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.brokers import LEVERET
from bench.generator import FAULTS, Result
from bench.measures import CHECKED, MEASURES, NOT_COMPARED, Measure, Spread, number
from bench.scenarios import SCENARIOS, Kind, Scenario

NONE = "-"
FINE = "0/0/0/0"
# One table per line, in this order.
TABLES = (
    (Kind.START,),
    (Kind.CONNECTIONS,),
    (Kind.LOAD, Kind.FLOOD, Kind.BACKLOG),
    (Kind.BODIES,),
    (Kind.LATENCY,),
    (Kind.CONFIRM,),
    (Kind.CHURN,),
)


@dataclass
class Table:
    """A table of text cells. The first two columns and the last are text, the others numbers."""

    head: list[str]
    rows: list[list[str]]


@dataclass
class Difference:
    """A number in which a peer is better than Leveret."""

    line: str  # the scenario, and its half
    measure: Measure
    broker: str
    theirs: Spread
    ours: Spread


@dataclass
class Report:
    """All results of one run of the benchmark."""

    machine: dict[str, Any]
    options: dict[str, Any]
    brokers: dict[str, dict[str, Any]]
    results: list[Result] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read a file of `write_json`. Raises: ValueError, KeyError for other files."""
        made = json.loads(path.read_text())
        results = [Result(**result) for result in made["results"]]
        return cls(made["machine"], made["options"], made["brokers"], results)

    def write_json(self, path: Path) -> None:
        """Write machine, options, brokers, medians, and the raw output of amqpload for every run."""
        made = asdict(self)
        raw = made.pop("results")
        path.write_text(json.dumps({**made, "summary": list(self.summary()), "results": raw}, indent=1) + "\n")

    @property
    def scenarios(self) -> list[Scenario]:
        """The scenarios with results, in table order."""
        names = {result.scenario for result in self.results}
        return [scenario for scenario in SCENARIOS if scenario.name in names]

    @property
    def peers(self) -> list[str]:
        """The brokers other than Leveret."""
        return [name for name in self.brokers if name != LEVERET]

    def of(self, scenario: Scenario, broker: str, part: str = "") -> list[Result]:
        """The repeats of a scenario, or of one half of it, with one broker."""
        wanted = (scenario.name, broker, part)
        return [found for found in self.results if (found.scenario, found.broker, found.part) == wanted]

    def spread(self, scenario: Scenario, broker: str, measure: Measure, part: str = "") -> Spread | None:
        """One number of these repeats; None if it was not measured."""
        return Spread.over(self.of(scenario, broker, part), measure)

    def ratio(self, scenario: Scenario, broker: str, measure: Measure, part: str = "") -> float | None:
        """A peer's median divided by Leveret's."""
        theirs, ours = (self.spread(scenario, name, measure, part) for name in (broker, LEVERET))
        if broker == LEVERET or theirs is None or ours is None or ours.median <= 0:
            return None
        return theirs.median / ours.median

    def summary(self) -> Iterator[dict[str, Any]]:
        """One entry for each scenario, half, broker and measure."""
        for scenario in self.scenarios:
            for part in scenario.parts:
                for broker in self.brokers:
                    for measure in MEASURES[scenario.kind]:
                        if found := self.spread(scenario, broker, measure, part):
                            yield {
                                "scenario": scenario.name,
                                "part": part,
                                "broker": broker,
                                "measure": measure.key,
                                **asdict(found),
                                "ratio_to_leveret": self.ratio(scenario, broker, measure, part),
                            }

    def better(self) -> Iterator[Difference]:
        """Where a peer's median is better than Leveret's."""
        for scenario in self.scenarios:
            for part in scenario.parts:
                for measure in MEASURES[scenario.kind]:
                    ours = self.spread(scenario, LEVERET, measure, part)
                    for broker in self.peers:
                        theirs = self.spread(scenario, broker, measure, part)
                        if ours is None or theirs is None or measure.key in NOT_COMPARED:
                            continue
                        less = theirs.median < ours.median
                        if theirs.median != ours.median and less == measure.less_is_better:
                            yield Difference(line_name(scenario, part), measure, broker, theirs, ours)

    def bad(self) -> list[str]:
        """One line per run with faulty messages or errors."""
        lines = []
        for result in self.results:
            wrong = [f"{count} {fault.upper()}" for fault, count in result.faults.items()] + result.errors
            if wrong:
                name = f"{result.scenario} {result.part}".strip()
                lines.append(f"{name}, {result.broker}, run {result.repeat}: {'; '.join(wrong)}")
        return lines

    def tables(self, scenarios: list[Scenario]) -> list[Table]:
        """The table of these scenarios."""
        found = ([scenario for scenario in scenarios if scenario.kind in kinds] for kinds in TABLES)
        return [self._table(together) for together in found if together]

    def _table(self, scenarios: list[Scenario]) -> Table:
        kind = scenarios[0].kind
        head = ["scenario", "broker"]
        for measure in MEASURES[kind]:
            head += [measure.head, "/Leveret"] if measure.compared else [measure.head]
        head += ["lost/dup/reord/corr", ""] if kind in CHECKED else [""]
        rows = []
        for scenario in scenarios:
            for part in scenario.parts:
                brokers = [name for name in self.brokers if self.of(scenario, name, part)]
                for index, broker in enumerate(brokers):
                    name = "" if index else line_name(scenario, part)
                    rows.append([name, broker, *self._cells(scenario, broker, part)])
        return Table(head, rows)

    def _cells(self, scenario: Scenario, broker: str, part: str) -> Iterator[str]:
        for measure in MEASURES[scenario.kind]:
            found = self.spread(scenario, broker, measure, part)
            yield NONE if found is None else str(found)
            if measure.compared:
                ratio = self.ratio(scenario, broker, measure, part)
                yield NONE if ratio is None else f"{number(ratio)}x"
        results = self.of(scenario, broker, part)
        if scenario.kind in CHECKED:
            yield faults(results)
            yield ", ".join(_remarks(scenario, results))
        else:
            wrong = ["!! ERROR"] if any(result.errors for result in results) else []
            yield ", ".join(wrong + _remarks(scenario, results))


def line_name(scenario: Scenario, part: str) -> str:
    """The label of a table row."""
    return f"{scenario.name} {part}".strip()


def faults(results: list[Result]) -> str:
    """`0/0/0/0`, or the totals in words if any is not zero; a dash if there was no run."""
    if all(result.left_out for result in results):
        return NONE
    if not any(result.number(FAULTS[0]) is not None for result in results):
        return "NO RESULT"
    totals = {key: sum(result.faults.get(key, 0) for result in results) for key in FAULTS}
    loud = [f"{count} {key.upper()}" for key, count in totals.items() if count]
    if loud:
        return "!! " + " ".join(loud)
    return "!! ERROR" if any(result.errors for result in results) else FINE


def _remarks(scenario: Scenario, results: list[Result]) -> list[str]:
    remarks = sorted({result.left_out for result in results if result.left_out})
    shares = [share for result in results if (share := result.delivered_share) is not None]
    if scenario.kind is Kind.FLOOD and shares:
        remarks.append(f"delivered/published {statistics.median(shares):.2f}")
    if any(result.number("blocked") for result in results):
        remarks.append("publisher blocked by the broker")
    if any(result.generator_bound for result in results):
        remarks.append("generator at its limit")
    if any(result.raw.get("broker_was_busy") for result in results):
        remarks.append("broker not idle before the run")
    return remarks


def as_text(table: Table) -> str:
    """A table for the terminal: text left-aligned, numbers right-aligned."""
    widths = [max(len(row[i]) for row in [table.head, *table.rows]) for i in range(len(table.head))]
    lines = []
    for row in [table.head, ["-" * width for width in widths], *table.rows]:
        cells = [
            text.ljust(width) if i < 2 or i == len(widths) - 1 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def machine_line(report: Report) -> str:
    """CPU, cores, Python, kernel, date."""
    facts = report.machine
    return (
        f"{facts['cpu']}, {facts['cores']} cores ({facts['pinning']}), {facts['python']}, {facts['kernel']}, "
        f"data on {facts['data_filesystem']}, load before {facts['load_average']}, {facts['date']}"
    )
