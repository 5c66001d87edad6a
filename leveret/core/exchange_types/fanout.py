"""Fanout: every binding, whatever the key."""

from __future__ import annotations

from leveret.core.exchange.exchange import Binding
from leveret.core.exchange.router import Router
from leveret.wire.properties import BasicProperties


class FanoutRouter(Router):
    """All bindings."""

    def __init__(self) -> None:
        super().__init__()
        self._all: dict[Binding, None] = {}

    def add(self, binding: Binding) -> None:
        """Add a binding."""
        self._all[binding] = None

    def remove(self, binding: Binding) -> None:
        """Remove a binding."""
        del self._all[binding]

    def match(self, key: str, properties: BasicProperties) -> list[Binding]:
        """All of them."""
        return list(self._all)
