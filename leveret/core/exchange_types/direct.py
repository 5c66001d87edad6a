"""Direct: the routing key equals the binding key."""

from __future__ import annotations

from leveret.core.exchange.exchange import Binding
from leveret.core.exchange.router import Router
from leveret.wire.properties import BasicProperties


class DirectRouter(Router):
    """Bindings by key. Cost of a match: one lookup."""

    def __init__(self) -> None:
        super().__init__(every_key=True)
        self._by_key: dict[str, list[Binding]] = {}

    def add(self, binding: Binding) -> None:
        """Add a binding."""
        self._by_key.setdefault(binding.key, []).append(binding)

    def remove(self, binding: Binding) -> None:
        """Remove a binding."""
        bindings = self._by_key[binding.key]
        bindings.remove(binding)
        if not bindings:
            del self._by_key[binding.key]

    def match(self, key: str, properties: BasicProperties) -> list[Binding]:
        """The bindings with this key."""
        return self._by_key.get(key, [])
