"""The command leveret itself: its version, `leveret serve`, and the nouns that can be administered."""

from __future__ import annotations

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
    serve,
    status,
    topic_permissions,
    transfer,
    users,
    vhosts,
)
from leveret.node.printable import say

app = typer.Typer(
    help="Leveret: a message broker that every RabbitMQ client uses unchanged.",
    no_args_is_help=True,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
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
app.command(cls=serve.LongOptions)(serve.serve)
app.command()(status.status)
app.command()(care.backup)
app.command()(care.check)
app.command()(transfer.export)
app.command("import")(transfer.import_messages)


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
    """Leveret: a message broker that every RabbitMQ client uses unchanged."""
