"""Asks a broker the questions of tests/api, and keeps what it answers; or compares that with what another one has.

Usage: python tools/api_record.py HOST:PORT API [--write FILE | --compare FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.api.questions import http_of, names, put_in, questions
from tests.api.scene import Place, play
from tests.api.shape import differences, shape


def record(place: Place) -> dict[str, Any]:
    """What a broker answers to each question."""
    found: dict[str, Any] = {}
    with play(place):
        known = names(http_of(place.api, "guest"))
        for question in questions():
            reply = http_of(place.api, question.user).ask(
                question.method, put_in(question.path, known), put_body(question.body)
            )
            key = str(question)
            while key in found:
                key += " again"
            found[key] = shape(reply)
    return found


def put_body(body: Any) -> Any:
    """A body as it is sent."""
    return body


def main() -> int:
    """Returns: 1 when something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("amqp")
    parser.add_argument("api")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--compare", type=Path)
    options = parser.parse_args()
    host, _, port = options.amqp.rpartition(":")
    found = record(Place(host, int(port), options.api))
    if options.write:
        options.write.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if not options.compare:
        return 0
    theirs = json.loads(options.compare.read_text(encoding="utf-8"))
    count = 0
    for question, answer in theirs.items():
        for text in differences(answer, found.get(question)):
            count += 1
            print(f"{question}: {text}")
    print(f"{len(theirs)} questions, {count} differences")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
