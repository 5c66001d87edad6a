"""Commands as processes, forked from one that has loaded the command line before: many in the time of a few.

    python -m tests.clients.forked

reads a Job in each line of its standard input, and answers with an Outcome.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from tests.clients.command_line import WIDTH

PATIENCE_S = 20
PLAIN = (
    "NO_COLOR",
    "FORCE_COLOR",
    "COLUMNS",
    "LEVERET_DATA_DIR",
    "LEVERET_URL",
)  # variables that a job has only if it says so
NO_PROFILES = "/proc/nothing"  # nobody can make that
ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Job:
    """One command. stdout: file, terminal (for standard error too), full, unread, none, or nothing, which is none of
    all three. env: variables beside those of the process. cwd: where it is.
    """

    words: tuple[str, ...]
    stdout: str = "file"
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = "/"


@dataclass(frozen=True)
class Outcome:
    """What became of it; out is all that a terminal has shown."""

    status: int
    out: str
    err: str


class Forked:
    """Runs jobs. way: a command that gives the process the rights it shall have."""

    def __init__(self, *way: str) -> None:
        self.way = way
        self._process = subprocess.Popen(
            [*way, sys.executable, "-m", "tests.clients.forked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def __call__(self, *words: str, stdout: str = "file", cwd: Path | str = "/", **env: str) -> Outcome:
        """Run a command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        job = Job(words, stdout, {"TERM": "xterm-256color", "XDG_CONFIG_HOME": NO_PROFILES, **env}, str(cwd))
        self._process.stdin.write(json.dumps(dataclasses.asdict(job)) + "\n")
        self._process.stdin.flush()
        return Outcome(**json.loads(self._process.stdout.readline()))

    def close(self) -> str:
        """End it. Returns: what it complained of."""
        return self._process.communicate(timeout=PATIENCE_S)[1]


def run(job: Job) -> Outcome:
    """Run a job. Does not return in the process of the command."""
    out, err = os.memfd_create("out"), os.memfd_create("err")
    watching, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, WIDTH, 0, 0))
    child = os.fork()
    if child == 0:
        os.close(watching)
        become(job, {"file": out, "terminal": terminal}.get(job.stdout), terminal if job.stdout == "terminal" else err)
        command()
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # which is how a terminal ends
        while piece := os.read(watching, 65536):
            shown += piece
    os.close(watching)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    written = [os.pread(each, 1 << 24, 0) for each in (out, err)]
    for each in (out, err):
        os.close(each)
    if job.stdout == "terminal":
        written[0] = shown.replace(b"\r\n", b"\n")
    return Outcome(status, *(each.decode(errors="replace") for each in written))


def become(job: Job, out: int | None, err: int) -> None:
    """Be a process that has just begun, with the streams of a job."""
    signal.alarm(PATIENCE_S)
    os.chdir(job.cwd)
    for name in PLAIN:
        os.environ.pop(name, None)
    os.environ.update(job.env)
    sys.argv = ["leveret", *job.words]
    if out is None:
        out = os.open("/dev/full", os.O_WRONLY)
        if job.stdout == "unread":
            reading, out = os.pipe()
            os.close(reading)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.closerange(3, 64)
    closed = {"none": (1,), "nothing": (0, 1, 2)}.get(job.stdout, ())
    for number in closed:
        os.close(number)
    sys.stdin, sys.stdout, sys.stderr = (  # None is what Python has for one that is closed
        None if number in closed else open(number, mode, closefd=False, buffering=1 if os.isatty(number) else -1)  # noqa: SIM115
        for number, mode in enumerate("rww")
    )


def command() -> NoReturn:
    """The command, and what Python does at its end, apart from taking all modules to pieces."""
    from leveret.node.main import main

    status: object = 0
    try:
        main()
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except OSError:
                traceback.print_exc()
                status = 120
    os._exit(status if isinstance(status, int) else 0 if status is None else 1)


def load() -> None:
    """Load what commands need, and put the command line together, which takes most of the time of a command."""
    for name in PLAIN:
        os.environ.pop(name, None)
    import typer
    import typer.rich_utils
    from typer.testing import CliRunner

    import leveret.auth.passwords
    import leveret.management.administration
    import leveret.management.recording
    import leveret.node.cli
    import leveret.node.main
    import leveret.node.offline
    import leveret.node.run
    import leveret.store.snapshot

    CliRunner().invoke(leveret.node.cli.app, ["users", "--help"])
    vars(leveret.node.cli)["app"] = typer.main.get_command(leveret.node.cli.app)


def serve() -> None:
    """Run one job after the other."""
    load()
    while line := sys.stdin.readline():
        print(json.dumps(dataclasses.asdict(run(Job(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    serve()
