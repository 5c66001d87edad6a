"""Book: the ledger of a broker that is never killed, so that every message comes once, in order, and flagged or not."""

from __future__ import annotations

import threading

from tests.clients.ledger import Finding, Ledger, Letter


class Book(Ledger):
    """A ledger that forgets letters when they are done, so that it can go on for hours.

    unordered: queues where letters may overtake each other.
    """

    def __init__(self, unordered: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self._unordered = unordered
        self._lock = threading.Lock()  # a confirm and acks of one letter come in different threads
        self._last: dict[tuple[str, int, int], int] = {}  # number by queue, publisher and priority

    def take(self, queue: str, body: bytes, redelivered: bool) -> Letter | None:
        """A letter came from a queue, as see() says; it must come in order, unless it comes again."""
        letter = self.see(queue, body, redelivered)
        self.counts["delivered"] += 1
        if letter is None:
            return None
        if not any(queue in place for place in letter.places):
            self.findings.append(Finding("unknown", f"{letter.key} does not belong into {queue}"))
        publisher, number = letter.key
        line = (queue, publisher, letter.priority)
        if not redelivered and queue not in self._unordered:
            if number <= self._last.get(line, 0):
                self.findings.append(Finding("disordered", f"{letter.key} came from {queue} after {self._last[line]}"))
            self._last[line] = max(number, self._last.get(line, 0))
        return letter

    def done(self, queue: str, letter: Letter) -> None:
        """The ack of a letter is about to be sent; it must never come from there again."""
        with self._lock:
            self.ack(queue, letter)
            self._forget(letter)

    def confirm(self, letter: Letter) -> None:
        """The confirm of a letter came."""
        with self._lock:
            super().confirm(letter)
            self._forget(letter)

    def _forget(self, letter: Letter) -> None:
        is_done = all(any(queue in letter.acked for queue in place) for place in letter.places)
        if is_done and letter.confirmed is not None:
            self.letters.pop(letter.key, None)

    def waiting(self) -> int:
        """How many letters are on their way."""
        return len(self.letters)

    def close(self) -> list[Finding]:
        """Everything that was wrong; what is still on its way is lost now."""
        findings = list(self.findings)
        for letter in self.letters.values():
            kind = "unconfirmed" if letter.confirmed is None else "lost"
            findings.append(Finding(kind, f"{letter.key}, for {letter.places}, seen in {list(letter.seen)}"))
        return findings
