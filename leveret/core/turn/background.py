"""Background jobs: work that would block the event loop if done at once, so it is done in pieces.

The effect of a job is visible as soon as it begins; the pieces only clean up. At the end of each turn of the event
loop, the driver runs as many pieces as fit into a few milliseconds, and polls the sockets in between. Jobs take turns,
one piece each, of about PIECE units (core/turn/work.py).
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import Final

from mypy_extensions import mypyc_attr

from leveret.core.turn.work import Share

TRIES: Final = 3  # attempts before a failing job is given up; each repeats the failed piece


@mypyc_attr(allow_interpreted_subclasses=True)
class BackgroundJob:
    """Work that is done in pieces."""

    @abstractmethod
    def work(self) -> bool:
        """Do one piece. Returns: whether it was the last one.

        If it raises, fail() gets the error, and work() is called again: the job must remember what is left to do.
        """

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """work() has failed."""

    def give_up(self) -> None:
        """The job has failed too often: release what others wait for."""


class Background:
    """The queue of background jobs."""

    __slots__ = ("_failures", "_share", "_waiting")

    def __init__(self, share: Share) -> None:
        self._share = share
        self._waiting: deque[BackgroundJob] = deque()
        self._failures: dict[BackgroundJob, int] = {}  # failed attempts of jobs that wait for another one

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, job: BackgroundJob) -> bool:
        """Do the first piece now if this turn has room for it, the rest later. Returns: whether the job is done."""
        is_done = self._share.left > 0 and self._do(job)
        if not is_done:
            self._waiting.append(job)
        return is_done

    def add(self, job: BackgroundJob) -> None:
        """Do the whole job later."""
        self._waiting.append(job)

    def hurry(self, job: BackgroundJob) -> None:
        """Finish a waiting job now."""
        while not self._do(job):
            pass

    def work(self) -> None:
        """Do one piece of the next job; there must be one."""
        job = self._waiting.popleft()
        if not self._do(job):
            self._waiting.append(job)

    def _do(self, job: BackgroundJob) -> bool:
        """Do one piece. Returns: whether the job is over."""
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
