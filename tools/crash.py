"""Kill brokers under load, start them again, and see whether anything that was confirmed is lost.

    python tools/crash.py                        # 200 kills
    python tools/crash.py --workloads tx plain --kills 50 --seed 7

Exit code 1 when a broker did anything wrong.
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

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.crash.kill import Victim, kill
from tests.crash.ledger import Finding
from tests.crash.workloads import WORKLOADS

COLUMNS = ("kills", "published", "confirmed", "acked", "audited", "came back", "declared")
SHOWN = 20


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how often a broker is killed, in all (200)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end after so many minutes")
    parser.add_argument("--load-s", type=float, default=1.0, help="seconds of load before a kill, at most (1)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="repeats the same choices")
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS), metavar="NAME")
    parser.add_argument("--keep", action="store_true", help="keep the data directories")
    return parser.parse_args()


def print_table(rows: list[tuple[str, Counter[str], list[Finding]]], columns: tuple[str, ...]) -> None:
    """One line for each workload, and one for all."""
    total: Counter[str] = Counter()
    findings: list[Finding] = []
    for _, counts, found in rows:
        total += counts
        findings += found
    print(f"\n{'workload':12}" + "".join(f"{column:>11}" for column in columns) + "  wrong")
    for name, counts, found in [*rows, ("all", total, findings)]:
        wrong = Counter(finding.kind for finding in found)
        told = ", ".join(f"{kind} {count}" for kind, count in wrong.items()) or "nothing"
        print(f"{name:12}" + "".join(f"{counts[column]:11}" for column in columns) + f"  {told}")


def main() -> int:
    """Returns: the exit code."""
    options = parse()
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="leveret-crash-"))
    print(f"seed {options.seed}, data in {directory}", flush=True)

    def tell(victim: Victim) -> None:
        kills = victim.counts["kills"]
        print(
            f"{time.monotonic() - began:7.1f} s  {victim.workload.name}: {kills} kills, {len(victim.findings)} findings"
        )
        sys.stdout.flush()

    until = began + options.minutes * 60
    victims = kill(options.workloads, directory, options.seed, options.kills, options.load_s, until, tell)
    print_table([(victim.workload.name, victim.counts, victim.findings) for victim in victims], COLUMNS)
    findings = [finding for victim in victims for finding in victim.findings]
    for finding in findings[:SHOWN]:
        print(f"{finding.kind}: {finding.text}")
    print(f"{time.monotonic() - began:.0f} s; again with --seed {options.seed}")
    if not options.keep and not findings:
        shutil.rmtree(directory)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
