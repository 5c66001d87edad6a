"""Confirm: what one publish still waits for, and who hears of it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from mypy_extensions import i64

# How a message was refused. Of several queues, the greatest number counts.
DEAD: Final = 1  # the queue has no room for it, and has done with it what it does with what is too much
UNSAFE: Final = 2  # the queue has it, but only as long as the broker runs
FULL: Final = 3  # the queue has no room for it, or has failed to take it
AGAIN: Final = 4  # the queue cannot take it now, and should be offered it again


class ConfirmListener:
    """Who hears about publishes: the publishing half of a client that waits for confirms."""

    @abstractmethod
    def confirmed(self, tag: i64) -> None:
        """The message is safe wherever it went."""

    @abstractmethod
    def refused(self, tag: i64, how: int) -> None:
        """At least one queue did not take the message. how: one of the numbers above."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """One of the calls above has failed."""


class Confirm:
    """What one publish still waits for. owed: queues that have neither stored nor refused it.

    position: where the last of them has it, once it waits for the log.
    """

    __slots__ = ("_how", "_listener", "owed", "position", "tag")

    def __init__(self, listener: ConfirmListener, tag: i64, owed: i64) -> None:
        self._listener = listener
        self.tag: i64 = tag
        self.owed: i64 = owed
        self.position: i64 = 0
        self._how: i64 = 0  # it was refused; 0 for not at all

    def pay(self) -> None:
        """One queue has it safe."""
        self.owed -= 1
        if self.owed == 0:
            try:
                if self._how:
                    self._listener.refused(self.tag, int(self._how))
                else:
                    self._listener.confirmed(self.tag)
            except Exception as error:
                self._listener.fail("hear of a confirm", error)

    def refuse(self, how: int) -> None:
        """One queue did not take it. how: one of the numbers above."""
        self._how = max(self._how, i64(how))
        self.pay()
