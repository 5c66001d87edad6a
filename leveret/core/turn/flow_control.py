"""Pace: keeps publishers from running away from a queue whose consumers are at work.

A publisher may put CREDIT messages into queues that lag behind; then its socket is not read until one of the queues
has delivered as many as it put in, or all it has, or it loses patience: after PATIENCE_MS when the queue is hardly
being emptied, after MAX_PATIENCE_MS in any case. So a slow consumer does not block publishers, as a deep backlog is
nothing unusual, and a fast one is kept fed. Nobody else waits. Those who wait for one queue share the credit.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import Final

from mypy_extensions import i64

from leveret.core.turn.clock import Timed

LAG: Final = 1000  # ready messages from which on a queue lags behind
CREDIT: Final = 2000  # messages a connection may put into lagging queues before it has to wait
LEAST_CREDIT: Final = 100  # that is left of it for one of many who wait
PATIENCE_MS: Final = 10
PROGRESS: Final = 250  # messages delivered in PATIENCE_MS that show a queue being emptied
MAX_PATIENCE_MS: Final = 100


class FlowControlled(Timed):
    """A publisher that can be held back."""

    @abstractmethod
    def resume(self) -> None:
        """Go on reading."""


class Pace:
    """The publishers that wait for one queue."""

    __slots__ = ("_goal", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, FlowControlled]] | None = (
            None  # value of delivered that lets each go on, ascending
        )
        self._goal: i64 = 0

    def wait(self, publisher: FlowControlled, delivered: i64, count: i64) -> i64:
        """Hold a publisher back that has put in count messages until as many have been delivered, after others' ones.

        Returns: how many it may put in then before it waits again.
        """
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = deque()
        if not waiting:
            self._goal = delivered
        credit: i64 = max(CREDIT // (len(waiting) + 1), LEAST_CREDIT)
        self._goal += max(count, credit)
        waiting.append((int(self._goal), publisher))
        return credit

    def leave(self, publisher: FlowControlled) -> None:
        """The publisher waits no longer."""
        if self._waiting is not None:
            self._waiting = deque([entry for entry in self._waiting if entry[1] is not publisher])

    def progress(self, delivered: i64, left: i64) -> None:
        """So many messages have been delivered by now, so many are left; with none left nobody waits for more."""
        waiting = self._waiting
        while waiting and (left == 0 or waiting[0][0] <= delivered):
            publisher = waiting.popleft()[1]
            try:
                publisher.resume()
            except Exception as error:
                publisher.fail("go on reading", error)
