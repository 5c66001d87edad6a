"""Perform administration verbs: through a running broker, over HTTP, or on the data directory if none is running."""

from __future__ import annotations

import socket
from pathlib import Path

from leveret.node.cli.output import refuse
from leveret.node.cli.target import BrokerError, Link, Target, reach

NO_LEVERET = "this command needs a Leveret broker of a current version"


def perform(target: Target, verb: str, /, **arguments: object) -> object:
    """Perform a verb and return its answer. A refusal ends the command with the reason and status 1."""
    if target.is_remote:
        return _perform_remotely(target, verb, arguments)

    def ask(client: socket.socket) -> object:
        with Link(client) as link:
            try:
                return link.ask(verb, arguments)
            except BrokerError as error:
                refuse(f"{error}, then list the objects to see what was done" if error.is_gone else str(error))

    def do_offline(directory: Path) -> object:
        from leveret.node import offline

        return offline.perform(directory, verb, arguments)

    return reach(target, ask, do_offline)


def _perform_remotely(target: Target, verb: str, arguments: dict[str, object]) -> object:
    from leveret.node.cli.asking import broker_at, path

    with broker_at(target) as broker:
        reply = broker.do("POST", path("leveret", "verbs", verb), arguments, missing=NO_LEVERET)
        return broker.read(reply)["result"]
