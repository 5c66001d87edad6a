"""Ledger: what the clients of a simulated cluster know about each message, and what must never happen to one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.agenda import Violation


@dataclass
class Letter:
    """A persistent message. queues: where it has to be. seen, acked: by queue, whether a consumer got and acked it."""

    number: int
    publisher: int
    queues: tuple[str, ...]
    is_confirmed: bool = False
    seen: set[str] = field(default_factory=set)
    acked: set[str] = field(default_factory=set)


class Ledger:
    """All letters. loose: queues that are deleted and purged, whose messages need not be there. counts: of events."""

    def __init__(self, loose: frozenset[str]) -> None:
        self.letters: dict[int, Letter] = {}
        self.counts: Counter[str] = Counter()
        self._loose = loose
        self._first: dict[tuple[int, str], tuple[int, int, object]] = {}  # the last one that came for the first time

    def send(self, publisher: int, queues: tuple[str, ...]) -> Letter:
        """A new letter, which is about to be published."""
        letter = Letter(len(self.letters) + 1, publisher, queues)
        self.letters[letter.number] = letter
        self.counts["published"] += 1
        return letter

    def confirm(self, letter: Letter, is_routed: bool) -> None:
        """The broker has it, or has said before that no queue wants it."""
        letter.is_confirmed = is_routed
        self.counts["confirmed" if is_routed else "unroutable"] += 1

    def refuse(self, letter: Letter) -> None:
        """The broker does not promise anything."""
        self.counts["refused"] += 1

    def deliver(self, queue: str, body: bytes, is_again: bool, now_ms: int, to: object) -> Letter:
        """A node sends it to a consumer. Several connections get theirs at the same time, in any order.

        Raises: Violation.
        """
        letter = self.letters[int(body)]
        where = f"letter {letter.number} of publisher {letter.publisher} from {queue}"
        self.counts["delivered"] += 1
        if queue not in letter.queues:
            raise Violation(f"{where} was never sent there")
        if queue in letter.seen:
            self.counts["again"] += 1
            if not is_again:
                raise Violation(f"{where} comes again without a flag")
            return letter
        letter.seen.add(queue)
        last, last_ms, last_to = self._first.get((letter.publisher, queue), (0, 0, to))
        if queue not in self._loose and letter.number < last and (to is last_to or now_ms > last_ms):
            raise Violation(f"{where} comes after letter {last}")
        if letter.number > last:
            self._first[letter.publisher, queue] = letter.number, now_ms, to
        return letter

    def ack(self, queue: str, letter: Letter) -> None:
        """A consumer is about to ack it."""
        letter.acked.add(queue)
        self.counts["acked"] += 1

    def owed(self, queue: str) -> list[Letter]:
        """The letters that must be in a queue."""
        return [
            letter
            for letter in self.letters.values()
            if letter.is_confirmed and queue in letter.queues and queue not in letter.acked
        ]
