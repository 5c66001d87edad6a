"""Faults: what fails inside the broker stays where it is.

Whoever calls on behalf of many (the loop that pumps queues, runs timers and jobs, pays confirms, tells the news of
the log) catches what one of them raises, and gives it to that one's fail(). So the others go on, and the guilty one is
set aside: a connection is closed with 541, a queue is faulty until somebody repairs it (core/queue/queue.py). What is
nobody's is the broker's own. Every fault is told to the operator, by the driver, with its traceback.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from mypy_extensions import trait

MAX_TOLD: Final = 100  # faults that wait to be told; more of them in one turn are left out


def sentence(error: BaseException) -> str:
    """An exception in a few words."""
    return f"{type(error).__name__}: {error}"[:500]


class Fault:
    """Something that failed. who: it was done for. doing: what was done, as in "cannot deliver messages"."""

    __slots__ = ("doing", "error", "who")

    def __init__(self, who: str, doing: str, error: BaseException) -> None:
        self.who = who
        self.doing = doing
        self.error = error

    def __str__(self) -> str:
        return f"{self.who}: cannot {self.doing}: {sentence(self.error)}"


@trait
class Closable:
    """A connection for which something may fail."""

    @abstractmethod
    def close_failed(self) -> None:
        """Close it with connection.close 541, since something that was done for it has failed."""


class Remedy:
    """What sets something right that has failed."""

    @abstractmethod
    def apply(self) -> None:
        """Do it, when what is going on now is through."""


class Faults:
    """Of one broker. told: those that the operator has not heard of yet; the driver takes them."""

    def __init__(self) -> None:
        self.told: list[Fault] = []
        self._counts: dict[str, int] = {}  # of the broker's own
        self._closing: list[Closable] = []
        self._remedies: list[Remedy] = []

    def tell(self, who: str, doing: str, error: BaseException) -> None:
        """Let the operator know. For what is set aside afterwards, so that it cannot be said again and again."""
        if len(self.told) < MAX_TOLD:
            self.told.append(Fault(who, doing, error))

    def own(self, doing: str, error: BaseException) -> None:
        """Something of the broker itself failed, which will be tried again: told the 1st, 2nd, 4th, 8th... time."""
        count = self._counts.get(doing, 0) + 1
        self._counts[doing] = count
        if count & (count - 1) == 0:
            self.tell("the broker", doing if count == 1 else f"{doing} (for the {count}th time)", error)

    def close(self, client: Closable) -> None:
        """Close a connection for which something failed, when what is going on now is through."""
        self._closing.append(client)

    def set_right(self, remedy: Remedy) -> None:
        """Apply a remedy when what is to be closed is."""
        self._remedies.append(remedy)

    def is_settled(self) -> bool:
        """Whether settle() has nothing to do."""
        return not self._closing and not self._remedies

    def settle(self) -> None:
        """Close what is to be closed, and set right what can be."""
        closing, self._closing = self._closing, []
        for client in closing:
            try:
                client.close_failed()
            except Exception as error:
                self.own("close a connection", error)
        remedies, self._remedies = self._remedies, []
        for remedy in remedies:
            remedy.apply()
