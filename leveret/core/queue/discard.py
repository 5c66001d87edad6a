"""Litter: messages that a queue has given up all at once, and that are thrown away one by one.

Nobody can see them any more: a purge has answered, or the queue is deleted. Trims do the same to a queue that goes on,
whose head has expired or that has become too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from librt.strings import read_i64_be
from mypy_extensions import i64

from leveret.core.turn.background import Chore
from leveret.core.turn.work import PIECE, freeing

if TYPE_CHECKING:
    from leveret.core.message.budget import Run
    from leveret.core.message.message import Stored
    from leveret.core.queue.queue import Queue
    from leveret.core.queue.ready import Ready


class Litter(Chore):
    """Messages that are not their queue's any more. queue: whose log has to forget them.

    line: those that were ready. waiting: those that came back and had to wait.
    """

    def __init__(self, queue: Queue, line: Ready, waiting: list[Stored]) -> None:
        self._queue = queue
        self._line = line
        self._waiting = waiting
        self._runs: list[Run] = line.take_runs()
        self._runs.reverse()
        self._at: i64 = 0  # bytes of the last run that are done

    def work(self) -> bool:
        """Throw some away."""
        queue = self._queue
        left: i64 = PIECE
        if queue.deleted:
            self._runs = []  # the log has dropped all of the queue
        log = queue.broker.log
        while self._runs and left:
            run = self._runs[-1]
            end = min(self._at + 8 * left, len(run.positions))
            left -= (end - self._at) // 8
            while self._at < end:
                log.remove(int(run.log_id), int(read_i64_be(run.positions, self._at)))
                self._at += 8
            if end == len(run.positions):
                self._runs.pop()
                self._at = 0
        line = self._line
        while left > 0 and len(line):  # whatever rests among them needs no content to be forgotten
            stored = line.pop()
            left -= freeing(stored.message)
            if not queue.deleted:
                queue.forget(stored)
        while left > 0 and self._waiting:
            stored = self._waiting.pop()
            left -= freeing(stored.message)
            if not queue.deleted:
                queue.forget(stored)
        queue.broker.share.left -= PIECE - left
        return left > 0

    def fail(self, doing: str, error: Exception) -> None:
        """The queue has failed, if it is still there."""
        self._queue.fail(doing, error)


class Trim(Chore):
    """More of a queue has to go from its head than one call may throw away."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def work(self) -> bool:
        """Let it throw away some more; it begins another trim if that was not all."""
        if not self._queue.deleted:
            self._queue.trim()
        return True

    def fail(self, doing: str, error: Exception) -> None:
        """The queue has failed."""
        self._queue.fail(doing, error)


def trim_later(queue: Queue) -> None:
    """One call was not enough for what has to go from a queue."""
    if not queue.is_trimming:
        queue.is_trimming = True
        queue.broker.chores.add(Trim(queue))
