"""Run a mixed load on one broker for a long time, and check for losses and growth.

    python tools/soak.py --minutes 60
    python tools/soak.py --minutes 10 --parts durable rpc churn --json soak.json

Exit status 1 if memory, open files, threads or disk space grew, or a message was lost, duplicated, reordered, early or
not flagged as redelivered. See docs/durability.md.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import machine
from tests.soak.parts import PARTS
from tests.soak.soak import BACKLOG, Outcome, Sample, Soak

SHOWN = 20
COLUMNS = (
    "minute",
    "CPU %",
    "RSS MB",
    "max",
    "files",
    "threads",
    "disk MB",
    "ready",
    "published",
    "delivered",
    "wrong",
)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="how long the load runs (60)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="repeats the same choices")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="NAME")
    parser.add_argument("--backlog", type=int, default=BACKLOG, metavar="N", help=f"messages; 0: none ({BACKLOG})")
    parser.add_argument("--data-parent", type=Path, metavar="DIR", help="where the data directory is made")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement")
    return parser.parse_args()


class Table:
    """Prints one line per minute."""

    def __init__(self) -> None:
        self._minute: list[Sample] = []
        self._before: Sample | None = None
        print("".join(f"{column:>11}" for column in COLUMNS), flush=True)

    def add(self, sample: Sample) -> None:
        """Add a measurement."""
        if self._minute and sample.when_s // 60 > self._minute[-1].when_s // 60:
            self.end()
        self._minute.append(sample)

    def end(self) -> None:
        """Print the line of the current minute."""
        if not self._minute:
            return
        last, before = self._minute[-1], self._before or self._minute[0]
        spent_s = last.when_s - before.when_s
        cpu = 100 * (last.cpu_s - before.cpu_s) / spent_s if spent_s else 0.0
        cells = [f"{last.when_s / 60:.1f}", f"{cpu:.0f}", f"{last.memory:.1f}"]
        cells.append(f"{max(sample.memory for sample in self._minute):.1f}")
        cells += [f"{max(sample.files for sample in self._minute)}", f"{last.threads}"]
        cells.append(f"{max(sample.disk for sample in self._minute):.1f}")
        cells += [f"{last.ready}", f"{last.published}", f"{last.delivered}", f"{last.findings}"]
        print("".join(f"{cell:>11}" for cell in cells), flush=True)
        self._before = last
        self._minute = []


def report(outcome: Outcome) -> None:
    """Print the result of a run."""
    rest = outcome.rest
    print(f"\nat rest: {rest.memory:.1f} MB of memory, {rest.files} files, {rest.disk:.1f} MB on disk")
    print(", ".join(f"{what} {count}" for what, count in sorted(outcome.counts.items())))
    for verdict in outcome.verdicts:
        print(verdict)
    for finding in outcome.findings[:SHOWN]:
        print(f"{finding.kind}: {finding.text}")
    print("\n".join(["", "WRONG", *outcome.problems]) if outcome.problems else "\nnothing wrong")


def main() -> int:
    """Returns: the exit code."""
    options = parse()
    directory = Path(tempfile.mkdtemp(prefix="leveret-soak-", dir=options.data_parent))
    print(f"seed {options.seed}, data in {directory}", flush=True)
    table = Table()
    outcome = Soak(directory / "data", options.seed, options.parts, options.backlog).run(
        options.minutes * 60, table.add
    )
    table.end()
    report(outcome)
    if options.json:
        told = {"seed": options.seed, "parts": options.parts, "counts": dict(outcome.counts)}
        told["samples"] = [asdict(sample) for sample in outcome.samples]
        told["verdicts"] = [asdict(verdict) for verdict in outcome.verdicts]
        facts = {"machine": machine.description(), **told, "rest": asdict(outcome.rest), "problems": outcome.problems}
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    if not outcome.problems:
        shutil.rmtree(directory)
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
