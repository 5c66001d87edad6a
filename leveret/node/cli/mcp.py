"""leveret mcp: a Model Context Protocol server for AI assistants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from leveret.node.cli.asking import Asker, LocalBroker, check_directory, local_link, where
from leveret.node.cli.output import refuse
from leveret.node.cli.remote import RemoteBroker
from leveret.node.cli.target import Target, at_broker


@at_broker
def mcp(
    target: Target,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Also offer tools that change something.")
    ] = False,
) -> None:
    """Run a Model Context Protocol server on standard input and output. By default, its tools change nothing.

    Requires the extra `mcp`: pip install 'leveret[mcp]'.
    """
    try:
        from leveret.node.cli.mcp_server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("leveret"):
            raise
        refuse("the SDK of the Model Context Protocol is not installed: pip install 'leveret[mcp]'")
    serve(_connector(target), allow_changes)


def _connector(target: Target) -> Callable[[], Asker]:
    """A function that connects to the target broker. Reports unusable options now, not in the first call."""
    if not target.is_remote:
        check_directory(target)
        return lambda: LocalBroker(local_link(target))
    place, ca_file = where(target)
    return lambda: RemoteBroker(place, ca_file)
