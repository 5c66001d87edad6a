"""x-modulus-hash: each message to one binding, chosen by its routing key; the binding key has no effect.

It uses the hash modulo the number of bindings, so nearly every key moves when a binding is added or removed.
Source: rabbit_exchange_type_modulus_hash.erl.
"""

from __future__ import annotations

from leveret.core.exchange.exchange import Binding
from leveret.core.exchange.router import Router
from leveret.core.message.hashing import fingerprint
from leveret.wire.properties import BasicProperties


class ModulusHashRouter(Router):
    """All bindings, in the order of their destinations' names: the same order after a restart."""

    def __init__(self) -> None:
        super().__init__()
        self._all: list[Binding] = []

    def add(self, binding: Binding) -> None:
        """Add a binding."""
        self._all.append(binding)
        self._all.sort(key=_place)

    def remove(self, binding: Binding) -> None:
        """Remove a binding."""
        self._all.remove(binding)

    def match(self, key: str, properties: BasicProperties) -> list[Binding]:
        """The one binding for this key, if there is any."""
        if not self._all:
            return []
        return [self._all[int(fingerprint(key.encode("utf-8", "surrogateescape"))) % len(self._all)]]


def _place(binding: Binding) -> tuple[str, str, str]:
    return (binding.kind, binding.destination, binding.key)
