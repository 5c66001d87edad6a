"""leveret doctor: find problems for a broker on this machine, and suggest fixes."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from leveret.core.errors.administration import AdministrationError
from leveret.node import control_path, offline
from leveret.node.cli.asking import Broker, LocalBroker
from leveret.node.cli.output import AsJson, refuse, show_findings
from leveret.node.cli.target import DataDir, Link
from leveret.node.config import Config
from leveret.node.control_path import ControlError
from leveret.node.defaults import DEFAULT_USER
from leveret.node.doctor import PROBLEM, Running, look
from leveret.node.loading import ConfigError, load
from leveret.node.printable import say_json
from leveret.store.chunk_store import StoreError

COLOURS = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def doctor(
    data_dir: DataDir = None,
    config_file: Annotated[
        str | None, typer.Option("--config", help="Settings file (TOML) of the broker. Default: LEVERET_CONFIG.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check ports, limits, disk, clock, permissions and build on this machine; exit status 1 if there is a problem.

    Works before the broker starts and while it runs.
    """
    try:
        config = load({"data-dir": data_dir, "config": config_file})
    except ConfigError as error:
        refuse(str(error))
    broker = _running(config)
    running: Running | None = None
    if broker is None:
        has_guest = None if config.cluster else _guest_offline(Path(config.data_dir))
    else:
        config = _settings_of(broker) or config
        running = _about(broker)
        has_guest = running.has_guest
        broker.close()
    found = list(look(config, running, has_guest))
    if as_json:
        say_json([msgspec.to_builtins(each) for each in found])
    else:
        show_findings([(each.status, each.check, each.text, each.advice) for each in found], COLOURS)
    if any(each.status == PROBLEM for each in found):
        raise typer.Exit(1)


def _running(config: Config) -> Broker | None:
    """The broker on this data directory, if one is running and this user may connect to it."""
    directory = Path(config.data_dir)
    place = Path(config.control) if config.control else control_path.find(directory)
    try:
        client = control_path.connect(place, None if config.trust_data_dir else place.parent)
    except ControlError:
        return None
    return None if client is None else Broker(LocalBroker(Link(client)), None)


def _settings_of(broker: Broker) -> Config | None:
    """The settings that the broker runs with."""
    reply = broker.ask("GET", "/config/effective")
    try:
        return msgspec.convert(json.loads(reply.body), Config) if reply.is_good else None
    except (ValueError, msgspec.ValidationError):
        return None


def _about(broker: Broker) -> Running:
    overview = broker.get("/overview", {"columns": "node,listeners"})
    node = broker.get("/nodes", {"columns": "os_pid"})[0]
    return Running(int(node["os_pid"]), overview["listeners"], _fits(broker.find(f"/users/{DEFAULT_USER}")))


def _guest_offline(directory: Path) -> bool | None:
    """Whether guest has the default password in a data directory; None if unknown."""
    if not directory.exists():
        return True  # the first start makes it
    if not os.access(directory, os.W_OK):
        return None
    with contextlib.suppress(AdministrationError, StoreError):
        found = offline.perform(directory, "export_definitions", {})
        assert isinstance(found, dict)
        return _fits(next((user for user in found["users"] if user["name"] == DEFAULT_USER), None))
    return None


def _fits(user: dict[str, Any] | None) -> bool:
    """Whether the user's password is the default one, the same as the name."""
    if user is None:
        return False
    from leveret.auth.passwords import fits
    from leveret.core.access.user import Credential

    own = user.get("leveret_credential")
    if own is not None:
        return fits(Credential(own["algorithm"], own["hash"]), DEFAULT_USER)
    return fits(Credential(user["hashing_algorithm"], user["password_hash"]), DEFAULT_USER)
