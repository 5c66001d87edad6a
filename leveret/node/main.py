"""Entry point of the command: `leveret serve` starts the broker, all else goes to the command line.

The command line of typer costs more time and memory than the broker's own start. A server needs neither help texts
nor completion, so it is only loaded for `leveret serve --help`, to show what serve can do.
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
    except KeyboardInterrupt:  # before the command has begun
        sys.exit(128 + signal.SIGINT)


def _main() -> None:
    open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever names are like, and whatever the terminal can show
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:]
    if arguments[:1] == ["serve"]:
        _serve(arguments[1:])
    from leveret.node.cli import app

    with heard():
        app(prog_name="leveret")


def _serve(arguments: list[str]) -> None:
    """Serve and end the process, unless help is asked for."""
    try:
        options = read_options(arguments)
    except ConfigError as error:
        for problem in error.problems:
            complain("leveret", problem)
        sys.exit(2)
    if options is not None:
        from leveret.node.run import run

        sys.exit(run(options))
