"""The command line, in this process or as one of its own, before a terminal of usual width that shows colours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pika
import typer
from typer.testing import CliRunner

from leveret.node.cli import app
from tests.brokers.process import Server

WIDTH = 80
TERMINAL = {"COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
COLOUR = re.compile(r"\x1b\[[\d;]*m")
COMMAND = typer.main.get_command(app)  # put together once, which takes most of the time of a command


@dataclass
class Result:
    """What a command left behind; stdout and stderr without the colours that shown has."""

    returncode: int
    stdout: str
    stderr: str
    shown: str

    def words(self) -> str:
        """What it complained of, without the frame around it and the ends of lines."""
        return " ".join(self.stderr.replace("│", "").split())


def uncoloured(text: str) -> str:
    """The text alone."""
    return COLOUR.sub("", text)


def surroundings(**env: str) -> dict[str, str]:
    """The environment of a command, with more of it."""
    return {**{name: value for name, value in os.environ.items() if name != "NO_COLOR"}, **TERMINAL, **env}


def leveret(*arguments: str, stdin: str = "", **env: str) -> Result:
    """One command, in this process."""
    status: object = 0
    environment = {"NO_COLOR": None, **TERMINAL, **env}
    with CliRunner().isolation(input=stdin, env=environment, color=True) as (stdout, stderr, _):
        try:
            COMMAND.main(arguments, prog_name="leveret")
        except SystemExit as end:
            status = end.code
        sys.stdout.flush()
        sys.stderr.flush()
        shown, complained = stdout.getvalue().decode(), stderr.getvalue().decode()
    assert isinstance(status, int)
    return _checked(status, shown, complained)


def process(*arguments: str, stdin: str = "", prepare: Callable[[], object] | None = None, **env: str) -> Result:
    """One command, as a process. prepare: what it does before it is one."""
    result = subprocess.run(
        [sys.executable, "-m", "leveret", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=surroundings(**env),
        preexec_fn=prepare,
    )
    return _checked(result.returncode, result.stdout, result.stderr)


def _checked(returncode: int, stdout: str, stderr: str) -> Result:
    """What nobody may ever be shown is not there."""
    assert "Traceback" not in stderr, stderr
    return Result(returncode, uncoloured(stdout), uncoloured(stderr), stdout + stderr)


def good(result: Result) -> str:
    """What a command that went well said."""
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def refused(result: Result) -> str:
    """The one line with which a command was refused."""
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("leveret: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("leveret: ").strip()


def login(server: Server, user: str, password: str, vhost: str = "/") -> pika.BlockingConnection:
    """A connection."""
    credentials = pika.PlainCredentials(user, password)
    return pika.BlockingConnection(pika.ConnectionParameters(server.host, server.port, vhost, credentials))
