"""Fill a broker far beyond its memory budget in various ways, and measure its memory.

    python tools/memory.py
    python tools/memory.py --case unacked --case replies --share 0.5

Every case has its own broker with a budget of 20 MB. Prints the initial and the peak resident memory of its process.
Exit status 1 if the peak exceeds the budget by more than 60 MB, or a case failed. See docs/performance.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import machine
from leveret.node.node import build_name
from tests.memory.cases import BUDGET_MB, CASES, run

ROOM_MB = 60  # a broker may need this besides its budget


def main() -> int:
    """Returns: the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=list(CASES), metavar="NAME", help="only this; repeatable")
    parser.add_argument("--list", action="store_true", help="print the names of all cases")
    parser.add_argument("--share", type=float, default=1.0, metavar="X", help="size of the cases (1)")
    options = parser.parse_args()
    if options.list:
        print(*CASES, sep="\n")
        return 0
    print(", ".join(f"{key} {value}" for key, value in machine.description().items()), build_name(), flush=True)
    print(f"{'case':20}{'idle MB':>10}{'peak MB':>10}  what became of it", flush=True)
    wrong = 0
    for name in options.case or CASES:
        try:
            found = run(name, options.share)
        except (AssertionError, OSError) as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            wrong += 1
            continue
        is_over = found.peak_mb > BUDGET_MB + ROOM_MB
        wrong += is_over
        end = "  TOO MUCH" if is_over else ""
        print(f"{name:20}{found.idle_mb:10}{found.peak_mb:10}  {found.what}{end}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
