"""Where a verb is done: by the broker that runs on the data directory, else on the data directory itself."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Annotated

import typer

from leveret.node import control as control_socket
from leveret.node.cli.output import refuse
from leveret.node.config import ConfigError, load
from leveret.node.control import ControlError

START_S = 3.0  # how long a broker may take from opening its data to its control socket

DataDir = Annotated[
    str | None, typer.Option("--data-dir", help="Data directory of the broker, or LEVERET_DATA_DIR. [leveret-data]")
]
Control = Annotated[
    str | None, typer.Option("--control", help="Control socket of the broker, if it is not in its data directory.")
]


def perform(data_dir: str | None, control: str | None, verb: str, **arguments: object) -> object:
    """Do a verb and return what it answers; a refusal ends the command with its reason and status 1."""
    try:
        config = load(None, {"data-dir": data_dir, "control": control})
    except ConfigError as error:
        refuse(str(error))
    try:
        if config.control and not data_dir:
            return _ask_socket(Path(config.control), verb, arguments)
        return _ask_directory(Path(config.data_dir), verb, arguments)
    except ControlError as error:
        refuse(str(error))


def _ask_socket(place: Path, verb: str, arguments: dict[str, object]) -> object:
    client = control_socket.connect(place)
    if client is None:
        refuse(f"no broker listens on {place}; start one with `leveret serve --control {place}`")
    return _ask(client, verb, arguments)


def _ask_directory(directory: Path, verb: str, arguments: dict[str, object]) -> object:
    deadline = time.monotonic() + START_S
    while True:
        client = control_socket.connect(control_socket.find(directory))
        if client is not None:
            return _ask(client, verb, arguments)
        from leveret.core.administration import AdministrationError
        from leveret.node import offline
        from leveret.store.database import DirectoryInUse, StoreError

        try:
            return offline.perform(directory, verb, arguments)
        except DirectoryInUse:
            if time.monotonic() > deadline:
                refuse(
                    f"data directory '{directory}' is in use, but no broker answers there; "
                    "say where its control socket is with --control, or stop the broker and try again"
                )
        except (AdministrationError, StoreError) as error:
            refuse(str(error))
        time.sleep(0.1)


def _ask(client: socket.socket, verb: str, arguments: dict[str, object]) -> object:
    with client, client.makefile("rb") as answers:
        try:
            client.sendall(json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n")
            line = answers.readline()
        except OSError:
            line = b""
    if not line.endswith(b"\n"):
        refuse("the broker went away before it answered; look at its log, then see with a list what was done")
    answer = json.loads(line)
    if "error" in answer:
        refuse(answer["error"])
    return answer["result"]
