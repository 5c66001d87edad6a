"""Shell completion of names from a running broker. It never prompts and prints no errors."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import typer

MOST = 100  # names offered


def _completer(word: str) -> Callable[[Any, str], list[str]]:
    """Completes names of one kind of object. word: its path in the API."""

    def complete(ctx: Any, incomplete: str) -> list[str]:
        from leveret.node.cli.asking import connect, path
        from leveret.node.cli.target import OPTIONS, Target

        given = {name: ctx.params.get(name) for name in OPTIONS}
        vhost = ctx.params.get("vhost")
        where = path(word, vhost) if vhost and word in ("queues", "exchanges") else path(word)
        query = {"columns": "name", "name": incomplete, "disable_stats": "true"}
        with contextlib.suppress(typer.Exit, typer.BadParameter), contextlib.redirect_stderr(io.StringIO()):
            found = connect(Target(**given)).pages(where, query, MOST)
            return [each["name"] for each in found if each["name"].startswith(incomplete)]
        return []

    return complete


of_queues = _completer("queues")
of_exchanges = _completer("exchanges")
of_vhosts = _completer("vhosts")
of_users = _completer("users")
