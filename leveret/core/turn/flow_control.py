"""FlowControl: flow control, which slows down publishers that are faster than the consumers of a queue.

A publisher may put CREDIT messages into queues that lag behind. Then its socket is not read until one of the queues
has delivered that many messages, or all it has, or until a timeout: PATIENCE_MS if the queue hardly drains,
MAX_PATIENCE_MS in any case. So a slow consumer does not block publishers, as deep backlogs are normal, and a fast one
is kept busy. No other client waits. Publishers that wait for the same queue share the credit.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import Final

from mypy_extensions import i64

from leveret.core.turn.clock import Timed

LAG: Final = 1000  # ready messages from which on a queue lags behind
CREDIT: Final = 2000  # messages that a connection may put into lagging queues before it has to wait
LEAST_CREDIT: Final = 100  # the smallest share of the credit when many publishers wait
PATIENCE_MS: Final = 10
PROGRESS: Final = 250  # messages delivered in PATIENCE_MS that show that the queue drains
MAX_PATIENCE_MS: Final = 100


class FlowControlled(Timed):
    """A publisher that flow control can pause."""

    @abstractmethod
    def resume(self) -> None:
        """Read from the socket again."""


class FlowControl:
    """The publishers that wait for one queue."""

    __slots__ = ("_goal", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, FlowControlled]] | None = (
            None  # delivered count at which each continues, ascending
        )
        self._goal: i64 = 0

    def wait(self, publisher: FlowControlled, delivered: i64, count: i64) -> i64:
        """Pause a publisher that has put in count messages, until that many more are delivered than others wait for.

        Returns: how many it may put in before it has to wait again.
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
        """The publisher no longer waits."""
        if self._waiting is not None:
            self._waiting = deque([entry for entry in self._waiting if entry[1] is not publisher])

    def progress(self, delivered: i64, left: i64) -> None:
        """Resume publishers. delivered: messages delivered so far. left: ready messages; with 0 all resume."""
        waiting = self._waiting
        while waiting and (left == 0 or waiting[0][0] <= delivered):
            publisher = waiting.popleft()[1]
            try:
                publisher.resume()
            except Exception as error:
                publisher.fail("go on reading", error)
