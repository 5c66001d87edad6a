"""Chores: work that would keep everybody waiting if it were done at once, and is done in pieces instead.

Whoever has begun it has its effect at once, as far as anybody can see; what is left is to be tidied up. The driver does
some pieces at the end of each turn of the event loop, as many as a few milliseconds allow, and looks at the sockets in
between. Chores take turns, one piece each, of about PIECE units (core/turn/work.py).
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import Final

from mypy_extensions import mypyc_attr

from leveret.core.turn.work import Share

TRIES: Final = 3  # of a chore that fails; the piece it failed at is done again


@mypyc_attr(allow_interpreted_subclasses=True)
class Chore:
    """Something that is done in pieces."""

    @abstractmethod
    def work(self) -> bool:
        """Do a piece of it. Returns: whether that was the last one.

        What it raises is told to fail(), and it is called again: it must not forget what it has not done.
        """

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """work() has failed."""

    def give_up(self) -> None:
        """It has failed too often: let go of what others wait for."""


class Chores:
    """What is still to be done."""

    __slots__ = ("_failures", "_share", "_waiting")

    def __init__(self, share: Share) -> None:
        self._share = share
        self._waiting: deque[Chore] = deque()
        self._failures: dict[Chore, int] = {}  # of those that failed and wait

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, chore: Chore) -> bool:
        """Do the first piece now, if this turn has room for it; the rest follows. Returns: whether there is no rest."""
        is_done = self._share.left > 0 and self._do(chore)
        if not is_done:
            self._waiting.append(chore)
        return is_done

    def add(self, chore: Chore) -> None:
        """Do all of it later."""
        self._waiting.append(chore)

    def hurry(self, chore: Chore) -> None:
        """Do all of a chore that waits now."""
        while not self._do(chore):
            pass

    def work(self) -> None:
        """Do one piece of the chore whose turn it is; there has to be one."""
        chore = self._waiting.popleft()
        if not self._do(chore):
            self._waiting.append(chore)

    def _do(self, chore: Chore) -> bool:
        """Do a piece of it. Returns: whether nothing more is to be done."""
        try:
            is_done = chore.work()
        except Exception as error:
            chore.fail("do a chore", error)
            failures = self._failures.pop(chore, 0) + 1
            if failures < TRIES:
                self._failures[chore] = failures
                return False
            chore.give_up()
            return True
        if self._failures:
            self._failures.pop(chore, None)
        return is_done
