"""Router: what every type of exchange has to say."""

from __future__ import annotations

from abc import abstractmethod

from leveret.core.exchange.exchange import Binding
from leveret.core.queue.surroundings import Surroundings
from leveret.wire.fields import Table
from leveret.wire.properties import BasicProperties


class Router:
    """The bindings of one exchange, ready to be searched.

    varies: whether the result depends on more than the routing key, so that it cannot be remembered.
    every_key: whether a message is looked up with the keys in CC and BCC too, not with its routing key alone.
    compared: arguments that have to be the same when the exchange is declared again.
    """

    def __init__(self, varies: bool = False, every_key: bool = False) -> None:
        self.varies = varies
        self.every_key = every_key
        self.compared: tuple[str, ...] = ()

    def configure(self, arguments: Table, broker: Surroundings) -> None:
        """Read what the exchange was declared with. Raises: Refusal UNFIT when an argument is wrong."""

    def check(self, binding: Binding) -> None:
        """Refuse a binding that this type cannot have. Raises: Refusal UNFIT."""

    @abstractmethod
    def add(self, binding: Binding) -> None:
        """A new binding, which check() has let pass."""

    @abstractmethod
    def remove(self, binding: Binding) -> None:
        """The binding is gone."""

    @abstractmethod
    def match(self, key: str, properties: BasicProperties) -> list[Binding]:
        """The bindings that a message matches."""
