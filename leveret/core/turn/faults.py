"""Faults: an error inside the broker affects only the object in which it occurs.

Code that calls many objects (the loops that pump queues, run timers and jobs, pay confirms, and pass on the events of
the log) catches what one of them raises, and passes it to fail() of that object. So the others go on, and the faulty
one is isolated: a connection is closed with 541, a queue is faulty until an operator repairs it (core/queue/queue.py).
Faults without such an object belong to the broker. The driver logs every fault with its traceback.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from mypy_extensions import trait

MAX_TOLD: Final = 100  # faults that wait to be logged; further ones in the same turn are dropped


def sentence(error: BaseException) -> str:
    """An exception in one line, at most 500 characters."""
    return f"{type(error).__name__}: {error}"[:500]


class Fault:
    """One fault. who: the object it was done for. doing: the failed action, as in "cannot deliver messages"."""

    __slots__ = ("doing", "error", "who")

    def __init__(self, who: str, doing: str, error: BaseException) -> None:
        self.who = who
        self.doing = doing
        self.error = error

    def __str__(self) -> str:
        return f"{self.who}: cannot {self.doing}: {sentence(self.error)}"


@trait
class Closable:
    """A connection that can be closed after a fault."""

    @abstractmethod
    def close_failed(self) -> None:
        """Close the connection with connection.close 541, after a fault."""


class Remedy:
    """A repair after a fault."""

    @abstractmethod
    def apply(self) -> None:
        """Do the repair; called after the current call into the core."""


class Faults:
    """The faults of one broker. told: faults not logged yet; the driver takes them."""

    def __init__(self) -> None:
        self.told: list[Fault] = []
        self._counts: dict[str, int] = {}  # faults of the broker itself, by action
        self._closing: list[Closable] = []
        self._remedies: list[Remedy] = []

    def tell(self, who: str, doing: str, error: BaseException) -> None:
        """Report a fault. Only for objects that are isolated afterwards, so that it is not reported again and again."""
        if len(self.told) < MAX_TOLD:
            self.told.append(Fault(who, doing, error))

    def own(self, doing: str, error: BaseException) -> None:
        """Report a fault of the broker itself, which will try again: the 1st, 2nd, 4th, 8th... time."""
        count = self._counts.get(doing, 0) + 1
        self._counts[doing] = count
        if count & (count - 1) == 0:
            self.tell("the broker", doing if count == 1 else f"{doing} (for the {count}th time)", error)

    def close(self, client: Closable) -> None:
        """Close a connection after a fault, at the end of the current call."""
        self._closing.append(client)

    def set_right(self, remedy: Remedy) -> None:
        """Apply a remedy, after the connections are closed."""
        self._remedies.append(remedy)

    def is_settled(self) -> bool:
        """Whether settle() has nothing to do."""
        return not self._closing and not self._remedies

    def settle(self) -> None:
        """Close the connections, then apply the remedies."""
        closing, self._closing = self._closing, []
        for client in closing:
            try:
                client.close_failed()
            except Exception as error:
                self.own("close a connection", error)
        remedies, self._remedies = self._remedies, []
        for remedy in remedies:
            remedy.apply()
