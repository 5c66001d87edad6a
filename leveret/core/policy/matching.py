"""Matching: every search of a pattern in a name goes through the Matcher of its broker.

A search is bounded. One that hits its bound has not found anything, as in RabbitMQ, which has a far higher one: no
policy applies and nothing is allowed. The operator is told once. What many searches cost together is counted, so that
whoever makes them can do some and leave the rest for later, and one operation has a limited Patience for those that
take long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leveret.core.policy.patterns import FOUND, UNDECIDED, Pattern, subject_of

LONG: Final = 8  # searches of one operation that may take long
COST: Final = 2  # of a search, in what a BackgroundJob's PIECE counts: a microsecond or two
LONG_COST: Final = 250  # of one that takes long
REMEMBERED: Final = 5000  # answers, and patterns of which the operator was told
SHOWN: Final = 100  # characters of a name or pattern in the log


class Patience:
    """How many searches of one operation may still take long."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = LONG


class Matcher:
    """Searches patterns in names.

    explain: tells the operator something. cost: of all searches up to now. long: how many of them took long.
    """

    __slots__ = ("_answers", "_explain", "_told", "cost", "long")

    def __init__(self, explain: Callable[[str], None]) -> None:
        self.cost = 0
        self.long = 0
        self._explain = explain
        self._answers: dict[tuple[str, str], bool] = {}  # by pattern and name
        self._told: set[tuple[str, str]] = set()

    def is_in(self, pattern: Pattern, name: str, what: str, patience: Patience) -> bool:
        """Whether a pattern is found in a name. what: has this pattern, as `a policy`, for the operator."""
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
        """As is_in(), for names that are asked for again and again."""
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
            f"the pattern {_shown(pattern.text)} of {what} cannot be searched in {_shown(name)} within bounds, and"
            " matches no name with which that is so; it should leave fewer ways to match the same characters"
        )


def _shown(text: str) -> str:
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}..."
