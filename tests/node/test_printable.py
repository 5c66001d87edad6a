"""Whatever people and programs call their things, what is printed and logged is text on one line."""

from __future__ import annotations

import ast
import json
import logging
import sys
from pathlib import Path

from leveret.node import printable
from leveret.node.logs import FORMAT, OneLine
from tests.brokers.process import Server
from tests.clients.command_line import good, leveret, process

ODD = "a\x1b[31m\nb\u202e\x9b"
SHOWN = "a\\x1b[31m\\nb\\u202e\\x9b"


def test_nothing_prints_but_printable() -> None:
    root = Path(printable.__file__).parent
    found = [
        f"{path.relative_to(root)}:{node.lineno}"
        for path in sorted(root.rglob("*.py"))
        if path.name != "printable.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "typer.echo", "sys.stdout.write")
    ]
    assert found == []


def everything_odd(atomic: bool) -> str:
    """A definitions file of odd names. atomic: one with nothing wrong in it."""
    queues = [{"vhost": "/", "name": f"amq.{ODD}", "arguments": {}}]
    if not atomic:
        queues.append({"vhost": "/", "name": ODD, "arguments": {"x-max-length": -1}})
    return json.dumps({"queues": queues, ODD: []})


def test_notes_and_errors_of_an_import(tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    file.write_text(everything_odd(False))
    result = process("definitions", "import", str(file), "--data-dir", str(tmp_path / "data"))
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"note: queues[0]: queue 'amq.{SHOWN}' has a name that the broker generates; left out",
        f"note: {SHOWN}: not a section of a definitions file; ignored",
        f"error: queues[1].arguments.x-max-length: invalid arg 'x-max-length' for queue '{SHOWN}' in vhost '/': "
        "{value_negative,-1}",
        "leveret: 1 entry is wrong; all others were applied",
    ]


def test_the_refusal_of_a_start(tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    file.write_text(everything_odd(False))
    result = process("serve", "--memory", "--port", "0", "--definitions", str(file))
    assert result.returncode == 2
    assert [line for line in result.stderr.splitlines() if not line.isprintable()] == []
    assert f"for queue '{SHOWN}' in vhost" in result.stderr.splitlines()[-1]


def test_notes_at_a_start_in_the_log(tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    file.write_text(everything_odd(True))
    log = tmp_path / "log"
    assert Server.start("--memory", "--definitions", str(file), log=log).stop() == 0
    lines = log.read_text(encoding="utf-8").split("\n")
    assert [line for line in lines if not line.isprintable()] == []
    assert [line.partition(f"{file}: ")[2] for line in lines if str(file) in line] == [
        f"queues[0]: queue 'amq.{SHOWN}' has a name that the broker generates; left out",
        f"{SHOWN}: not a section of a definitions file; ignored",
    ]


def test_what_commands_say_of_names(tmp_path: Path) -> None:
    data = {"LEVERET_DATA_DIR": str(tmp_path / "data")}
    assert good(leveret("users", "add", ODD, "secret", **data)) == f"Added user '{SHOWN}'.\n"
    assert good(leveret("vhosts", "add", ODD, **data)) == f"Added virtual host '{SHOWN}'.\n"
    assert good(leveret("permissions", "set", ODD, "x", "x", "x", "--vhost", ODD, **data)) == (
        f"Set the permissions of user '{SHOWN}' in virtual host '{SHOWN}'.\n"
    )
    assert good(leveret("users", "list", **data)).splitlines()[1].startswith(f"{SHOWN}\t")
    assert json.loads(good(leveret("users", "list", "--json", **data)))[0]["name"] == ODD
    assert leveret("users", "delete", f"{ODD}!", **data).stderr == (
        f"leveret: user '{SHOWN}!' does not exist; did you mean '{SHOWN}'?\n"
    )
    assert leveret("vhosts", "delete", ODD, "--yes", **data).stdout == f"Deleted virtual host '{SHOWN}'.\n"


def test_names_in_a_configuration_file(tmp_path: Path) -> None:
    file = tmp_path / "leveret.toml"
    file.write_text('"po\\u001b[31m\\nrt" = 5\nlog-level = "\\u001b[31m"\n')
    result = process("serve", "--config", str(file))
    assert result.returncode == 2
    assert [line for line in result.stderr.splitlines() if not line.isprintable()] == []
    assert len(result.stderr.splitlines()) == 2


def test_a_traceback_quotes_nothing_that_speaks_to_the_terminal() -> None:
    try:
        raise ValueError(ODD)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "%s failed", (ODD,), sys.exc_info())
    first, *lines = OneLine(FORMAT).format(record).split("\n")
    assert first.endswith(f"x: {SHOWN} failed")
    assert lines[-1] == "b\\u202e\\x9b"
    assert lines[-2] == "ValueError: a\\x1b[31m"
    assert [line for line in lines if not line.isprintable()] == []
