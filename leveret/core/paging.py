"""Paging: when the ready messages of all queues need more memory than the budget allows, most of them rest in the log.

Only what is safely there anyway can be left to it: persistent messages of durable queues. The longest lines give
first, and each keeps its head, so that consumers are served from memory; behind it a line is a list of runs, which
are fetched one by one when the head is used up. A run costs 8 bytes for each of its messages, and some 200 for itself.
What a start-up finds in the log and does not need at once rests there in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

if TYPE_CHECKING:
    from leveret.core.queue import Queue

COST: Final = 300  # bytes that a message in memory needs beside its body, about
HEAD: Final = 256  # messages that a line keeps
WORTH_IT: Final = 1 << 20  # bytes from which on a line is looked at
STEP: Final = 8 << 20  # bytes more after which it is tried again when there was too little that could go
NO_LIMIT: Final = 1 << 62
RUN_MESSAGES: Final = 256  # a run with fewer messages takes those of the next one too, if they are small
RUN_BYTES: Final = 256 << 10


class Run:
    """Messages of one line that rest together in the log.

    positions: 8 bytes for each, ascending. size: bytes of their bodies. deadline_ms: of the first one, 0 for none.
    """

    __slots__ = ("count", "deadline_ms", "positions", "size")

    def __init__(self, deadline_ms: i64) -> None:
        self.positions = b""
        self.count: i64 = 0
        self.size: i64 = 0
        self.deadline_ms: i64 = deadline_ms

    def extend(self, positions: bytes, size: i64) -> None:
        """More messages, behind the others."""
        self.positions += positions
        self.count += len(positions) // 8
        self.size += size

    def is_small(self) -> bool:
        """Whether it should be fetched together with what follows."""
        return self.count < RUN_MESSAGES and self.size < RUN_BYTES


class Budget:
    """How much memory ready messages may need. limit, used: bytes, about."""

    __slots__ = ("_enough", "limit", "used")

    def __init__(self) -> None:
        self.limit: i64 = NO_LIMIT
        self.used: i64 = 0
        self._enough: i64 = 0  # nothing is done below

    def is_over(self) -> bool:
        """Whether something should be done."""
        return self.used > self.limit and self.used > self._enough

    def relieve(self, queues: Iterable[Queue]) -> None:
        """Leave messages to the log until a fifth of the budget is free, if that can be. Cost: looks at all queues."""
        target: i64 = self.limit - self.limit // 5
        large = [(int(queue.ready.resident), queue.queue_id, queue) for queue in queues]
        for resident, _, queue in sorted(large, reverse=True):
            if self.used <= target or resident < WORTH_IT:
                break
            queue.page_out()
        self._enough = self.used + STEP if self.used > target else 0
