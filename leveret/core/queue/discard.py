"""Discard: frees messages one by one that a queue has given up all at once.

They are already invisible: the purge was answered, or the queue is deleted.
"""

from __future__ import annotations

from typing import cast

from librt.strings import read_i64_be
from mypy_extensions import i64

from leveret.core.message.cost import freeing
from leveret.core.message.schedule import Schedule
from leveret.core.queue.base import BaseQueue
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.ready import Ready
from leveret.core.queue.run import Run
from leveret.core.queue.surroundings import Surroundings
from leveret.core.turn.background import BackgroundJob
from leveret.core.turn.work import PIECE


class Discard(BackgroundJob):
    """Messages that no longer belong to a queue. queue: the queue whose log still has to remove them, if any.

    line: formerly ready messages. waiting: returned messages that waited for their delay. held: messages that waited
    for their times, which the budget still counts.
    """

    def __init__(
        self,
        broker: Surroundings,
        queue: BaseQueue | None,
        line: Ready,
        waiting: list[QueueEntry],
        held: Schedule | None,
    ) -> None:
        self._broker = broker
        self._queue = queue
        self._line = line
        self._waiting = waiting
        self._held = held
        self._runs: list[Run] = line.take_runs()
        self._runs.reverse()
        self._at: i64 = 0  # bytes of the last run that are done

    def work(self) -> bool:
        """Free some of them."""
        queue = self._queue if self._queue is not None and not self._queue.deleted else None
        left: i64 = PIECE
        if queue is None:
            self._runs = []  # the log has removed the whole queue
        while queue is not None and self._runs and left:
            run = self._runs[-1]
            end = min(self._at + 8 * left, len(run.positions))
            left -= (end - self._at) // 8
            while self._at < end:
                queue.log.remove(int(run.log_id), int(read_i64_be(run.positions, self._at)))
                self._at += 8
            if end == len(run.positions):
                self._runs.pop()
                self._at = 0
        line = self._line
        while left > 0 and len(line):  # paged-out messages need not be read to be removed
            entry = line.pop()
            left -= freeing(entry.message)
            if queue is not None:
                queue.forget(entry)
        while left > 0 and self._waiting:
            entry = self._waiting.pop()
            left -= freeing(entry.message)
            if queue is not None:
                queue.forget(entry)
        held = self._held
        while left > 0 and held is not None and len(held):
            found = cast(QueueEntry, held.take(held.first()))
            left -= freeing(found.message)
            self._broker.budget.release(found.message)
            if queue is not None:
                queue.forget(found)
        self._broker.share.left -= PIECE - left
        return left > 0

    def fail(self, doing: str, error: Exception) -> None:
        """Report the fault to the queue, if it still exists."""
        if self._queue is not None:
            self._queue.fail(doing, error)
        else:
            self._broker.faults.own(doing, error)
