"""The memory budget: when all messages together need more memory than allowed, most of them are paged out to the log.

Everything that holds messages reports them to the Budget, which counts the content of each message once, however many
hold it. When the limit is exceeded, the Budget reclaims memory from lines (ordered lists) of ready messages, from
deliveries that wait for an ack, and from caches. Messages that cannot be paged out raise an alarm (HELD in alarms.py),
and publishers wait.

Persistent messages of durable queues are in the log anyway. Other messages are spilled to it under the negative id of
their queue, which is unknown after a restart; but not those of priority queues, whose positions would not be in order
there. The longest lines are paged out first, and each keeps its head if there is room, so that consumers are served
from memory. Behind its head a line is a list of runs, which are fetched one by one when the head is used up. A run
costs 8 bytes for each of its messages, and some 200 bytes itself. Messages that a start-up finds in the log and does
not need at once stay paged out in the same way.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Final

from mypy_extensions import i64, trait

from leveret.core.message.message import Message, at_rest

COST: Final = 300  # approximate bytes that a message in memory needs besides its content
MAX_HEAD: Final = 256  # messages in the head of a line at most
MAX_HEAD_BYTES: Final = 256 << 10  # the same
HEADS_SHARE: Final = 4  # 1/HEADS_SHARE of the budget is for the heads of all lines together
WORTH_IT: Final = 1 << 20  # lines of at least that many bytes are paged out first
PARTS: Final = 8  # 1/PARTS of the budget limits a single owner whose messages cannot be paged out
LEAST_PART: Final = 1 << 20  # the smallest such limit in bytes, however small the budget is
SLACK: Final = 8  # 1/SLACK of the budget may be exceeded before publishers wait, if messages cannot be paged out
MAX_SLACK: Final = 16 << 20
SHARE: Final = 512 << 10  # most bytes paged out per call into the core, more than a call brings in
LEAST: Final = 64 << 10  # the same, at least
WORK: Final = 3  # bytes paged out per byte that came in, which is first sent to the log and then released
STEP: Final = 64 << 10  # bytes of growth before another attempt, after one that could not free enough
NO_LIMIT: Final = 1 << 62


@trait
class Holder:
    """An object that holds messages, or caches that can be rebuilt."""

    @abstractmethod
    def release(self, want: i64) -> None:
        """Release memory. want: bytes of the budget to free."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """release() has failed."""


@trait
class Pageable:
    """A line of messages, most of which can be paged out."""

    @abstractmethod
    def resident(self) -> i64:
        """Approximate bytes that its messages in memory need."""

    @abstractmethod
    def page_out(self, keep: i64, want: i64) -> None:
        """Page out what is behind the head, if the log has it.

        keep: bytes of memory that the head may need. want: bytes of the budget to free.
        """

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """page_out() has failed."""


class Budget:
    """The memory budget for all messages. limit, used: approximate bytes."""

    __slots__ = ("_before", "_enough", "limit", "used")

    def __init__(self) -> None:
        self.limit: i64 = NO_LIMIT
        self.used: i64 = 0
        self._enough: i64 = 0  # no attempt to free memory while less than this is used
        self._before: i64 = 0  # the use after the last attempt

    def hold(self, message: Message) -> None:
        """Count another holder of a message in memory."""
        holders = message.holders
        message.holders = holders + 1
        self.used += i64(len(message.content)) + COST if holders == 0 else i64(COST)

    def release(self, message: Message) -> None:
        """Count one holder of a message less."""
        holders = message.holders - 1
        message.holders = holders
        self.used -= i64(len(message.content)) + COST if holders == 0 else i64(COST)

    def rest(self, message: Message) -> Message:
        """Page out the content of a message that the log has. Returns: the stub to keep in memory."""
        self.release(message)
        stays = at_rest(message)
        self.hold(stays)
        return stays

    def part(self) -> i64:
        """The bytes that one transaction, one history, or the replies for one requester may need."""
        return max(self.limit // PARTS, LEAST_PART)

    def is_over(self) -> bool:
        """Whether memory should be freed."""
        return self.used > self.limit and self.used > self._enough

    def is_exhausted(self) -> bool:
        """Whether publishers have to wait, since messages cannot be paged out, or not as fast as new ones arrive."""
        return self.used > self.limit + min(self.limit // SLACK, MAX_SLACK)

    def relieve(self, lines: Iterable[Pageable], others: Iterable[Holder]) -> None:
        """Free memory until a fifth of the budget is free, but not too much in one call.

        Cost: a pass over all lines, and if these do not free enough, over all others.
        """
        share: i64 = SHARE if self.is_exhausted() else min(max(WORK * (self.used - self._before), LEAST), SHARE)
        want: i64 = min(self.used - self.limit + self.limit // 5, share)
        target = self.used - want
        sizes = [(int(line.resident()), line) for line in lines]
        keep: i64 = min(MAX_HEAD_BYTES, self.limit // HEADS_SHARE // max(len(sizes), 1))
        large = [(size, line) for size, line in sizes if size >= WORTH_IT]
        self._page_out([line for _, line in sorted(large, key=_size, reverse=True)], keep, target)
        for holder in others:
            if self.used <= target:
                break
            try:
                holder.release(self.used - target)
            except Exception as error:
                holder.fail("release messages", error)
        if self.used > target:
            self._page_out([line for size, line in sizes if WORTH_IT > size > keep], keep, target)
        self._before = self.used
        self._enough = self.used + min(STEP, self.limit // 8) if self.used > target else 0

    def _page_out(self, lines: list[Pageable], keep: i64, target: i64) -> None:
        for line in lines:
            if self.used <= target:
                break
            try:
                line.page_out(keep, self.used - target)
            except Exception as error:
                line.fail("page out messages", error)

    def retry(self) -> None:
        """Try again: more can be paged out than before."""
        self._enough = 0


def _size(line: tuple[int, Pageable]) -> int:
    return line[0]
