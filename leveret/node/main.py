"""Entry point of the command: `leveret serve` starts the broker directly, everything else uses the typer command line.

Loading typer costs more time and memory than the start of the broker itself. A server needs neither help texts nor
completion, so `leveret serve` loads it only for --help.
"""

from __future__ import annotations

import io
import signal
import sys

from leveret.node.loading import ConfigError, read_options
from leveret.node.printable import complain, heard, open_streams


def main() -> None:
    """Run the command with the arguments of the process."""
    try:
        _main()
    except KeyboardInterrupt:  # before the command started
        sys.exit(128 + signal.SIGINT)


def _main() -> None:
    open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # any name can be printed on any terminal
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:]
    if arguments[:1] == ["serve"]:
        _serve(arguments[1:])
    from leveret.node.cli import app

    with heard():
        app(prog_name="leveret")


def _serve(arguments: list[str]) -> None:
    """Serve, then end the process. Returns only if the user asked for help."""
    try:
        options = read_options(arguments)
    except ConfigError as error:
        for problem in error.problems:
            complain("leveret", problem)
        sys.exit(2)
    if options is not None:
        from leveret.node.run import run

        sys.exit(run(options))
