"""Runtime parameters: named values that the broker stores but does not use.

Parameters that it uses (policies, limits) are stored with the entity they concern. Those here come from a definitions
file or the command line, such as shovels and federation links, and are exported unchanged.
Source: rabbit_runtime_parameters.erl.
"""

from __future__ import annotations

import json

from leveret.core.definition.form import GLOBAL_PARAMETER, PARAMETER
from leveret.core.definition.log import DefinitionKeeper


class Parameters:
    """Values as JSON text. all: by virtual host, component and name; globals: those of no virtual host, by name."""

    def __init__(self, keeper: DefinitionKeeper) -> None:
        self._keeper = keeper
        self.all: dict[tuple[str, str, str], str] = {}
        self.globals: dict[str, str] = {}

    def put(self, vhost: str, component: str, name: str, value: str) -> None:
        """Set the parameter of a virtual host."""
        kept = value.encode()
        self.all[(vhost, component, name)] = value
        self._keeper.remember(PARAMETER, json.dumps([vhost, component, name]), kept)

    def delete(self, vhost: str, component: str, name: str) -> None:
        """Delete a parameter, if it exists."""
        if self.all.pop((vhost, component, name), None) is not None:
            self._keeper.forget(PARAMETER, json.dumps([vhost, component, name]))
        else:
            self._keeper.drop_aside(PARAMETER, vhost, component, name)

    def drop(self, vhost: str) -> None:
        """Delete all parameters of a virtual host."""
        for owner, component, name in list(self.all):
            if owner == vhost:
                self.delete(owner, component, name)

    def put_global(self, name: str, value: str) -> None:
        """Set a global parameter."""
        kept = value.encode()
        self.globals[name] = value
        self._keeper.remember(GLOBAL_PARAMETER, json.dumps([name]), kept)

    def delete_global(self, name: str) -> None:
        """Delete a global parameter, if it exists."""
        if self.globals.pop(name, None) is not None:
            self._keeper.forget(GLOBAL_PARAMETER, json.dumps([name]))
        else:
            self._keeper.drop_aside(GLOBAL_PARAMETER, name)

    def restore(self, kind: str, names: list[str], value: bytes) -> None:
        """Restore a parameter from the DefinitionLog. Raises: ValueError."""
        text = value.decode()
        json.loads(text)  # refuse now what a listing could not parse
        if kind == PARAMETER:
            self.all[(names[0], names[1], names[2])] = text
        else:
            self.globals[names[0]] = text
