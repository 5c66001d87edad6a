"""Destination: what a message can be put into, and the one way by which it gets there."""

from __future__ import annotations

from abc import abstractmethod

from leveret.core.counting.counters import QueueCounters
from leveret.core.message.confirm import AGAIN, FULL, Confirm
from leveret.core.message.message import Message


class Destination:
    """What routing leads to: a queue, or something else that takes messages.

    name: empty for what only wants to see what becomes of a message. fault: why it takes none now, empty when it does.
    deleted: it is gone, and takes none; what clients have of it is not theirs any more. With a fault: it is gone from
    here, but not from everywhere.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.fault = ""
        self.deleted = False

    @abstractmethod
    def publish(self, message: Message, confirm: Confirm | None) -> None:
        """Take a message. confirm is paid at once, or when the log has it if it must survive a restart, or refused.

        Whatever this raises, the message was not taken; that is dealt with by hand_out().
        """

    @abstractmethod
    def not_taken(self, error: Exception) -> None:
        """publish() has failed."""

    def counted(self) -> QueueCounters | None:
        """What counts its messages; None where nobody asks for that."""
        return None

    def not_published(self, message: Message) -> None:
        """A message was routed here, and will not be published after all; perhaps said twice."""


def hand_out(message: Message, destinations: list[Destination], confirm: Confirm | None) -> None:
    """Put a message into all of these. One that fails refuses it; the others get it."""
    for destination in destinations:
        try:
            destination.publish(message, confirm)
        except Exception as error:
            not_taken(destination, confirm, error)


def not_taken(destination: Destination, confirm: Confirm | None, error: Exception) -> None:
    """A destination has failed to take a message: perhaps it will not before it is repaired, perhaps never."""
    destination.not_taken(error)
    if confirm is not None:
        confirm.refuse(AGAIN if destination.fault else FULL)


def give_up(message: Message, destinations: list[Destination]) -> None:
    """A message that was routed to these is not published after all."""
    for destination in destinations:
        destination.not_published(message)
