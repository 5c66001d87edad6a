"""The short way to a running broker: plain options of `leveret serve`, read without the command line's library."""

from __future__ import annotations

import subprocess
import sys

import pytest

from leveret.node.config import read_options


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {}),
        (["--port", "5673", "--memory"], {"port": "5673", "memory": True}),
        (["--data-dir=/var/lib/leveret", "--config", "a.toml"], {"data-dir": "/var/lib/leveret", "config": "a.toml"}),
        (["--host", "--memory"], {"host": "--memory"}),  # a value, as the command line has it
    ],
)
def test_plain_options(arguments: list[str], options: dict[str, object]) -> None:
    assert read_options(arguments) == options


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--prot", "1"], ["--port"], ["--memory=yes"], ["5672"], ["-p", "5672"], ["--data_dir", "x"]],
)
def test_anything_else_is_left_to_the_command_line(arguments: list[str]) -> None:
    assert read_options(arguments) is None


def test_the_broker_starts_without_the_libraries_of_the_command_line() -> None:
    names = ("typer", "rich", "leveret.management", "leveret.node.cli", "leveret.node.tls", "difflib", "argon2")
    code = f"import sys, leveret.node.main, leveret.node.run; print([name for name in {names} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
