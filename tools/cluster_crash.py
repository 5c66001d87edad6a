"""Kill a broker that keeps everything in PostgreSQL, its database, the standby or both under load, and audit each life.

    python tools/cluster_crash.py                          # 20 strikes of each kind
    python tools/cluster_crash.py --strikes primary both --lives 50 --seed 7

Starts its own PostgreSQL with a synchronous standby. Exit status 1 if a confirmed message was lost, or came again
without being flagged. See docs/cluster.md.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.crash.kill import Victim
from tests.crash.workloads import WORKLOADS
from tests.postgres.audit import STRIKES, audit
from tests.postgres.server import Pair, programs

COLUMNS = ("kills", "published", "confirmed", "acked", "audited", "came back")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lives", type=int, default=20, help="strikes of each kind (20)")
    parser.add_argument("--load-s", type=float, default=1.0, help="seconds of load before a strike, at most (1)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="repeats the same choices")
    parser.add_argument("--strikes", nargs="+", choices=list(STRIKES), default=list(STRIKES), metavar="KIND")
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS), metavar="NAME")
    return parser.parse_args()


def main() -> int:
    """Returns: the exit status."""
    options = parse()
    place = programs()
    if place is None:
        sys.exit("there is no PostgreSQL: apt-get install postgresql")
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    pair = Pair(place)
    rows: list[tuple[str, Counter[str], int]] = []
    has_failed = False
    try:
        pair.start()
        for kind in options.strikes:
            total: Counter[str] = Counter()
            wrong = 0
            for number in range(options.lives):
                name = options.workloads[number % len(options.workloads)]
                url = pair.primary.url(pair.new_database())
                victim: Victim = audit(pair, url, STRIKES[kind], name, options.seed + number, 1, options.load_s)
                total += victim.counts
                wrong += len(victim.findings)
                for finding in victim.findings[:5]:
                    print(f"{kind}, {name}: {finding.kind}: {finding.text}", flush=True)
            rows.append((kind, total, wrong))
            has_failed = has_failed or wrong > 0
            print(f"{time.monotonic() - began:7.1f} s  {kind}: {options.lives} strikes, {wrong} findings", flush=True)
    finally:
        pair.close()
    print(f"\n{'strike':20}" + "".join(f"{column:>11}" for column in COLUMNS) + "  wrong")
    for kind, counts, wrong in rows:
        print(f"{kind:20}" + "".join(f"{counts[column]:11}" for column in COLUMNS) + f"  {wrong or 'nothing'}")
    return 1 if has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
