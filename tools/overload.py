"""Overload a broker, and measure the latency of another client.

    python tools/overload.py
    python tools/overload.py --case purge --case import-10k --share 0.1

Every case has its own broker and a quiet client that publishes a small message and receives it again, two hundred times
a second. "longest" and "stalls" describe the event loop, from `leveret status`: the longest time that it was blocked,
and how often that exceeded 20 ms. The next columns are the round trips of the quiet client. "starved" is the time that
the broker was ready to run but other processes ran; it is part of all other times.
Exit status 1 if a case failed. See docs/performance.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from dataclasses import asdict, fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import machine
from leveret.node.node import build_name
from tests.overload.cases import CASES, run
from tests.overload.field import Found

HEADS = (
    "case",
    "took s",
    "longest ms",
    "stalls",
    "p50 ms",
    "p99 ms",
    "max ms",
    "before MB",
    "peak MB",
    "starved ms",
    "CPU s",
)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--case", action="append", choices=list(CASES), metavar="NAME", help="only this one; repeatable"
    )
    parser.add_argument("--list", action="store_true", help="print the names of all cases")
    parser.add_argument("--share", type=float, default=1.0, metavar="X", help="size of the cases (1)")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="runs of each case; the best one counts")
    parser.add_argument(
        "--nice",
        type=int,
        default=0,
        metavar="N",
        help="niceness of broker and quiet client: below 0, as root, on a machine that others use too",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement")
    return parser.parse_args()


def row(found: Found) -> str:
    """Print one row of the table."""
    cells = [str(getattr(found, each.name)) for each in fields(found)]
    return f"{cells[0]:20}" + "".join(f"{cell:>11}" for cell in cells[1:])


def main() -> int:
    """Returns: the exit code."""
    options = parse()
    if options.list:
        print(*CASES, sep="\n")
        return 0
    print(", ".join(f"{key} {value}" for key, value in machine.description().items()), build_name(), flush=True)
    print(f"{HEADS[0]:20}" + "".join(f"{head:>11}" for head in HEADS[1:]), flush=True)
    if options.nice:
        with contextlib.suppress(OSError):  # not on this kernel
            Path("/proc/self/autogroup").write_text(str(options.nice))
    every: list[Found] = []
    wrong = 0
    for name in options.case or CASES:
        runs: list[Found] = []
        for _ in range(options.repeat):
            try:
                found, code = run(name, options.share, options.nice)
            except (AssertionError, OSError) as error:
                print(f"{name}: {type(error).__name__}: {error}", flush=True)
                wrong += 1
                continue
            runs.append(found)
            if code != 0:
                print(f"{name}: the broker ended with status {code}", flush=True)
                wrong += 1
        every += runs
        if runs:
            print(row(min(runs, key=lambda found: found.longest_ms)), flush=True)
    if options.json:
        told = {"machine": machine.description(), "share": options.share, "runs": [asdict(found) for found in every]}
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
