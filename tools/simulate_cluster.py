"""Simulate clusters with everything that may fail, in virtual time, and check that nobody notices.

    python tools/simulate_cluster.py                            # 100 clusters
    python tools/simulate_cluster.py --seeds 1000 --first 1
    python tools/simulate_cluster.py --seeds 1 --first 42 --trace
    python tools/simulate_cluster.py --rule session --faults flaky kill

--rule leaves out one of the rules that a cluster needs; then the simulation has to find something. A failure prints
what happened before it. Exit status 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.simulation.rules import ALL, WITHOUT
from tests.simulation.world import FAULTS, run

SHOWN = 60  # lines of a trace before a failure


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100, help="how many clusters (100)")
    parser.add_argument("--first", type=int, default=1, help="the seed of the first one (1)")
    parser.add_argument("--rule", choices=list(WITHOUT), help="the rule to leave out")
    names = [fault.__name__ for fault in FAULTS]
    parser.add_argument(
        "--faults", nargs="+", choices=names, default=[], metavar="KIND", help="only these: " + ", ".join(names)
    )
    parser.add_argument("--trace", action="store_true", help="print everything that happens")
    return parser.parse_args()


def main() -> int:
    """Returns: the exit status."""
    options = parse()
    logging.disable()
    rules = WITHOUT[options.rule] if options.rule else ALL
    counts: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    failed: list[int] = []
    began = time.monotonic()
    for seed in range(options.first, options.first + options.seeds):
        result = run(seed, rules, options.faults)
        counts += result.counts
        faults += result.faults
        if result.failure:
            failed.append(seed)
            rule = f" without rule {options.rule}" if options.rule else ""
            print(*result.trace[-SHOWN:], f"seed {seed}{rule}: {result.failure}", "", sep="\n", flush=True)
        elif options.trace:
            print(result)
    took_s = time.monotonic() - began
    print(f"{options.seeds} clusters in {took_s:.1f} s, {len(failed)} failed: {failed}")
    print(", ".join(f"{count} {what}" for what, count in sorted((counts + faults).items())))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
