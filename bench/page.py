"""Write a run as a Markdown page, with plots as SVG files in a folder of the same name.

The page states date, machine and command, and lists every number in which a peer is better.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench import plots
from bench.brokers import LEVERET, REPOSITORY
from bench.measures import CPU, CPU_CYCLE, CPU_MIB, CYCLES, MAX, MIB_S, P50, P99, P999, RATE, Measure, Spread
from bench.plots import Panel
from bench.report import NONE, Report, Table, line_name
from bench.scenarios import Group, Kind, Scenario

ALWAYS_CHECKED = "lost/dup/reord/corr"  # all zeros; other values are reported at the top of the page

# Heading and description of each section.
SECTIONS: dict[Group, tuple[str, str]] = {
    Group.FOOTPRINT: ("At rest", "An idle broker, and one with idle connections."),
    Group.THROUGHPUT: (
        "Throughput",
        "One publisher at full speed, with at most 5000 messages in flight; one consumer per queue.",
    ),
    Group.TLS: (
        "TLS",
        "Two of these scenarios over TLS. The generator encrypts too, so it reaches its limit sooner.",
    ),
    Group.SCALE: (
        "Scale",
        "Many queues, many publishers, many requeued messages, unlimited publishers.",
    ),
    Group.BODIES: ("Large bodies", "One publisher, one queue, one consumer without acknowledgements."),
    Group.BACKLOG: ("A backlog", "{backlog} messages of 1 KiB: published without a consumer, then consumed."),
    Group.LATENCY: (
        "Latency",
        "From when a publish is due to its delivery, at fixed rates; and from a publish to its confirm.",
    ),
    Group.CHURN: (
        "Churn",
        "Eight clients. In each cycle a client creates something, waits for the answer, removes it, and waits again.",
    ),
}
# The measures in the bar charts of each section.
BARS: dict[Group, tuple[tuple[Measure, str], ...]] = {
    Group.THROUGHPUT: ((CPU, "CPU µs per message"), (RATE, "thousand messages/s")),
    Group.TLS: ((CPU, "CPU µs per message"), (RATE, "thousand messages/s")),
    Group.SCALE: ((CPU, "CPU µs per message"), (RATE, "thousand messages/s")),
    Group.BODIES: ((CPU_MIB, "CPU µs per MiB"), (MIB_S, "MiB/s")),
    Group.BACKLOG: ((CPU, "CPU µs per message"), (RATE, "thousand messages/s")),
    Group.CHURN: ((CPU_CYCLE, "CPU µs per cycle"), (CYCLES, "cycles/s")),
}
PERCENTILES = ((P50, "p50"), (P99, "p99"), (P999, "p99.9"), (MAX, "max"))


def write(report: Report, path: Path) -> None:
    """Write the page and its plots, replacing existing ones."""
    folder = path.with_suffix("")
    for old in folder.glob("*.svg"):
        old.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(_page(report, path, folder)) + "\n")


def _page(report: Report, path: Path, folder: Path) -> Iterator[str]:
    facts, options = report.machine, report.options
    yield "# Benchmarks"
    yield ""
    yield from _about(report, path)
    yield from _wrong(report)
    if report.peers and LEVERET in report.brokers:
        yield from _better(report)
    for group in Group:
        scenarios = [scenario for scenario in report.scenarios if scenario.group is group]
        if not scenarios:
            continue
        title, text = SECTIONS[group]
        yield from ("", f"## {title}", "", text.format(backlog=f"{options['backlog']:,}".replace(",", " ")))
        if plot := _plot(report, group, scenarios, folder):
            yield from ("", f"![{title}: {', '.join(report.brokers)}]({folder.name}/{plot.name})")
        for table in report.tables(scenarios):
            yield ""
            yield from _markdown(table)
        yield ""
        yield from (f"* `{scenario.name}`: {scenario.meaning}" for scenario in scenarios)
    yield from ("", f"Load average of the machine before the run: {facts['load_average']}.")


def _about(report: Report, path: Path) -> Iterator[str]:
    facts, options = report.machine, report.options
    took = f", in {options['minutes']} minutes" if "minutes" in options else ""
    yield f"Written by `bench/run.py`, {facts['date']}{took}:"
    yield from ("", f"    {options['command']}", "")
    yield f"* machine: {facts['cpu']}, {facts['cores']} cores, {facts['kernel']}; {facts['pinning']}"
    for name, about in report.brokers.items():
        yield f"* {name}: {about['version']}" + (f", {facts['python']}" if name == LEVERET else "")
    yield f"* durable runs of Leveret: on {facts['data_filesystem']}, with real syncs"
    runs = options["repeat"]
    yield ""
    yield "Every broker gets the same load from the same generator, which checks every message. " + (
        "One run of each, so the numbers have no spread."
        if runs == 1
        else f"Numbers are medians of {runs} runs, in which the brokers took turns; smallest and largest in brackets."
    )
    yield "**CPU** is the time of all threads of the broker. Judge by this number: a rate also depends on the other"
    yield "load of the machine. **/Leveret** is the peer's number divided by Leveret's."
    if path.resolve().is_relative_to(REPOSITORY):
        yield "`bench/README.md` says how it is measured."


def _wrong(report: Report) -> Iterator[str]:
    bad = report.bad()
    yield ""
    if bad:
        yield from ("**Errors:**", "", *(f"* {line}" for line in bad))
    else:
        delivered = sum(result.number("delivered") or 0 for result in report.results)
        yield f"No message was lost, duplicated, reordered or corrupt, of {delivered / 1e6:.1f} million delivered."


def _better(report: Report) -> Iterator[str]:
    yield from ("", "## Where a peer is better", "")
    found = list(report.better())
    if not found:
        yield "No peer is better in any number on this page."
        return
    rows = [
        [
            each.line,
            f"{each.measure.head}",
            each.broker,
            str(each.theirs),
            str(each.ours),
            "the ranges overlap" if each.theirs.overlaps(each.ours) else "",
        ]
        for each in found
    ]
    yield from _markdown(Table(["scenario", "number", "peer", "its", "Leveret's", ""], rows), words=3)


def _plot(report: Report, group: Group, scenarios: list[Scenario], folder: Path) -> Path | None:
    """Draw the plot of a section; None if a table is enough."""
    path = folder / f"{group}.svg"
    if group is Group.LATENCY:
        timed = [scenario for scenario in scenarios if scenario.kind is Kind.LATENCY]
        if not timed:
            return None
        panels = [
            Panel(
                f"{scenario.name}, ms",
                {
                    name: [_in_ms(report.spread(scenario, name, measure)) for measure, _ in PERCENTILES]
                    for name in report.brokers
                },
            )
            for scenario in timed
        ]
        plots.lines(path, [name for _, name in PERCENTILES], panels)
        return path
    if group not in BARS:
        return None
    places = [(scenario, part) for scenario in scenarios for part in scenario.parts]
    panels = [
        Panel(
            title,
            {
                name: [report.spread(scenario, name, measure, part) for scenario, part in places]
                for name in report.brokers
            },
        )
        for measure, title in BARS[group]
    ]
    plots.bars(path, [line_name(scenario, part) for scenario, part in places], panels)
    return path


def _in_ms(spread: Spread | None) -> Spread | None:
    """Convert microseconds to milliseconds, to avoid powers of ten on an axis."""
    if spread is None:
        return None
    return Spread(spread.median / 1000, spread.least / 1000, spread.most / 1000, spread.runs)


def _markdown(table: Table, words: int = 2) -> Iterator[str]:
    """The table without uninformative columns. The first `words` columns and the last are text."""
    last = len(table.head) - 1
    kept = [
        i
        for i, head in enumerate(table.head)
        if i < words or (head != ALWAYS_CHECKED and any(row[i] not in ("", NONE) for row in table.rows))
    ]
    yield "| " + " | ".join(table.head[i] for i in kept) + " |"
    yield "|" + "|".join("---" if i < words or i == last else "---:" for i in kept) + "|"
    for row in table.rows:
        yield "| " + " | ".join(row[i] for i in kept) + " |"
