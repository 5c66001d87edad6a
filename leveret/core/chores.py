"""Chores: work that would keep everybody waiting if it were done at once, and is done in pieces instead.

Whoever has begun it has its effect at once, as far as anybody can see; what is left is to be tidied up. The driver does
some pieces at the end of each turn of the event loop, as many as a few milliseconds allow, and looks at the sockets in
between. Chores take turns, one piece each.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import Final

from mypy_extensions import mypyc_attr

PIECE: Final = 500  # messages, or something that costs as much: some hundred microseconds


@mypyc_attr(allow_interpreted_subclasses=True)
class Chore:
    """Something that is done in pieces."""

    @abstractmethod
    def work(self) -> bool:
        """Do a piece of it. Returns: whether that was the last one."""


class Chores:
    """What is still to be done."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[Chore] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, chore: Chore) -> bool:
        """Do the first piece now; the rest follows. Returns: whether there is no rest."""
        is_done = chore.work()
        if not is_done:
            self._waiting.append(chore)
        return is_done

    def add(self, chore: Chore) -> None:
        """Do all of it later."""
        self._waiting.append(chore)

    def work(self) -> None:
        """Do one piece of the chore whose turn it is; there has to be one."""
        chore = self._waiting.popleft()
        if not chore.work():
            self._waiting.append(chore)
