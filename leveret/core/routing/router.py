"""Router: what every type of exchange has to say."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from leveret.wire.fields import Table

if TYPE_CHECKING:
    from leveret.core.exchange import Binding


class Router:
    """The bindings of one exchange, ready to be searched.

    reads_headers: whether the result depends on the headers of the message and not on the routing key alone.
    """

    reads_headers: ClassVar[bool] = False

    @abstractmethod
    def add(self, binding: Binding) -> None:
        """A new binding, which check() has let pass."""

    @abstractmethod
    def remove(self, binding: Binding) -> None:
        """The binding is gone."""

    @abstractmethod
    def match(self, key: str, headers: Table) -> list[Binding]:
        """The bindings that a message matches."""

    def check(self, key: str, arguments: Table) -> None:
        """Refuse a binding that this type cannot have. Raises: AmqpError 406."""
