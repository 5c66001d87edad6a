"""Interceptor: what an exchange does with a message before it routes it.

Most exchanges have none. Those that hold messages back, refuse some or remember them have one for each of these;
every message passes them in order, once, and only real messages do: a look-up of a route for later use does not.
"""

from __future__ import annotations

from leveret.core.exchange.exchange import Binding
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message
from leveret.wire.properties import BasicProperties


class Interceptor:
    """One of one exchange."""

    def admit(self, message: Message, properties: BasicProperties) -> list[Destination] | None:
        """Let a message pass, or say what becomes of it instead.

        Returns: None to route it on; the queues that take it in place of the exchange's bindings, none to drop it.
        """
        raise NotImplementedError

    def routed(self, queues: list[Destination]) -> list[Destination]:
        """The message that was let pass last goes to these queues. Returns: those it is to be put into, in this order.

        Those that are not real queues, but want to see what becomes of the message, have no name.
        """
        return queues

    def bound(self, binding: Binding) -> None:
        """The exchange has a new binding."""

    def open(self) -> None:
        """The exchange is declared."""

    def close(self) -> None:
        """The exchange is deleted."""
