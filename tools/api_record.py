"""Asks a broker the questions of tests/api, and keeps what it answers; or says where that is not what RabbitMQ answers.

Usage: python tools/api_record.py HOST:PORT API [--write FILE] [--compare FILE]

With --compare, a difference that tests/api/stated.py does not state, or a stated one that there is not, ends the
program with exit code 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.api.place import Place
from tests.api.recording import judge, read, record, write
from tests.api.scene import SHOWS_AFTER_S


def main() -> int:
    """Returns: 1 when something differs that should not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("amqp", metavar="HOST:PORT", help="where the broker listens; guest may log in from here")
    parser.add_argument("api", metavar="API", help="its HTTP API, as http://127.0.0.1:15672")
    parser.add_argument("--write", type=Path, metavar="FILE", help="keep the answers in this file")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="compare them with the answers in this file")
    parser.add_argument("--wait", type=float, default=SHOWS_AFTER_S, metavar="S", help="until statistics show")
    options = parser.parse_args()
    host, _, port = options.amqp.rpartition(":")
    found = record(Place(host, int(port), options.api), options.wait)
    if options.write:
        write(options.write, found)
    if not options.compare:
        return 0
    judgement = judge(read(options.compare), found)
    print("\n".join(judgement.unstated))
    for stated in judgement.idle:
        print(f"stated, but not so: {stated}")
    print(f"{len(found)} questions, {len(judgement.unstated)} differences, {judgement.counts.total()} stated ones")
    return 1 if judgement.unstated or judgement.idle else 0


if __name__ == "__main__":
    sys.exit(main())
