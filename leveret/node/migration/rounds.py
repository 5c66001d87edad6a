"""Visit all queues of a migration in turn, until each was empty or the user stops it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from leveret.node.migration.moving import Mover, Visit, Watch
from leveret.node.migration.source import Withheld
from leveret.node.migration.survey import QueueFacts

PIECE: Final = 20  # batches per visit, if there are other queues
PAUSE_S: Final = 1.0  # between rounds without messages
LOOK_S: Final = 10.0  # between two checks for new queues
SLICE_S: Final = 0.1

Key = tuple[str, str]


@dataclass
class Outcome:
    """The result for a queue. is_there: whether the source still has it."""

    facts: QueueFacts
    moved: int = 0
    again: int = 0
    known: int = 0
    reason: str = ""
    is_done: bool = False
    is_there: bool = True

    def add(self, visit: Visit) -> None:
        """Add the result of a visit."""
        self.moved += visit.moved
        self.again += visit.again
        self.known += visit.known
        self.reason = visit.reason
        self.is_done = visit.is_empty or bool(visit.reason)


class Rounds:
    """The queues of a migration. Raises: Gone, SideError, Interrupted, JournalError."""

    def __init__(self, mover: Mover, facts: list[QueueFacts], window: int, watch: Watch) -> None:
        self._mover = mover
        self._window = window
        self._watch = watch
        self.outcomes: dict[Key, Outcome] = {}
        self.add(facts)

    def add(self, facts: list[QueueFacts]) -> bool:
        """Add queues. Returns: whether any of them is new."""
        before = len(self.outcomes)
        for each in facts:
            key = each.place.key
            if key in self.outcomes:
                self.outcomes[key].is_there = True
            elif not each.obstacle:
                self.outcomes[key] = Outcome(each)
        return len(self.outcomes) > before

    def run(self) -> None:
        """Run until each queue was empty, or cannot be emptied."""
        while True:
            left = [each for each in self.outcomes.values() if not each.is_done]
            if not left or self._watch.is_wanted_to_end():
                return
            self._round(left)

    def follow(self, look: Callable[[], list[QueueFacts]]) -> None:
        """Run until the user stops it. look: returns the current queues; called periodically."""
        looked_s = time.monotonic()
        while not self._watch.is_wanted_to_end():
            if time.monotonic() - looked_s > LOOK_S:
                self.add(look())
                looked_s = time.monotonic()
            before = sum(each.moved for each in self.outcomes.values())
            self._round([each for each in self.outcomes.values() if each.is_there])
            if sum(each.moved for each in self.outcomes.values()) == before:
                self._rest(PAUSE_S)

    def _round(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            if self._watch.is_wanted_to_end():
                return
            try:
                count = self._mover.count(outcome.facts.place)
            except Withheld as error:
                outcome.is_done, outcome.reason = True, str(error)
                continue
            if not count:
                outcome.is_done, outcome.reason, outcome.is_there = True, "", count is not None
                continue
            most = PIECE * self._window if len(outcomes) > 1 else 1 << 62
            outcome.add(self._mover.visit(outcome.facts.place, most))

    def _rest(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._watch.is_wanted_to_end():
            time.sleep(SLICE_S)
            self._mover.pause()
