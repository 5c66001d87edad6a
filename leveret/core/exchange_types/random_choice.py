"""x-random and x-local-random: each message to one random binding.

x-local-random accepts only classic queues, with an empty binding key; as long as all queues of a broker are on one
node, all of them are local. Source: rabbit_exchange_type_random.erl, rabbit_exchange_type_local_random.erl.
"""

from __future__ import annotations

from leveret.core.errors.refusals import UNFIT, Refusal
from leveret.core.exchange.exchange import Binding
from leveret.core.exchange.router import Router
from leveret.core.queue.surroundings import Surroundings
from leveret.wire.fields import Table
from leveret.wire.properties import BasicProperties


class RandomRouter(Router):
    """All bindings."""

    def __init__(self) -> None:
        super().__init__(varies=True)
        self._all: list[Binding] = []
        self._broker: Surroundings | None = None

    def configure(self, arguments: Table, broker: Surroundings) -> None:
        """Use the broker's random numbers, which are reproducible in tests."""
        self._broker = broker

    def add(self, binding: Binding) -> None:
        """Add a binding."""
        self._all.append(binding)

    def remove(self, binding: Binding) -> None:
        """Remove a binding."""
        self._all.remove(binding)

    def match(self, key: str, properties: BasicProperties) -> list[Binding]:
        """A random one, if there are any."""
        if not self._all:
            return []
        assert self._broker is not None
        return [self._all[self._broker.chance(len(self._all))]]


class LocalRandomRouter(RandomRouter):
    """All bindings, each of a classic queue."""

    def check(self, binding: Binding) -> None:
        """Refuse a binding key, an exchange, or a queue of another type. Raises: Refusal UNFIT."""
        if binding.key:
            raise Refusal(UNFIT, f"Non empty binding '{binding.key}' key not permitted")
        if binding.queue is None:
            raise Refusal(UNFIT, "Destination not found")
        kind = binding.queue.arguments.get("x-queue-type")
        if kind is not None and kind.text != "classic":
            text = f"Queue type rabbit_{kind.text}_queue not valid for this exchange type"
            raise Refusal(UNFIT, text)
