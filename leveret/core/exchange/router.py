"""Router: the interface that every exchange type implements."""

from __future__ import annotations

from abc import abstractmethod

from leveret.core.exchange.exchange import Binding
from leveret.core.queue.surroundings import Surroundings
from leveret.wire.fields import Table
from leveret.wire.properties import BasicProperties


class Router:
    """Finds the bindings of one exchange that a message matches.

    varies: whether the result depends on more than the routing key, so that it cannot be cached.
    every_key: whether the routing keys in the headers CC and BCC are matched too.
    compared: names of the arguments that must be the same when the exchange is declared again.
    """

    def __init__(self, varies: bool = False, every_key: bool = False) -> None:
        self.varies = varies
        self.every_key = every_key
        self.compared: tuple[str, ...] = ()

    def configure(self, arguments: Table, broker: Surroundings) -> None:
        """Read the arguments of the exchange. Raises: Refusal UNFIT for an invalid one."""

    def check(self, binding: Binding) -> None:
        """Refuse a binding that is invalid for this type of exchange. Raises: Refusal UNFIT."""

    @abstractmethod
    def add(self, binding: Binding) -> None:
        """Add a binding that check() has accepted."""

    @abstractmethod
    def remove(self, binding: Binding) -> None:
        """Remove a binding."""

    @abstractmethod
    def match(self, key: str, properties: BasicProperties) -> list[Binding]:
        """The bindings that match a message."""
