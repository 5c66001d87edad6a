"""Definitions for one virtual host of an embedded broker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from leveret.core.broker import Broker
from leveret.management.importing import import_definitions
from leveret.management.jobs import complete
from leveret.node.definitions_file import FileError, read

SECTIONS: Final = ("parameters", "policies", "queues", "exchanges", "bindings")


def read_definitions(definitions: str | os.PathLike[str] | Mapping[str, object]) -> Mapping[str, object]:
    """The content of definitions. Raises: ValueError."""
    if isinstance(definitions, Mapping):
        return definitions
    try:
        return read(Path(definitions))
    except FileError as error:
        raise ValueError(str(error)) from None


def of_one(definitions: Mapping[str, object]) -> dict[str, object]:
    """The definitions for the virtual host /, without its name. Raises: ValueError."""
    content: dict[str, object] = {}
    for section in SECTIONS:
        entries = definitions.get(section)
        if entries is not None:
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise ValueError(f"{section}: expected an array of objects")
            content[section] = [
                {key: value for key, value in entry.items() if key != "vhost"}
                for entry in entries
                if entry.get("vhost", "/") == "/"
            ]
    return content


def define(broker: Broker, vhost: str, definitions: Mapping[str, object]) -> None:
    """Import the definitions for the virtual host / into this virtual host. Raises: ValueError."""
    content = of_one(definitions)
    result = complete(broker, import_definitions(broker, content, vhost, atomic=True))
    assert isinstance(result, dict)
    if result["errors"]:
        raise ValueError("; ".join(f"{each['path']}: {each['reason']}" for each in result["errors"]))
