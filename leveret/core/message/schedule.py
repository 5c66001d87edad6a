"""Schedule: messages, or objects that represent them, ordered by due time.

A place is one number: the time in its upper bits, the position in its lower bits, which distinguishes messages with
the same due time. Places are kept in ascending blocks, with their messages beside them: small, so that searching,
taking and paging are fast, whatever the order in which messages arrive. Between calls no block is empty.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

POSITION_BITS: Final = 44
POSITIONS: Final = (1 << POSITION_BITS) - 1
BLOCK: Final = 1024  # messages in a block before it is cut in two


def place(due_ms: int, position: int) -> int:
    """The place for a due time and a position."""
    return due_ms << POSITION_BITS | position


def due_ms(place: int) -> int:
    """The due time of a place."""
    return place >> POSITION_BITS


def position(place: int) -> int:
    """The position in a place."""
    return place & POSITIONS


class Schedule:
    """Messages by due time, or objects that represent them; take() returns what add() got.

    Cost of each operation: a search, and moving the entries behind it in one block.
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
        """Add a message at a place."""
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
            # An append at the end leaves a full block, an insertion leaves two halves.
            cut = BLOCK if at == BLOCK else BLOCK // 2
            self._places.insert(block + 1, places[cut:])
            self._messages.insert(block + 1, messages[cut:])
            self._last.insert(block + 1, places[-1])
            del places[cut:]
            del messages[cut:]
        self._last[block] = places[-1]

    def first(self) -> int:
        """The earliest place. Raises: IndexError when empty."""
        return self._places[0][0]

    def take(self, place: int) -> object | None:
        """Remove and return the message at a place; None when there is none."""
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
        """All places with their messages, in blocks, the last block first. A message may be replaced in its list."""
        return list(zip(reversed(self._places), reversed(self._messages), strict=True))

    def behind(self, place: int, limit: int) -> list[tuple[int, object]]:
        """At most limit places behind this one with their messages, in order. 0 is before all places."""
        found: list[tuple[int, object]] = []
        block = bisect_left(self._last, place + 1)
        at = bisect_left(self._places[block], place + 1) if block < len(self._last) else 0
        while block < len(self._last) and len(found) < limit:
            stop = at + limit - len(found)
            found += zip(self._places[block][at:stop], self._messages[block][at:stop], strict=True)
            block += 1
            at = 0
        return found
