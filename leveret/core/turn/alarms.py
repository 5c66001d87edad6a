"""Alarms: reasons not to take in more messages, and the publishers that wait until there is none.

While anything is raised, a connection that sends content is read no more; all others go on. MEMORY and DISK have
names that clients are told. Nobody is told of BEHIND, which is between us and the disk: more waits to be written than
should; nor of LETTERS: more dead letters wait to be published than should; nor of HELD: messages need more memory than
the budget allows. That is over in a moment if they can rest on the disk; if it is not, FULL is raised too, which
clients are told as low memory.
Whoever raises or lowers an alarm from outside the core says turn() to the driver afterwards.
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
HELD_MS: Final = 1000  # until what is held is told
BEHIND_BYTES: Final = 64 << 20  # of messages that wait to be written, above which the log is behind; until half of it
REASONS: Final = {
    MEMORY: "low on memory",
    DISK: "low on disk",
    DISK | MEMORY: "low on disk & memory",
}


@trait
class Blocked:
    """A publisher that is not read."""

    @abstractmethod
    def on_alarms(self) -> None:
        """What is raised has changed."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """on_alarms() has failed."""


class Alarms:
    """Of one broker. raised: the alarms as bits; 0 when all is well."""

    __slots__ = ("_blocked", "raised")

    def __init__(self) -> None:
        self.raised: i64 = 0
        self._blocked: dict[Blocked, None] = {}

    def set(self, alarm: int, is_raised: bool) -> bool:
        """Raise an alarm or lower it. Returns: whether that changed anything."""
        before = self.raised
        self.raised = before | alarm if is_raised else before & ~alarm
        if self.raised == before:
            return False
        for blocked in list(self._blocked):
            try:
                blocked.on_alarms()
            except Exception as error:
                blocked.fail("hear of an alarm", error)
        return True

    def reason(self) -> str:
        """What clients are told, empty when there is nothing to tell."""
        raised = int(self.raised)
        if raised & FULL:
            raised |= MEMORY
        return REASONS.get(raised & (MEMORY | DISK), "")

    def block(self, publisher: Blocked) -> None:
        """Tell this publisher of changes, until release()."""
        self._blocked[publisher] = None

    def release(self, publisher: Blocked) -> None:
        """The publisher goes on, or is gone."""
        self._blocked.pop(publisher, None)

    def blocked(self) -> int:
        """How many publishers wait."""
        return len(self._blocked)
