"""Matching: every search of a pattern in a name goes through the Matcher of its broker.

A search is bounded. One that reaches the bound counts as not found, as in RabbitMQ, whose bound is far higher: the
policy does not apply, the permission allows nothing. The operator is notified once. The Matcher adds up the cost of
searches, so that callers with many of them can do some and leave the rest for later. A Patience limits the slow
searches of one operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leveret.core.policy.patterns import FOUND, UNDECIDED, Pattern, subject_of

LONG: Final = 8  # slow searches that one operation may do
COST: Final = 2  # of a search, in units of a BackgroundJob's PIECE: a microsecond or two
LONG_COST: Final = 250  # of a slow search
REMEMBERED: Final = 5000  # cached answers, and patterns already reported
SHOWN: Final = 100  # characters of a name or pattern in the log


class Patience:
    """The number of slow searches that one operation may still do."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = LONG


class Matcher:
    """Searches patterns in names.

    explain: notifies the operator. cost: of all searches so far. long: how many of them were slow.
    """

    __slots__ = ("_answers", "_explain", "_told", "cost", "long")

    def __init__(self, explain: Callable[[str], None]) -> None:
        self.cost = 0
        self.long = 0
        self._explain = explain
        self._answers: dict[tuple[str, str], bool] = {}  # by pattern and name
        self._told: set[tuple[str, str]] = set()

    def is_in(self, pattern: Pattern, name: str, what: str, patience: Patience) -> bool:
        """Whether a pattern is found in a name. what: the pattern's owner for the log, such as `a policy`."""
        try:
            subject = subject_of(name)
        except UnicodeEncodeError:
            return False  # no client can have sent it
        self.cost += COST
        answer = pattern.search(subject)
        if answer == UNDECIDED:
            if patience.left > 0:
                patience.left -= 1
                self.cost += LONG_COST
                self.long += 1
                answer = pattern.search_patiently(subject)
            if answer == UNDECIDED:
                self._tell(pattern, name, what)
        return answer == FOUND

    def recall(self, pattern: Pattern, name: str, what: str, patience: Patience) -> bool:
        """As is_in(), but cached, for names that are checked often."""
        key = (pattern.text, name)
        answer = self._answers.get(key)
        if answer is None:
            was_patient = patience.left > 0
            answer = self.is_in(pattern, name, what, patience)
            if was_patient:
                if len(self._answers) >= REMEMBERED:
                    self._answers.clear()
                self._answers[key] = answer
        return answer

    def _tell(self, pattern: Pattern, name: str, what: str) -> None:
        key = (what, pattern.text)
        if key in self._told:
            return
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told.add(key)
        self._explain(
            f"a search of {_shown(name)} for the pattern {_shown(pattern.text)} of {what} takes too many steps and"
            " counts as no match; rewrite the pattern with fewer ways to match the same characters"
        )


def _shown(text: str) -> str:
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}..."
