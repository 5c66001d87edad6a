"""Confirm: what one publish still waits for, and who hears of it."""

from __future__ import annotations

from abc import abstractmethod

from mypy_extensions import i64, mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class ConfirmListener:
    """Who hears about publishes: the publishing half of a client that waits for confirms."""

    @abstractmethod
    def confirmed(self, tag: i64) -> None:
        """The message is safe wherever it went."""

    @abstractmethod
    def refused(self, tag: i64) -> None:
        """At least one queue did not take the message."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """One of the calls above has failed."""


class Confirm:
    """What one publish still waits for. owed: queues that have neither stored nor refused it.

    position: where the last of them has it, once it waits for the log.
    """

    __slots__ = ("_failed", "_listener", "owed", "position", "tag")

    def __init__(self, listener: ConfirmListener, tag: i64, owed: i64) -> None:
        self._listener = listener
        self.tag: i64 = tag
        self.owed: i64 = owed
        self.position: i64 = 0
        self._failed = False

    def pay(self) -> None:
        """One queue has it safe."""
        self.owed -= 1
        if self.owed == 0:
            try:
                if self._failed:
                    self._listener.refused(self.tag)
                else:
                    self._listener.confirmed(self.tag)
            except Exception as error:
                self._listener.fail("hear of a confirm", error)

    def refuse(self) -> None:
        """One queue did not take it."""
        self._failed = True
        self.pay()
