"""The command line: what can be asked of `leveret`, with help and completion."""

from __future__ import annotations

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
    loopback_users: Annotated[
        str | None, typer.Option(help="Users who may only log in from this machine, with commas. [guest]")
    ] = None,
    consumer_timeout_ms: Annotated[
        str | None, typer.Option(help="Time for an acknowledgement, 0 for any time. [1800000]")
    ] = None,
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
        "loopback-users": loopback_users,
        "consumer-timeout-ms": consumer_timeout_ms,
    }
    from leveret.node.run import run

    raise typer.Exit(run(config, options))
