"""Confirm: the queues that one publish waits for, and the listener to notify."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from mypy_extensions import i64

# How a message was refused. If several queues refused it, the greatest number counts.
DEAD: Final = 1  # the queue is full, and has dead-lettered it
UNSAFE: Final = 2  # the queue has it, but only in memory, until the broker stops
FULL: Final = 3  # the queue is full, or has failed to take it
AGAIN: Final = 4  # the queue cannot take it now; the message should be offered again


class ConfirmListener:
    """Receives the results of publishes: the publishing half of a client that waits for confirms."""

    @abstractmethod
    def confirmed(self, tag: i64) -> None:
        """The message is safe in all queues that it was routed to."""

    @abstractmethod
    def refused(self, tag: i64, how: int) -> None:
        """At least one queue did not take the message. how: one of the numbers above."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """One of the calls above has failed."""


class Confirm:
    """The state of one publish. owed: queues that have neither stored nor refused it.

    position: its position in the last of these queues, while it waits for the log.
    """

    __slots__ = ("_how", "_listener", "owed", "position", "tag")

    def __init__(self, listener: ConfirmListener, tag: i64, owed: i64) -> None:
        self._listener = listener
        self.tag: i64 = tag
        self.owed: i64 = owed
        self.position: i64 = 0
        self._how: i64 = 0  # how it was refused; 0 for not at all

    def pay(self) -> None:
        """One queue has stored it."""
        self.owed -= 1
        if self.owed == 0:
            try:
                if self._how:
                    self._listener.refused(self.tag, int(self._how))
                else:
                    self._listener.confirmed(self.tag)
            except Exception as error:
                self._listener.fail("handle a confirm", error)

    def refuse(self, how: int) -> None:
        """One queue did not take it. how: one of the numbers above."""
        self._how = max(self._how, i64(how))
        self.pay()
