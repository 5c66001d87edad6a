"""The command `leveret`: its version, `leveret serve` and the command groups."""

from __future__ import annotations

from typing import Annotated

import typer

from leveret import __version__
from leveret.node.cli import (
    bench,
    bindings,
    clients,
    cluster,
    definitions,
    doctor,
    exchanges,
    explain,
    health,
    limits,
    logs,
    maintenance,
    mcp,
    messages,
    migrate,
    parameters,
    permissions,
    policies,
    profiles,
    recording,
    serve,
    status,
    tending,
    top,
    topic_permissions,
    users,
    vhosts,
)
from leveret.node.cli.arguments import examples
from leveret.node.printable import say

app = typer.Typer(
    help="Leveret: a message broker for existing RabbitMQ clients.",
    no_args_is_help=True,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


BROKER = "Broker"
OBJECTS = "Queues, messages and clients"
RIGHTS = "Users, permissions and policies"
DATA = "Data and definitions"

app.command(cls=serve.LongOptions, rich_help_panel=BROKER)(serve.serve)
app.command(rich_help_panel=BROKER, epilog=examples("status", "status --seconds 10 --json"))(status.status)
app.command(rich_help_panel=BROKER, epilog=examples("ping", "ping --url http://ops:secret@10.0.0.1:15672"))(health.ping)
app.command(rich_help_panel=BROKER, epilog=examples("health", "health port-listener/5672"))(health.health)
app.command(rich_help_panel=BROKER, epilog=examples("version", "version --json"))(health.version)
app.command(rich_help_panel=BROKER, epilog=examples("top", "top --sort in --interval 1", "top --once"))(top.top)
app.command(rich_help_panel=BROKER, epilog=examples("bench", "bench --messages 50000 --durable"))(bench.bench)
app.command(rich_help_panel=BROKER, epilog=examples("doctor", "doctor --config /etc/leveret.toml"))(doctor.doctor)
app.command(rich_help_panel=BROKER, epilog=examples("mcp", "mcp --profile shop --allow-changes"))(mcp.mcp)
app.add_typer(profiles.app, name="profiles", rich_help_panel=BROKER)
app.add_typer(cluster.app, name="cluster", rich_help_panel=BROKER)
app.add_typer(tending.app, name="queues", rich_help_panel=OBJECTS)
app.add_typer(exchanges.app, name="exchanges", rich_help_panel=OBJECTS)
app.add_typer(bindings.app, name="bindings", rich_help_panel=OBJECTS)
app.add_typer(messages.app, name="messages", rich_help_panel=OBJECTS)
app.command(
    rich_help_panel=OBJECTS,
    epilog=examples(
        "explain orders",
        "explain --exchange events --key order.new --user shop",
        "explain --exchange events --key order.new --header region=eu --json",
    ),
)(explain.explain)
app.add_typer(clients.connections, name="connections", rich_help_panel=OBJECTS)
app.add_typer(clients.channels, name="channels", rich_help_panel=OBJECTS)
app.add_typer(tending.consumers, name="consumers", rich_help_panel=OBJECTS)
app.add_typer(users.app, name="users", rich_help_panel=RIGHTS)
app.add_typer(permissions.app, name="permissions", rich_help_panel=RIGHTS)
app.add_typer(topic_permissions.app, name="topic-permissions", rich_help_panel=RIGHTS)
app.add_typer(vhosts.app, name="vhosts", rich_help_panel=RIGHTS)
app.add_typer(policies.app, name="policies", rich_help_panel=RIGHTS)
app.add_typer(limits.app, name="limits", rich_help_panel=RIGHTS)
app.add_typer(parameters.app, name="parameters", rich_help_panel=RIGHTS)
app.add_typer(definitions.app, name="definitions", rich_help_panel=DATA)
app.command(rich_help_panel=DATA, epilog=examples("backup /var/backups/leveret-monday"))(maintenance.backup)
app.command(rich_help_panel=DATA, epilog=examples("check", "check --data-dir /var/backups/leveret-monday"))(
    maintenance.check
)
app.command(
    rich_help_panel=DATA,
    epilog=examples(
        "migrate --from http://guest:guest@rabbit:15672 --dry-run",
        "migrate --from http://guest:guest@rabbit:15672 --follow",
        "migrate --to http://guest:guest@rabbit:15672",
    ),
)(migrate.migrate)
app.add_typer(recording.app, name="recording", rich_help_panel=DATA)
app.add_typer(logs.app, name="logs", rich_help_panel=BROKER)


def _show_version(wanted: bool) -> None:
    if wanted:
        from leveret.node.node import build_name

        say(f"leveret {__version__} ({build_name()})")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and the build."),
    ] = False,
) -> None:
    """Leveret: a message broker for existing RabbitMQ clients."""
