"""Record the answers of a RabbitMQ to the requests of tests/api, and compare Leveret's answers with them.

Usage: python tools/api_record.py record HOST:PORT API FILE
       python tools/api_record.py compare [--page FILE]

`record` needs an empty RabbitMQ with its management plugin, and writes a file like tests/api/rabbitmq-4.3.6.json.
`compare` starts Leveret and compares its answers with that file. Exit status 1: there is a difference that
tests/api/stated.py does not list, or a listed difference does not exist. `--page` writes the result into a section of
a documentation page.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import leveret
from tests.api.place import Place, Started
from tests.api.recording import RABBITMQ, Judgement, judge, read, record, write
from tests.api.scene import SHOWS_AFTER_S
from tests.api.stated import STATED
from tools.differential import API_HEADING

LEVERET_SHOWS_AFTER_S = 2.0


def compare() -> tuple[int, Judgement]:
    """The number of requests, and Leveret's differences."""
    theirs = read()
    with Started.start("--metrics-port", "0") as started:
        return len(theirs), judge(theirs, record(started.place, LEVERET_SHOWS_AFTER_S))


def summary(count: int, judgement: Judgement) -> Iterator[str]:
    """A summary of the result."""
    yield f"* {count} questions; {judgement.same} answers are the same."
    yield f"* {judgement.counts.total()} values differ on purpose (below)."
    yield f"* {len(judgement.unstated)} differ without a stated reason{':' if judgement.unstated else '.'}"
    yield from (f"    * {text}" for text in judgement.unstated)
    if judgement.idle:
        yield f"* {len(judgement.idle)} stated differences do not occur any more:"
        yield from (f"    * {stated.reason} ({stated.difference})" for stated in judgement.idle)


def section(count: int, judgement: Judgement) -> Iterator[str]:
    """The section of the page, line by line."""
    yield API_HEADING
    yield ""
    yield "    .venv/bin/python tools/api_record.py compare --page docs/differential.md"
    yield ""
    yield "creates the users, queues, clients and messages in Leveret that RabbitMQ had when its answers"
    yield f"were recorded, asks the same questions, and compares the answers with `tests/api/{RABBITMQ.name}`. A field"
    yield "that only Leveret has does not count as a difference."
    yield f"Its last result: {datetime.date.today().isoformat()}, Leveret {leveret.__version__}."
    yield ""
    yield from summary(count, judgement)
    yield ""
    yield "| intended difference | values |"
    yield "|---|---|"
    yield from (f"| {stated.reason} | {judgement.counts[stated]} |" for stated in STATED)


def main() -> int:
    """Returns: 1 if there are unexpected differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="keep what a RabbitMQ answers")
    recording.add_argument("amqp", metavar="HOST:PORT", help="where it listens; guest may log in from here")
    recording.add_argument("api", metavar="API", help="its HTTP API, as http://127.0.0.1:15672")
    recording.add_argument("file", type=Path, metavar="FILE", help="where to write it")
    comparing = commands.add_parser("compare", help="compare what Leveret answers with it")
    comparing.add_argument("--page", type=Path, metavar="FILE", help="write the result to this page")
    options = parser.parse_args()
    if options.command == "record":
        host, _, port = options.amqp.rpartition(":")
        write(options.file, record(Place(host, int(port), options.api), SHOWS_AFTER_S))
        return 0
    count, judgement = compare()
    print("\n".join(summary(count, judgement)))
    if options.page:
        before, _, _ = options.page.read_text(encoding="utf-8").partition(API_HEADING)
        text = "\n".join(section(count, judgement))
        options.page.write_text(f"{before.rstrip()}\n\n{text}\n", encoding="utf-8")
    return 1 if judgement.unstated or judgement.idle else 0


if __name__ == "__main__":
    sys.exit(main())
