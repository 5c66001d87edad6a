"""Entry point of the command: `leveret serve` with plain options starts the broker, all else goes to the command line.

The command line of typer costs more time and memory than the broker's own start. A server needs neither help texts
nor completion, so it is not loaded for `leveret serve --name value ...`.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from leveret.node.config import read_options


def main() -> None:
    """Run the command with the arguments of the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever names are like, and whatever the terminal can show
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:]
    options = read_options(arguments[1:]) if arguments[:1] == ["serve"] else None
    if options is not None:
        from leveret.node.run import run

        path = options.pop("config", None)
        sys.exit(run(None if path is None else Path(str(path)), options))
    from leveret.node.cli import app

    app(prog_name="leveret")
