"""Known: which letters of a queue come again, of those that were sent before there was this connection to the source.

Letters with the same content cannot be told apart, so they are counted. A letter that the source has never delivered
before is no second one, whatever is in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from leveret.node.migration.letter import NEW, SENT, THERE, Letter


class Known:
    """Of one queue. suspects: by what those are known again that were sent, and may have been acknowledged or not.

    certain: those of them that are in the target, and for which no acknowledgement was ever sent.
    """

    def __init__(self, suspects: Counter[bytes], certain: Counter[bytes]) -> None:
        self._suspects = suspects
        self._certain = certain

    def claim(self, letters: Iterable[Letter]) -> None:
        """Let letters know whether they come again, in `claim`."""
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
        """These letters go back to the source, and come another time."""
        for letter in letters:
            if letter.claim != NEW:
                self._suspects[letter.print] += 1
            if letter.claim == THERE:
                self._certain[letter.print] += 1
            letter.claim = NEW
