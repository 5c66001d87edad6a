"""Alarms: reasons to stop accepting messages, and the publishers that wait until all alarms are cleared.

While an alarm is raised, the broker does not read from connections that send content; all other connections go on.
Clients are told the reason of MEMORY and DISK. They are not told of BEHIND (too much waits to be written to the disk),
LETTERS (too many dead letters wait to be published) or HELD (messages need more memory than the budget allows). HELD
clears quickly if the messages can be paged out; otherwise FULL is raised too, and clients are told that memory is low.
Code outside the core that sets or clears an alarm calls turn() of the driver afterwards.
Source: rabbit_alarm.erl, rabbit_reader.erl (blocked_by, should_send_blocked).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from mypy_extensions import i64, trait

MEMORY: Final = 1
DISK: Final = 2
BEHIND: Final = 4
LETTERS: Final = 8
HELD: Final = 16
FULL: Final = 32
HELD_MS: Final = 1000  # milliseconds that HELD lasts before FULL is raised
BEHIND_BYTES: Final = 64 << 20  # of messages that wait to be written; above it the log is behind, until half is left
REASONS: Final = {
    MEMORY: "low on memory",
    DISK: "low on disk",
    DISK | MEMORY: "low on disk & memory",
}


@trait
class Blocked:
    """A publisher whose connection is not read while an alarm is raised."""

    @abstractmethod
    def on_alarms(self) -> None:
        """The set of raised alarms has changed."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """on_alarms() has failed."""


class Alarms:
    """The alarms of one broker. raised: the raised alarms as bits; 0 for none."""

    __slots__ = ("_blocked", "raised")

    def __init__(self) -> None:
        self.raised: i64 = 0
        self._blocked: dict[Blocked, None] = {}

    def set(self, alarm: int, is_raised: bool) -> bool:
        """Raise or clear an alarm. Returns: whether that changed anything."""
        before = self.raised
        self.raised = before | alarm if is_raised else before & ~alarm
        if self.raised == before:
            return False
        for blocked in list(self._blocked):
            try:
                blocked.on_alarms()
            except Exception as error:
                blocked.fail("handle an alarm", error)
        return True

    def reason(self) -> str:
        """The reason that clients are told; empty for none."""
        raised = int(self.raised)
        if raised & FULL:
            raised |= MEMORY
        return REASONS.get(raised & (MEMORY | DISK), "")

    def block(self, publisher: Blocked) -> None:
        """Notify this publisher of changes, until release()."""
        self._blocked[publisher] = None

    def release(self, publisher: Blocked) -> None:
        """The publisher continues or has disconnected."""
        self._blocked.pop(publisher, None)

    def blocked(self) -> int:
        """The number of publishers that wait."""
        return len(self._blocked)
