"""Known: recognizes redelivered letters of a queue that were already sent over an earlier connection to the source.

Letters with the same content cannot be distinguished, so they are counted. A letter that the source delivers for the
first time is never a repetition, whatever its content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from leveret.node.migration.letter import NEW, SENT, THERE, Letter


class Known:
    """The letters of one queue. suspects: fingerprints of sent letters, acknowledged or not.

    certain: those of them that are in the target and were never acknowledged.
    """

    def __init__(self, suspects: Counter[bytes], certain: Counter[bytes]) -> None:
        self._suspects = suspects
        self._certain = certain

    def claim(self, letters: Iterable[Letter]) -> None:
        """Set `claim` of each letter: whether it was sent before."""
        suspects, certain = self._suspects, self._certain
        if not suspects:
            return
        for letter in letters:
            if letter.redelivered and suspects[letter.print] > 0:
                suspects[letter.print] -= 1
                letter.claim = SENT
                if certain[letter.print] > 0:
                    certain[letter.print] -= 1
                    letter.claim = THERE

    def give_back(self, letters: Iterable[Letter]) -> None:
        """Undo claim() for letters that go back to the source and will be delivered again."""
        for letter in letters:
            if letter.claim != NEW:
                self._suspects[letter.print] += 1
            if letter.claim == THERE:
                self._certain[letter.print] += 1
            letter.claim = NEW
