"""Where what commands print goes to: a pipe that nobody reads, a full disk, nothing at all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.command_line import good, process, surroundings
from tests.clients.waiting import eventually

PATIENCE_S = 60
FULL = "leveret: cannot write to standard output: No space left on device\n"
COMMANDS = [
    ("--help",),
    ("--version",),
    ("users", "--help"),
    ("users", "list"),
    ("users", "list", "--json"),
    ("users", "add", "bob", "secret"),
    ("definitions", "export"),
    ("status",),
    ("check",),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory that no broker uses."""
    directory = tmp_path / "data"
    good(process("vhosts", "add", "v", "--data-dir", str(directory)))
    return directory


def told(
    arguments: tuple[str, ...], data: Path, stdout: int, prepare: Callable[[], None] | None = None
) -> tuple[int, str]:
    """Run a command. Returns: its status, and what it said on standard error."""
    result = subprocess.run(
        [sys.executable, "-m", "leveret", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env=surroundings(LEVERET_DATA_DIR=str(data), NO_COLOR="1"),
        preexec_fn=prepare,
    )
    return result.returncode, result.stderr


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_full_disk_is_said(arguments: tuple[str, ...], data: Path) -> None:
    with open("/dev/full", "w") as full:
        status, stderr = told(arguments, data, full.fileno())
    if arguments == ("status",):  # which has nothing to print there, since no broker runs
        assert status == 1
    else:
        assert (status, stderr) == (1, FULL)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_nobody_who_reads_is_no_reason_to_complain(arguments: tuple[str, ...], data: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        status, stderr = told(arguments, data, writing)
    finally:
        os.close(writing)
    assert status == 1
    assert stderr == "" or arguments == ("status",)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_there_is_no_standard_output(arguments: tuple[str, ...], data: Path) -> None:
    status, stderr = told(arguments, data, subprocess.DEVNULL, lambda: os.close(1))
    assert "Traceback" not in stderr
    assert status == (1 if arguments == ("status",) else 0)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1), (0, 1, 2)], ids=str)
def test_a_broker_serves_whatever_streams_there_are(closed: tuple[int, ...], tmp_path: Path) -> None:
    def close() -> None:
        for number in closed:
            os.close(number)

    with subprocess.Popen(
        [sys.executable, "-m", "leveret", "serve", "--port", "0", "--data-dir", str(tmp_path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=close,
    ) as broker:
        eventually(lambda: process("status", "--data-dir", str(tmp_path)).returncode == 0, PATIENCE_S)
        broker.terminate()
        assert broker.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("is_full", [True, False])
def test_a_broker_whose_ready_line_cannot_be_printed_serves(is_full: bool, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with (
        open("/dev/full", "w") as full,
        open(tmp_path / "log", "w") as log,
        subprocess.Popen(
            [sys.executable, "-m", "leveret", "serve", "--port", "0", "--data-dir", str(tmp_path)],
            stdin=subprocess.DEVNULL,
            stdout=full.fileno() if is_full else writing,
            stderr=log,
        ) as broker,
    ):
        os.close(writing)
        eventually(lambda: process("status", "--data-dir", str(tmp_path)).returncode == 0, PATIENCE_S)
        broker.terminate()
        assert broker.wait(PATIENCE_S) == 0
    lines = (tmp_path / "log").read_text().splitlines()
    assert sum("cannot print that the broker is ready" in line for line in lines) == 1
