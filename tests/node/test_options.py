"""The options of `leveret serve`, read without the library of the command line, and its help and completion with it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from leveret.node.cli import app
from leveret.node.config import GROUPS, OPTIONS
from leveret.node.loading import ConfigError, read_options
from tests.clients.command_line import leveret


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {}),
        (["--port", "5673", "--memory"], {"port": "5673", "memory": True}),
        (["--data-dir=/var/lib/leveret", "--config", "a.toml"], {"data-dir": "/var/lib/leveret", "config": "a.toml"}),
        (["--host", "--memory"], {"host": "--memory"}),  # a value, as everywhere
        (["--host", "--help"], {"host": "--help"}),
        (["--record=a=b", "--tls-key="], {"record": "a=b", "tls-key": ""}),
        (["--port", "1", "--port", "2"], {"port": "2"}),
    ],
)
def test_options(arguments: list[str], options: dict[str, object]) -> None:
    assert read_options(arguments) == options


@pytest.mark.parametrize("arguments", [["--help"], ["--port", "5673", "--help"]])
def test_help_is_left_to_the_command_line(arguments: list[str]) -> None:
    assert read_options(arguments) is None


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        (["--prot", "1"], ['"--prot" is not an option; did you mean --port?']),
        (["--prot=1", "--memory"], ['"--prot" is not an option; did you mean --port?']),
        (["--data_dir", "x"], ['"--data_dir" is not an option; did you mean --data-dir?']),
        (["--hlep"], ['"--hlep" is not an option; did you mean --help?']),
        (["port", "--memory"], ['"port" is not an option; did you mean --port?']),
        (["5672"], ['"5672" is not an option; see `leveret serve --help`']),
        (["-p", "5672"], ['"-p" is not an option; see `leveret serve --help`']),
        (["--"], ['"--" is not an option; see `leveret serve --help`']),
        (["--port"], ["--port requires a value: a whole number from 1 to 65535, or 0 for a free port"]),
        (["--memory=yes"], ['--memory takes no value: leave out "=yes"']),
        (
            ["--prot", "1", "--jsn"],
            ['"--prot" is not an option; did you mean --port?', '"--jsn" is not an option; did you mean --json?'],
        ),
    ],
)
def test_what_is_no_option(arguments: list[str], problems: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        read_options(arguments)
    assert list(raised.value.problems) == problems


def test_the_broker_starts_without_the_libraries_of_the_command_line() -> None:
    names = (
        *("typer", "rich", "leveret.management", "leveret.node.cli", "leveret.node.tls", "difflib", "argon2"),
        "tomllib",
    )
    code = (
        "import sys, leveret.node.main, leveret.node.run as run, leveret.node.loading as loading\n"
        "run.load(loading.read_options(['--port', '0', '--memory', '--memory-budget', '64MiB']))\n"
        f"print([name for name in {names} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_help_has_every_option_in_its_group() -> None:
    result = leveret("serve", "--help", COLUMNS="200")
    assert result.returncode == 0
    places = {group: result.stdout.index(f" {group} ") for group in GROUPS}
    assert list(places.values()) == sorted(places.values())
    for declared in OPTIONS.values():
        row = next(line for line in result.stdout.splitlines() if line.startswith(f"│ {declared.option} "))
        above = [group for group in GROUPS if places[group] < result.stdout.index(row)]
        assert above[-1] == declared.setting.group, declared.option
        assert " ".join(declared.setting.help.split()[:3]) in row
        assert declared.setting.kind.metavar in row
    said = " ".join(result.stdout.replace("│", "").split())
    assert "Default: 5672." in said
    assert "Default: 16MiB." in said


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("leveret serve --log-level ", ["debug", "info", "warning", "error"]),
        ("leveret serve --log-level w", ["warning"]),
        ("leveret serve --memory-", ["--memory-budget", "--memory-high-watermark"]),
    ],
)
def test_completion(line: str, offered: list[str]) -> None:
    words = line.split(" ")
    surroundings = {
        "_LEVERET_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    result = CliRunner().invoke(app, [], env=surroundings, prog_name="leveret")
    assert result.stdout.split() == offered


def test_the_command_line_starts_it_the_same_way() -> None:
    """Through the library of the command line, which is not the way of the command leveret."""
    result = CliRunner().invoke(app, ["serve", "--memory", "--data-dir", "x", "--port", "many"], prog_name="leveret")
    assert result.exit_code == 2
    assert result.stderr == (
        'leveret: --port cannot be "many": expected a whole number from 1 to 65535, or 0 for a free port\n'
    )
