"""Background: work that would keep everybody waiting if it were done at once, and is done in pieces instead.

Whoever has begun it has its effect at once, as far as anybody can see; what is left is to be tidied up. The driver does
some pieces at the end of each turn of the event loop, as many as a few milliseconds allow, and looks at the sockets in
between. Jobs take turns, one piece each, of about PIECE units (core/turn/work.py).
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import Final

from mypy_extensions import mypyc_attr

from leveret.core.turn.work import Share

TRIES: Final = 3  # of a job that fails; the piece it failed at is done again


@mypyc_attr(allow_interpreted_subclasses=True)
class BackgroundJob:
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


class Background:
    """What is still to be done."""

    __slots__ = ("_failures", "_share", "_waiting")

    def __init__(self, share: Share) -> None:
        self._share = share
        self._waiting: deque[BackgroundJob] = deque()
        self._failures: dict[BackgroundJob, int] = {}  # of those that failed and wait

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, job: BackgroundJob) -> bool:
        """Do the first piece now, if this turn has room for it; the rest follows. Returns: whether there is no rest."""
        is_done = self._share.left > 0 and self._do(job)
        if not is_done:
            self._waiting.append(job)
        return is_done

    def add(self, job: BackgroundJob) -> None:
        """Do all of it later."""
        self._waiting.append(job)

    def hurry(self, job: BackgroundJob) -> None:
        """Do all of a job that waits now."""
        while not self._do(job):
            pass

    def work(self) -> None:
        """Do one piece of the job whose turn it is; there has to be one."""
        job = self._waiting.popleft()
        if not self._do(job):
            self._waiting.append(job)

    def _do(self, job: BackgroundJob) -> bool:
        """Do a piece of it. Returns: whether nothing more is to be done."""
        try:
            is_done = job.work()
        except Exception as error:
            job.fail("do background work", error)
            failures = self._failures.pop(job, 0) + 1
            if failures < TRIES:
                self._failures[job] = failures
                return False
            job.give_up()
            return True
        if self._failures:
            self._failures.pop(job, None)
        return is_done
