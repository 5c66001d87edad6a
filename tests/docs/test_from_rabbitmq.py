"""docs/from-rabbitmq.md: each setting in its table exists, and each command in its table works, from top to bottom."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from leveret.node.config import SETTINGS
from tests.brokers.process import Server
from tests.clients.command_line import leveret
from tests.docs.machine import PASSWORD
from tests.docs.pages import broken_links, read

PAGE = "from-rabbitmq.md"
SOONER = {"top": ["--once"], "bench": ["--messages", "10"], "messages trace": ["--seconds", "0.1"]}
ASKED = ("users add", "users password")  # which ask for a password at a terminal


def rows(title: str) -> list[tuple[str, str]]:
    """The rows of the table below a heading: of RabbitMQ, and of Leveret."""
    section = read(PAGE).partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line.strip("| ") for line in section.splitlines() if line.startswith("| ")]
    found = [line.split(" | ") for line in lines[1:]]
    assert all(len(row) == 2 for row in found), found
    return [(row[0], row[1]) for row in found]


def test_every_setting() -> None:
    told = rows("The configuration")
    assert len(told) > 30
    for key, answer in told:
        names = re.findall(r"\[`([a-z-]+)`\]\(settings\.md#([a-z-]+)\)", answer)
        assert names or answer.startswith("none: "), key
        assert all(name == anchor and name in SETTINGS for name, anchor in names), key


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A broker of its own."""
    found = Server.start("--data-dir", str(tmp_path / "leveret-data"), "--management-port", "off")
    yield found
    found.stop()


def test_every_command(server: Server, tmp_path: Path) -> None:
    ran = 0
    with contextlib.chdir(tmp_path):
        for theirs, ours in rows("The commands"):
            commands = re.findall(r"`leveret ([^`]+)`", ours)
            assert commands or ours.startswith("none: "), theirs
            for command in commands:
                words = shlex.split(command.replace("5672", str(server.port)))
                name = " ".join(words[:2])
                if name in ASKED:
                    words.append(PASSWORD)
                result = leveret(*words, *SOONER.get(name, []), LEVERET_DATA_DIR="leveret-data")
                assert result.returncode == 0, (command, result)
                ran += 1
    assert ran > 40


def test_the_command_in_the_table_of_settings(server: Server, tmp_path: Path) -> None:
    (command,) = re.findall(r"`leveret (vhosts set [^`]+)`", read(PAGE))
    result = leveret(*shlex.split(command), "--data-dir", str(tmp_path / "leveret-data"))
    assert result.returncode == 0, result


def test_links() -> None:
    assert broken_links(PAGE) == []
