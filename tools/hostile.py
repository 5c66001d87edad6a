"""Attack a broker with hostile clients, administrators and disks, and check its behaviour.

    python tools/hostile.py                              # one seed, everything
    python tools/hostile.py --minutes 60 --seeds 20
    python tools/hostile.py --seed 7 --only order chain  # some scenarios
    python tools/hostile.py --prove                      # with planted faults, all of which must be found

Exit status 1 for findings, or if a planted fault is not found. See docs/hostile.md.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from leveret.node.node import build_name
from tests.hostile.planting import FAULTS, prove
from tests.hostile.scenarios import SCENARIOS
from tests.hostile.siege import Siege

SHOWN = 40


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no seed after so many minutes")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other (1)")
    parser.add_argument("--seed", type=int, default=None, help="the first one; repeats the same bytes")
    parser.add_argument("--short", action="store_true", help="a sample of everything, in some twenty seconds")
    parser.add_argument("--share", type=float, default=1.0, help="of all hits and requests that there are (1)")
    parser.add_argument(
        "--only", nargs="+", choices=list(SCENARIOS), default=[], metavar="NAME", help="these scenarios"
    )
    parser.add_argument("--prove", nargs="*", choices=[[], *FAULTS], default=None, metavar="FAULT", help="plant faults")
    parser.add_argument("--quick", action="store_true", help="with --prove: only the scenarios that meet each fault")
    parser.add_argument("--list", action="store_true", help="print the names of all scenarios and planted faults")
    parser.add_argument("--keep", action="store_true", help="keep the data directories")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all findings")
    return parser.parse_args()


def attack(options: argparse.Namespace) -> int:
    """Returns: the exit code."""
    began = time.monotonic()
    first = random.randrange(1 << 20) if options.seed is None else options.seed
    directory = Path(tempfile.mkdtemp(prefix="leveret-hostile-"))
    print(f"seed {first}, {options.seeds} of them, data in {directory}, {build_name()}", flush=True)
    share = options.minutes * 60 / options.seeds
    siege = Siege(
        directory,
        lambda line: print(line, flush=True),
        is_short=options.short,
        only=options.only,
        share=options.share,
        flood_s=min(share / 2, 600.0),
    )
    ended = False
    try:
        siege.begin()
        for seed in range(first, first + options.seeds):
            if time.monotonic() - began > options.minutes * 60:
                break
            siege.run(seed)
            siege.counts["seeds"] += 1
        siege.end()
        ended = True
    except (OSError, RuntimeError, AssertionError, ValueError) as error:
        siege.tell("broken off", f"{type(error).__name__}: {error}")
    except SystemExit:  # the findings so far are reported
        siege.tell("broken off", "it was told to end")
    finally:
        siege.close()
    kinds = Counter(finding.kind for finding in siege.findings)
    print(f"\n{'':20}" + "".join(f"{name:>12}" for name in sorted(siege.counts)) + "  longest wait  findings")
    cells = "".join(f"{siege.counts[name]:12}" for name in sorted(siege.counts))
    told = ", ".join(f"{kind} {count}" for kind, count in kinds.items()) or "none"
    print(f"{'all':20}{cells}{siege.longest_s:12.2f} s  {told}")
    for finding in siege.findings[:SHOWN]:
        print(finding)
    print(f"\n{time.monotonic() - began:.0f} s; again with --seed {first} --seeds {options.seeds}", flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(finding) for finding in siege.findings], indent=1) + "\n")
    if not options.keep and not siege.findings:
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if siege.findings or not ended else 0


def main() -> int:
    """Returns: the exit code."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that processes and mounts are cleaned up
    if options.list:
        for name in SCENARIOS:
            print(f"scenario {name}")
        for name in FAULTS:
            print(f"fault {name}")
        return 0
    if options.prove is not None:
        return prove(options.prove or list(FAULTS), options.quick, lambda line: print(line, flush=True))
    return attack(options)


if __name__ == "__main__":
    sys.exit(main())
