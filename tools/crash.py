"""Kill brokers under load, simulate power loss, restart them, and check that no confirmed message is lost.

    python tools/crash.py                        # 240 kills, 240 power cuts
    python tools/crash.py --workloads tx plain --kills 50 --cuts 0 --seed 7

Exit status 1 if a broker failed, or a simulated disk with fake syncs was not detected.
See docs/durability.md.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.clients.ledger import Finding
from tests.crash.kill import Victim, kill
from tests.crash.power import LIARS, Recording, build_recorder, control, cut_power, record
from tests.crash.workloads import WORKLOADS

KILL_COLUMNS = ("kills", "published", "confirmed", "acked", "audited", "came back", "declared")
CUT_COLUMNS = ("cuts", "confirmed", "writes", "syncs", "audited")
CONTROL_CUTS = 4
SHOWN = 20

Row: TypeAlias = tuple[str, Counter[str], list[Finding]]  # workload, counts, findings


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=240, help="how often a broker is killed, in all (240)")
    parser.add_argument("--cuts", type=int, default=240, help="how often the power is cut, in all (240)")
    parser.add_argument(
        "--minutes",
        type=float,
        default=float("inf"),
        help="begin nothing new after so many minutes, half of them for kills",
    )
    parser.add_argument("--load-s", type=float, default=1.0, help="seconds of load before a kill, at most (1)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="repeats the same choices")
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS), metavar="NAME")
    parser.add_argument("--keep", action="store_true", help="keep the data directories")
    return parser.parse_args()


def print_table(rows: list[Row], columns: tuple[str, ...]) -> None:
    """Print one line per workload, and a total."""
    total: Counter[str] = Counter()
    findings: list[Finding] = []
    for _, counts, found in rows:
        total += counts
        findings += found
    print(f"\n{'workload':20}" + "".join(f"{column:>11}" for column in columns) + "  wrong")
    for name, counts, found in [*rows, ("all", total, findings)]:
        wrong = Counter(finding.kind for finding in found)
        told = ", ".join(f"{kind} {count}" for kind, count in wrong.items()) or "nothing"
        print(f"{name:20}" + "".join(f"{counts[column]:11}" for column in columns) + f"  {told}")
    for finding in findings[:SHOWN]:
        print(f"{finding.kind}: {finding.text}")
    sys.stdout.flush()


class Run:
    """One run of this program."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._began = time.monotonic()
        self._until = self._began + options.minutes * 60
        self._until_kills = self._began + options.minutes * (30 if options.cuts else 60)
        self._directory = Path(tempfile.mkdtemp(prefix="leveret-crash-"))

    def main(self) -> int:
        """Returns: the exit code."""
        options = self._options
        print(f"seed {options.seed}, data in {self._directory}", flush=True)
        rows: list[Row] = []
        is_caught = True
        if options.kills:
            rows += self._kill()
        if options.cuts:
            cut, is_caught = self._cut_power()
            rows += cut
        has_failed = not is_caught or any(findings for _, _, findings in rows)
        print(f"\n{time.monotonic() - self._began:.0f} s; again with --seed {options.seed}")
        if not options.keep and not has_failed:
            shutil.rmtree(self._directory)
        return 1 if has_failed else 0

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {text}", flush=True)

    def _kill(self) -> list[Row]:
        def tell(victim: Victim) -> None:
            self._say(f"{victim.workload.name}: {victim.counts['kills']} kills, {len(victim.findings)} findings")

        options = self._options
        directory = self._directory / "kills"
        victims = kill(
            options.workloads, directory, options.seed, options.kills, options.load_s, self._until_kills, tell
        )
        rows = [(victim.workload.name, victim.counts, victim.findings) for victim in victims]
        print_table(rows, KILL_COLUMNS)
        return rows

    def _cut_power(self) -> tuple[list[Row], bool]:
        """Returns: the rows, and whether every disk with fake syncs was detected."""
        options = self._options
        library = build_recorder(self._directory)
        rows: list[Row] = []
        controls: list[Row] = []
        for name in options.workloads:
            if time.monotonic() >= self._until:
                break
            directory = self._directory / "cuts" / name
            recording = record(WORKLOADS[name], directory, library, options.seed, 3, options.load_s)
            count = -(-options.cuts // len(options.workloads))
            findings, counts = cut_power(recording, directory / "states", options.seed, count)
            rows.append((name, counts, findings))
            self._say(f"{name}: {counts['cuts']} power cuts, {len(findings)} findings")
            controls += [self._control(recording, directory, liar) for liar in LIARS]
        print_table(rows, CUT_COLUMNS)
        is_caught = all(findings for _, _, findings in controls)
        print(f"\nControl, disks that lie about syncs: {'all found out' if is_caught else 'NOT FOUND OUT'}")
        for name, counts, findings in controls:
            print(f"{name:20}{counts['cuts']:11} cuts {len(findings):11} lost")
        return rows, is_caught

    def _control(self, recording: Recording, directory: Path, liar: str) -> Row:
        """The losses on disks with fake syncs."""
        place = directory / f"control{liar}"
        findings, counts = control(recording, place, self._options.seed, CONTROL_CUTS, liar)
        shutil.rmtree(place, ignore_errors=True)
        lost = [finding for finding in findings if finding.kind == "lost"]
        return f"{recording.workload.name}{' (log)' if liar else ''}", counts, lost


if __name__ == "__main__":
    sys.exit(Run(parse()).main())
