"""The command leveret."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from leveret import __version__

app = typer.Typer(
    help="Leveret: a message broker that every RabbitMQ client uses unchanged.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


def _fail(text: str) -> int:
    print(f"leveret: {text}", file=sys.stderr)
    return 2


def _process_start() -> float:
    """When this process began, in seconds since 1970; now where the system does not tell."""
    try:
        with open("/proc/self/stat", encoding="ascii") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        with open("/proc/uptime", encoding="ascii") as file:
            uptime_s = float(file.read().split()[0])
        return time.time() - uptime_s + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return time.time()


def _show_version(wanted: bool) -> None:
    if wanted:
        from leveret.node.node import build_name

        print(f"leveret {__version__} ({build_name()})")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and the build."),
    ] = False,
) -> None:
    """Leveret: a message broker that every RabbitMQ client uses unchanged."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [127.0.0.1]")] = None,
    port: Annotated[str | None, typer.Option(help="Port to listen on, 0 for a free one. [5672]")] = None,
    data_dir: Annotated[str | None, typer.Option(help="Directory for everything durable. [leveret-data]")] = None,
    memory: Annotated[bool | None, typer.Option("--memory", help="Keep everything in memory.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [warning]")] = None,
) -> None:
    """Run a broker until SIGTERM or Ctrl-C.

    Every option is also a setting in the TOML file and a variable: --data-dir is data-dir and LEVERET_DATA_DIR.
    """
    options: dict[str, object] = {
        "host": host,
        "port": port,
        "data-dir": data_dir,
        "memory": memory,
        "log-level": log_level,
    }
    raise typer.Exit(_serve(config, options))


def _serve(path: Path | None, options: dict[str, object]) -> int:
    from leveret.node.config import ConfigError, load

    try:
        config = load(path, options)
    except ConfigError as error:
        return _fail(str(error))
    logging.basicConfig(
        level=config.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    from leveret.node.node import StartError
    from leveret.node.node import serve as run_node
    from leveret.store.database import StoreError

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(run_node(config, _process_start()))
    except (StartError, StoreError) as error:
        return _fail(str(error))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def main() -> None:
    """Entry point of the command."""
    app(prog_name="leveret")
