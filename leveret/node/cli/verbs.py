"""Verbs of administration, by the broker that runs on the data directory, else on that itself, or over HTTP."""

from __future__ import annotations

import socket
from pathlib import Path

from leveret.node.cli.output import refuse
from leveret.node.cli.target import BrokerError, Link, Target, reach

NO_LEVERET = "the broker there is no Leveret, or an older one; this needs one"


def perform(target: Target, verb: str, /, **arguments: object) -> object:
    """Do a verb and return what it answers; a refusal ends the command with its reason and status 1."""
    if target.is_remote:
        return _perform_remotely(target, verb, arguments)

    def ask(client: socket.socket) -> object:
        with Link(client) as link:
            try:
                return link.ask(verb, arguments)
            except BrokerError as error:
                refuse(f"{error}, then see with a list what was done" if error.is_gone else str(error))

    def do_offline(directory: Path) -> object:
        from leveret.node import offline

        return offline.perform(directory, verb, arguments)

    return reach(target, ask, do_offline)


def _perform_remotely(target: Target, verb: str, arguments: dict[str, object]) -> object:
    from leveret.node.cli.asking import broker_at, path

    with broker_at(target) as broker:
        reply = broker.do("POST", path("leveret", "verbs", verb), arguments, missing=NO_LEVERET)
        return broker.read(reply)["result"]
