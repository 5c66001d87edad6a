"""Interceptor: processing of a message by an exchange before routing.

Most exchanges have none. An exchange has one interceptor for each of delaying, deduplicating and remembering messages.
Every message passes them in order, once. The lookup of a route to be cached does not call them.
"""

from __future__ import annotations

from leveret.core.exchange.exchange import Binding
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message
from leveret.wire.properties import BasicProperties


class Interceptor:
    """An interceptor of one exchange."""

    def admit(self, message: Message, properties: BasicProperties) -> list[Destination] | None:
        """Process a message before routing.

        Returns: None to route it; otherwise the queues that receive it instead, an empty list to drop it.
        """
        raise NotImplementedError

    def routed(self, queues: list[Destination]) -> list[Destination]:
        """The last message that passed is routed to these queues. Returns: the destinations to use, in order.

        Destinations without a name are not queues; they only observe what happens to the message.
        """
        return queues

    def bound(self, binding: Binding) -> None:
        """The exchange has a new binding."""

    def open(self) -> None:
        """The exchange is declared."""

    def close(self) -> None:
        """The exchange is deleted."""
