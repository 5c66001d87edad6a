"""docs/message-tools.md: every example on it is run, in order, and says what the page says, but for numbers."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from tests.brokers.process import Server
from tests.clients.forked import Forked
from tests.clients.waiting import eventually

PAGE = Path(__file__).parent.parent.parent / "docs" / "message-tools.md"
POISON = '{"order": {"id": "NaN", "total": null, "note": "poison"'
ID = re.compile(r"\b\d+-\d+\b")


def examples() -> Iterator[tuple[str, list[str]]]:
    """Commands of the page, each with the lines that it prints; none where the page does not show them."""
    command = ""
    lines: list[str] = []
    for line in [*PAGE.read_text(encoding="utf-8").splitlines(), ""]:
        if command and (line.startswith("    $ ") or not line.startswith("    ")):
            yield command, lines
            command = ""
        if line.startswith("    $ "):
            command, lines = line[6:], []
        elif command:
            lines.append(line[4:])


def fill(channel: Any) -> None:
    """Orders with a poison message among them, and dead letters of `work`."""
    for name in ("orders", "dead"):
        channel.queue_declare(name, durable=True)
    channel.queue_declare(
        "work", durable=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    )
    properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, headers={"x-tenant": "t3"})
    for number in range(300):
        body = POISON if number == 73 else json.dumps({"order": {"id": number, "total": number % 100}})
        channel.basic_publish("", "orders", body.encode(), properties)
    for number in range(50):
        channel.basic_publish("", "work", f'{{"job": {number}}}'.encode(), pika.BasicProperties(delivery_mode=2))
        channel.basic_reject(channel.basic_get("work")[0].delivery_tag, requeue=False)
    eventually(lambda: channel.queue_declare("dead", passive=True).method.message_count == 50)


def numberless(text: str) -> list[str]:
    """Lines whatever their numbers."""
    return [re.sub(r"\bt?\d[\d.,]*s?\b", "#", line).replace("seconds ago", "second ago") for line in text.splitlines()]


@pytest.fixture
def run() -> Iterator[Forked]:
    """Runs commands."""
    forked = Forked()
    yield forked
    assert forked.close() == ""


def test_every_example(run: Forked, tmp_path: Path) -> None:
    server = Server.start("--data-dir", str(tmp_path / "data"))
    connection = pika.BlockingConnection(pika.URLParameters(server.url))
    try:
        fill(connection.channel())
        poison = ""
        for command, lines in examples():
            program, *words = shlex.split(command)
            assert program == "leveret"
            given = [poison if ID.fullmatch(word) else word for word in words]
            outcome = run(*given, LEVERET_DATA_DIR=str(tmp_path / "data"), cwd=tmp_path)
            assert outcome.status == 0, (command, outcome)
            if lines:
                assert numberless(outcome.out + outcome.err) == numberless("\n".join(lines)), command
            if not poison:
                found = ID.search(outcome.out)
                assert found is not None
                poison = found[0]
        assert len(list(examples())) > 12
        large = (tmp_path / "large.jsonl").read_text().splitlines()
        assert len(large) <= 3
    finally:
        connection.close()
        server.stop()
