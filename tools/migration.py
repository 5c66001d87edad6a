"""Migrate between brokers under load, kill brokers and command repeatedly, and count lost and duplicated messages.

    python tools/migration.py                                     # from one Leveret to another
    python tools/migration.py --rabbitmq http://guest:guest@127.0.0.1:15672 --port 5672 --control ./rabbitmq.sh
    python tools/migration.py --rabbitmq ... --back               # from Leveret to RabbitMQ

The program of --control is called with `start`, and with `pid` to print the process to kill. Exit status 1 if a message
is lost, or duplicated without a mark.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.migration.audit import total
from tests.migration.houses import House, LeveretHouse, RabbitHouse
from tests.migration.kills import Move, move_under_kills

COLUMNS = ("confirmed", "found", "lost", "doubled", "marked", "disordered")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how often something is killed (20)")
    parser.add_argument("--backlog", type=int, default=20_000, help="messages of each queue in the beginning (20000)")
    parser.add_argument("--per-s", type=int, default=200, help="messages to each queue in a second (200)")
    parser.add_argument("--window", type=int, default=1000, help="messages in flight (1000)")
    parser.add_argument("--rabbitmq", help="HTTP API of a RabbitMQ; another Leveret without it")
    parser.add_argument("--port", type=int, default=5672, help="its AMQP port")
    parser.add_argument("--control", help="the program that starts it")
    parser.add_argument("--back", action="store_true", help="from Leveret to it")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="repeats the same choices")
    return parser.parse_args()


def main() -> int:
    """Run the test."""
    options = parse()
    directory = Path(tempfile.mkdtemp(prefix="leveret-migration-"))
    began_s = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began_s:6.1f} s  {text}", flush=True)

    here = LeveretHouse(directory / "here", is_local=True)
    other: House = LeveretHouse(directory / "other")
    if options.rabbitmq:
        other = RabbitHouse(options.control, options.rabbitmq, options.port)
    source, target = (here, other) if options.back else (other, here)
    for house in (here, other):
        house.start()
        house.wait()
    move = Move(source, target, directory, options.window)
    tell(f"seed {options.seed}, {directory}")
    try:
        verdicts = move_under_kills(move, options.kills, options.seed, options.backlog, options.per_s, tell)
    finally:
        here.stop()
        other.stop()
    print(f"\n{'queue':10}" + "".join(f"{column:>12}" for column in COLUMNS))
    verdict = total(verdicts)
    for name, each in [*verdicts.items(), ("all", verdict)]:
        print(f"{name:10}" + "".join(f"{each.counts[column]:12}" for column in COLUMNS))
    report = move.reports[-1]["all_runs"]
    print(f"kills: {dict(move.kills)}; the command counts {report['moved']} moved, {report['again']} perhaps twice")
    for text in verdict.wrong:
        print(text)
    if not verdict.wrong:
        shutil.rmtree(directory)
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
