"""The log: as text or JSON, and how much of each area, from the start and while the broker runs."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from leveret.core.errors.areas import AREAS
from leveret.node.kinds import Levels
from tests.brokers.process import Server

PACKAGE = Path(__file__).resolve().parent.parent.parent / "leveret"


def knock(server: Server) -> None:
    """Come as a client that speaks something else: the broker logs that at info."""
    with socket.create_connection((server.host, server.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        client.recv(100)


def entries(log: Path, is_there: Callable[[str], bool]) -> str:
    """The log, once something is in it; or after a while."""
    for _ in range(60):
        text = log.read_text()
        if is_there(text):
            break
        time.sleep(0.05)
    return text


def logs_level(control: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "leveret", "logs", "level", *words, "--control", str(control)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_an_entry_is_an_object_of_json(tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = Server.start("--memory", "--log-format", "json", "--log-level", "info", log=log)
    knock(server)
    text = entries(log, lambda text: "leveret.connection" in text)
    server.stop()
    found = [json.loads(line) for line in text.splitlines()]
    entry = next(each for each in found if each["logger"] == "leveret.connection")
    assert entry["area"] == "connection"
    assert entry["level"] in ("info", "warning")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", entry["time"])
    assert entry["message"]


def test_an_area_has_a_level_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = Server.start("--memory", "--log-level", "error,connection=debug", log=log)
    knock(server)
    text = entries(log, lambda text: "leveret.connection" in text)
    server.stop()
    assert "leveret.connection" in text


def test_an_area_can_say_less_than_all(tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = Server.start("--memory", "--log-level", "info,connection=error", log=log)
    knock(server)
    server.stop()
    assert "leveret.connection" not in log.read_text()


def test_levels_stand_in_a_table_of_the_file(tmp_path: Path) -> None:
    config, log = tmp_path / "leveret.toml", tmp_path / "log"
    config.write_text('memory = true\n[log-level]\nall = "error"\nconnection = "debug"\n')
    server = Server.start("--config", str(config), log=log)
    knock(server)
    text = entries(log, lambda text: "leveret.connection" in text)
    server.stop()
    assert "leveret.connection" in text


def test_a_level_changes_while_the_broker_runs(tmp_path: Path) -> None:
    control, log = tmp_path / "control", tmp_path / "log"
    server = Server.start("--memory", "--control", str(control), "--log-level", "error", log=log)
    knock(server)
    assert logs_level(control, "connection", "debug").stdout == "The log level of connection is now debug.\n"
    assert "leveret.connection" not in log.read_text()
    knock(server)
    assert "leveret.connection" in entries(log, lambda text: "leveret.connection" in text)
    shown = [line.split("\t")[:2] for line in logs_level(control).stdout.splitlines()]
    assert ["all", "error"] in shown
    assert ["connection", "debug"] in shown
    assert ["broker", "error"] in shown
    assert logs_level(control, "connection").stdout.splitlines()[1].startswith("connection\tdebug\t")
    logs_level(control, "connection", "default")
    assert logs_level(control, "connection").stdout.splitlines()[1].startswith("connection\terror\t")
    wrong = logs_level(control, "conection", "debug")
    assert wrong.returncode == 1
    assert wrong.stderr == "leveret: area 'conection' does not exist; did you mean 'connection'?\n"
    wrong = logs_level(control, "all", "loud")
    assert wrong.stderr == "leveret: 'loud' is not a level; choose debug, info, warning or error\n"
    server.stop()


def test_every_logger_is_an_area() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        found.update(re.findall(r'getLogger\("leveret\.(\w+)"\)', path.read_text(encoding="utf-8")))
    assert found == set(AREAS)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("info", "info"),
        ("info, connection=debug", "info,connection=debug"),
        ("connection=debug", "connection=debug"),
        ("all=info", "info"),
        ({"all": "info", "store": "error"}, "info,store=error"),
        ("", None),
        ("info,info", None),
        ("info,", None),
        ("=info", None),
        ("nothing=info", None),
        ("connection=loud", None),
        ({}, None),
        ({"store": 1}, None),
        (5, None),
    ],
)
def test_levels_are_read(given: object, kept: str | None) -> None:
    assert Levels().check(given) == kept
