"""Schedule: messages in the order in which they are due, or what stands for them.

A place in it is one number: the time, and below it the position, which tells messages apart that are due together.
The numbers stand in blocks, ascending, with their messages beside them: small, quick to find, to take and to page
through, whatever the order in which messages come. Between calls no block is empty.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

POSITION_BITS: Final = 44
POSITIONS: Final = (1 << POSITION_BITS) - 1
BLOCK: Final = 1024  # messages in a block before it is cut in two


def place(due_ms: int, position: int) -> int:
    """The number of a place."""
    return due_ms << POSITION_BITS | position


def due_ms(place: int) -> int:
    """When a place is due."""
    return place >> POSITION_BITS


def position(place: int) -> int:
    """The position in a place."""
    return place & POSITIONS


class Schedule:
    """Messages by due time, or what stands for them: whoever puts something in knows what comes out.

    Cost of everything: a search, and moving what is behind in one block.
    """

    __slots__ = ("_count", "_last", "_messages", "_places")

    def __init__(self) -> None:
        self._places: list[list[int]] = []
        self._messages: list[list[object]] = []
        self._last: list[int] = []  # the last place of each block
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, place: int, message: object) -> None:
        """Put a message into its place."""
        self._count += 1
        if not self._last:
            self._places.append([place])
            self._messages.append([message])
            self._last.append(place)
            return
        block = min(bisect_left(self._last, place), len(self._last) - 1)
        places, messages = self._places[block], self._messages[block]
        at = bisect_left(places, place)
        places.insert(at, place)
        messages.insert(at, message)
        if len(places) > BLOCK:
            # What comes behind everything else leaves a full block behind, what comes in between two halves.
            cut = BLOCK if at == BLOCK else BLOCK // 2
            self._places.insert(block + 1, places[cut:])
            self._messages.insert(block + 1, messages[cut:])
            self._last.insert(block + 1, places[-1])
            del places[cut:]
            del messages[cut:]
        self._last[block] = places[-1]

    def first(self) -> int:
        """The place that is due first. Raises: IndexError when there is none."""
        return self._places[0][0]

    def take(self, place: int) -> object | None:
        """Take the message out of a place; None when there is none."""
        block = bisect_left(self._last, place)
        if block == len(self._last):
            return None
        places = self._places[block]
        at = bisect_left(places, place)
        if places[at] != place:
            return None
        message = self._messages[block].pop(at)
        del places[at]
        self._count -= 1
        if not places:
            del self._places[block]
            del self._messages[block]
            del self._last[block]
        elif at == len(places):
            self._last[block] = places[-1]
        return message

    def blocks(self) -> list[tuple[list[int], list[object]]]:
        """All places with their messages, in blocks, from the last one on. A message may be put in another's place."""
        return list(zip(reversed(self._places), reversed(self._messages), strict=True))

    def behind(self, place: int, limit: int) -> list[tuple[int, object]]:
        """At most so many places behind this one with their messages, in order. 0 is in front of all."""
        found: list[tuple[int, object]] = []
        block = bisect_left(self._last, place + 1)
        at = bisect_left(self._places[block], place + 1) if block < len(self._last) else 0
        while block < len(self._last) and len(found) < limit:
            stop = at + limit - len(found)
            found += zip(self._places[block][at:stop], self._messages[block][at:stop], strict=True)
            block += 1
            at = 0
        return found
