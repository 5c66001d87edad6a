"""Destination: an object that takes messages, and the functions that hand messages to it."""

from __future__ import annotations

from abc import abstractmethod

from leveret.core.counting.counters import QueueCounters
from leveret.core.message.confirm import AGAIN, FULL, Confirm
from leveret.core.message.message import Message


class Destination:
    """The target of a route: a queue, or another object that takes messages.

    name: empty for an object that only observes what happens to a message. fault: why it takes no messages now; empty
    when it does. deleted: it no longer exists and takes no messages; deliveries that clients still hold are void.
    deleted with a fault: it has left this node, but exists on another one.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.fault = ""
        self.deleted = False

    @abstractmethod
    def publish(self, message: Message, confirm: Confirm | None) -> None:
        """Take a message. Pay confirm at once, or once the log has a message that must be kept, or refuse it.

        If this raises, the message was not taken; hand_out() handles the error.
        """

    @abstractmethod
    def not_taken(self, error: Exception) -> None:
        """publish() has failed."""

    def counted(self) -> QueueCounters | None:
        """The counters of its messages; None without counters."""
        return None

    def not_published(self, message: Message) -> None:
        """A message that was routed here will not be published after all; may be called twice."""


def hand_out(message: Message, destinations: list[Destination], confirm: Confirm | None) -> None:
    """Put a message into all destinations. A destination that fails refuses it; the others get it."""
    for destination in destinations:
        try:
            destination.publish(message, confirm)
        except Exception as error:
            not_taken(destination, confirm, error)


def not_taken(destination: Destination, confirm: Confirm | None, error: Exception) -> None:
    """Handle a destination that has failed to take a message: it may recover after a repair, or never."""
    destination.not_taken(error)
    if confirm is not None:
        confirm.refuse(AGAIN if destination.fault else FULL)


def give_up(message: Message, destinations: list[Destination]) -> None:
    """Cancel the publish of a message that was routed to these."""
    for destination in destinations:
        destination.not_published(message)
