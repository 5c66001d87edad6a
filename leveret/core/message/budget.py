"""Paging: when the messages of all need more memory than the budget allows, most of them rest in the log.

Everybody who holds messages says so to the Budget, which counts the content of each once, however many hold it. What is
over the limit is asked back: from lines of ready messages, from deliveries that wait for an ack, from what can be found
again. What nobody can let go is the reason of an alarm (HELD in alarms.py), and publishers wait.

Persistent messages of durable queues are there anyway. Others are written there to rest, under the negative id of
their queue, which nobody knows any more after a restart; but not those of priority queues, whose positions would not
be in order there. The longest lines give first, and each keeps its head while there is room for that, so that
consumers are served from memory; behind it a line is a list of runs, which are fetched one by one when the head is used
up. A run costs 8 bytes for each of its messages, and some 200 for itself. What a start-up finds in the log and does not
need at once rests there in the same way.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Final

from mypy_extensions import i64, trait

from leveret.core.message.message import Message, at_rest

COST: Final = 300  # bytes that a message in memory needs beside its content, about
MAX_HEAD: Final = 256  # messages that a line keeps at most
MAX_HEAD_BYTES: Final = 256 << 10  # the same
HEADS_SHARE: Final = 4  # of the budget, one part in so many is for the heads of all lines together
WORTH_IT: Final = 1 << 20  # bytes from which on a line is looked at first
PARTS: Final = 8  # of the budget, one part in so many is for a single one of those whose messages cannot rest
LEAST_PART: Final = 1 << 20  # bytes of it, however small the budget is
SLACK: Final = 8  # of the budget, one part in so many may be held beyond it by what cannot rest, before anybody waits
MAX_SLACK: Final = 16 << 20
SHARE: Final = 512 << 10  # bytes that are left to the log in one call into the core at most: more than one can bring
LEAST: Final = 64 << 10  # the same, at least
WORK: Final = 3  # bytes for each that came in: who brings much has to send it to the log, and then to leave it there
STEP: Final = 64 << 10  # bytes more after which it is tried again when there was too little that could go
NO_LIMIT: Final = 1 << 62


@trait
class Holder:
    """Who holds messages, or what can be found again."""

    @abstractmethod
    def release(self, want: i64) -> None:
        """Need less memory from now on. want: bytes of the budget that should be free afterwards."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """release() has failed."""


@trait
class Pageable:
    """A line of messages, most of which can rest in the log."""

    @abstractmethod
    def resident(self) -> i64:
        """Bytes that those need which are in memory, about."""

    @abstractmethod
    def page_out(self, keep: i64, want: i64) -> None:
        """Leave what is behind the head to the log, if it rests there.

        keep: bytes of memory that the head may need. want: bytes of the budget that should be free afterwards.
        """

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """page_out() has failed."""


class Budget:
    """How much memory all messages may need. limit, used: bytes, about."""

    __slots__ = ("_before", "_enough", "limit", "used")

    def __init__(self) -> None:
        self.limit: i64 = NO_LIMIT
        self.used: i64 = 0
        self._enough: i64 = 0  # nothing is done below
        self._before: i64 = 0  # what was used when something was done last

    def hold(self, message: Message) -> None:
        """Somebody holds a message in memory."""
        holders = message.holders
        message.holders = holders + 1
        self.used += i64(len(message.content)) + COST if holders == 0 else i64(COST)

    def release(self, message: Message) -> None:
        """Somebody who held a message does not any more."""
        holders = message.holders - 1
        message.holders = holders
        self.used -= i64(len(message.content)) + COST if holders == 0 else i64(COST)

    def rest(self, message: Message) -> Message:
        """Leave the content of a message to the log, which has it. Returns: what stays of it."""
        self.release(message)
        stays = at_rest(message)
        self.hold(stays)
        return stays

    def part(self) -> i64:
        """Bytes that one transaction, one history, or the replies for one requester may need."""
        return max(self.limit // PARTS, LEAST_PART)

    def is_over(self) -> bool:
        """Whether something should be done."""
        return self.used > self.limit and self.used > self._enough

    def is_exhausted(self) -> bool:
        """Whether publishers have to wait, since what is held cannot rest, or not as fast as more comes."""
        return self.used > self.limit + min(self.limit // SLACK, MAX_SLACK)

    def relieve(self, lines: Iterable[Pageable], others: Iterable[Holder]) -> None:
        """Ask memory back until a fifth of the budget is free, but not too much in one call.

        Cost: looks at all lines, and if these are not enough at all others.
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
                holder.fail("let go of messages", error)
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
                line.fail("leave messages to the log", error)

    def retry(self) -> None:
        """More can be left to the log than before."""
        self._enough = 0


def _size(line: tuple[int, Pageable]) -> int:
    return line[0]
