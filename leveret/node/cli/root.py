"""The command leveret itself: its version, `leveret serve`, and the nouns that can be administered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leveret import __version__
from leveret.node.cli import (
    care,
    definitions,
    limits,
    parameters,
    permissions,
    policies,
    queues,
    recording,
    status,
    topic_permissions,
    transfer,
    users,
    vhosts,
)

app = typer.Typer(
    help="Leveret: a message broker that every RabbitMQ client uses unchanged.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


app.add_typer(users.app, name="users")
app.add_typer(permissions.app, name="permissions")
app.add_typer(topic_permissions.app, name="topic-permissions")
app.add_typer(vhosts.app, name="vhosts")
app.add_typer(policies.app, name="policies")
app.add_typer(queues.app, name="queues")
app.add_typer(limits.app, name="limits")
app.add_typer(parameters.app, name="parameters")
app.add_typer(definitions.app, name="definitions")
app.add_typer(recording.app, name="recording")
app.command()(status.status)
app.command()(care.backup)
app.command()(care.check)
app.command()(transfer.export)
app.command("import")(transfer.import_messages)


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
    tls_port: Annotated[str | None, typer.Option(help="Port for TLS, 0 for a free one. [5671]")] = None,
    tls_certificate: Annotated[
        str | None, typer.Option(help="PEM file with the certificate that clients are shown. [no TLS]")
    ] = None,
    tls_key: Annotated[str | None, typer.Option(help="PEM file with its private key. [the same file]")] = None,
    tls_ca: Annotated[
        str | None, typer.Option(help="PEM file with the CAs that client certificates have to come from.")
    ] = None,
    tls_require_client_certificate: Annotated[
        bool | None,
        typer.Option("--tls-require-client-certificate", help="Refuse clients that show no certificate."),
    ] = None,
    data_dir: Annotated[str | None, typer.Option(help="Directory for everything durable. [leveret-data]")] = None,
    memory: Annotated[bool | None, typer.Option("--memory", help="Keep everything in memory.")] = None,
    ephemeral: Annotated[
        bool | None,
        typer.Option("--ephemeral", help="For tests: in memory, on a free port, until whoever has started it ends."),
    ] = None,
    json: Annotated[bool | None, typer.Option("--json", help="Print the ready line as JSON.")] = None,
    record: Annotated[
        str | None, typer.Option(help="File to write down everything that passes through the broker.")
    ] = None,
    definitions: Annotated[str | None, typer.Option(help="Definitions file to import at the start.")] = None,
    control: Annotated[
        str | None, typer.Option(help="Path of the control socket. [control.sock with the data]")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [warning]")] = None,
    loopback_users: Annotated[
        str | None, typer.Option(help="Users who may only log in from this machine, with commas. [guest]")
    ] = None,
    max_connections: Annotated[str | None, typer.Option(help="Open connections at once, 0 for any number. [0]")] = None,
    max_unauthenticated_connections: Annotated[
        str | None, typer.Option(help="Clients that have not logged in, at once. [15000]")
    ] = None,
    max_message_size: Annotated[str | None, typer.Option(help="Bytes that a message may have. [16777216]")] = None,
    consumer_timeout_ms: Annotated[
        str | None, typer.Option(help="Time for an acknowledgement, 0 for any time. [1800000]")
    ] = None,
    send_timeout_ms: Annotated[
        str | None, typer.Option(help="Time for a client to take something of what is sent, 0 for any time. [30000]")
    ] = None,
    disk_free_limit: Annotated[
        str | None, typer.Option(help="Bytes free on the disk below which publishers wait, 0 for none. [50000000]")
    ] = None,
    memory_budget: Annotated[
        str | None, typer.Option(help="Bytes for messages in memory; the rest of them rest on disk. [a quarter of RAM]")
    ] = None,
    memory_high_watermark: Annotated[
        str | None, typer.Option(help="Share of the memory above which publishers wait, 0 for none. [0.6]")
    ] = None,
) -> None:
    """Run a broker until SIGTERM or Ctrl-C.

    Every option is also a setting in the TOML file and a variable: --data-dir is data-dir and LEVERET_DATA_DIR.
    """
    options: dict[str, object] = {
        "host": host,
        "port": port,
        "tls-port": tls_port,
        "tls-certificate": tls_certificate,
        "tls-key": tls_key,
        "tls-ca": tls_ca,
        "tls-require-client-certificate": tls_require_client_certificate,
        "data-dir": data_dir,
        "memory": memory,
        "ephemeral": ephemeral,
        "json": json,
        "record": record,
        "definitions": definitions,
        "control": control,
        "log-level": log_level,
        "loopback-users": loopback_users,
        "max-connections": max_connections,
        "max-unauthenticated-connections": max_unauthenticated_connections,
        "max-message-size": max_message_size,
        "consumer-timeout-ms": consumer_timeout_ms,
        "send-timeout-ms": send_timeout_ms,
        "disk-free-limit": disk_free_limit,
        "memory-budget": memory_budget,
        "memory-high-watermark": memory_high_watermark,
    }
    from leveret.node.run import run

    raise typer.Exit(run(config, options))
