"""The command line, in this process or as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

import pika
from typer.testing import CliRunner

from leveret.node.cli import app
from tests.brokers.process import Server

SURROUNDINGS = {"COLUMNS": "200", "NO_COLOR": "1"}


@dataclass
class Result:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def leveret(*arguments: str, stdin: str = "", **env: str) -> Result:
    """One command, in this process."""
    result = CliRunner().invoke(app, arguments, input=stdin, env={**SURROUNDINGS, **env}, prog_name="leveret")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Result(result.exit_code, result.stdout, result.stderr)


def process(*arguments: str, stdin: str = "", **env: str) -> Result:
    """One command, as a process."""
    command = [sys.executable, "-m", "leveret", *arguments]
    surroundings = {**os.environ, **SURROUNDINGS, **env}
    result = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, check=False, env=surroundings
    )
    return Result(result.returncode, result.stdout, result.stderr)


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
