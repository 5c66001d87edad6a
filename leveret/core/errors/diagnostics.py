"""Details that the log adds to a terse reply text: what differs, who declared it and when, how to fix it.

Clients never see them; the log appends them to the reply text. They cost nothing unless an error occurs.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Final

MAX_NAMES: Final = 1000  # examined for a similar one
MAX_NAME: Final = 255  # characters of a name that may contain a typing error
MAX_DIFFERENCE: Final = 2  # characters in which a similar name may differ


class Origin:
    """Who declared something, and when, in milliseconds since 1970. Empty and 0 if unknown."""

    __slots__ = ("connection", "user", "wall_ms")

    def __init__(self, connection: str, user: str, wall_ms: int) -> None:
        self.connection = connection
        self.user = user
        self.wall_ms = wall_ms

    def __str__(self) -> str:
        if not self.connection and not self.user:
            return "declared by no client"
        where = f" on connection {self.connection}" if self.connection else ""
        try:
            when = datetime.fromtimestamp(self.wall_ms // 1000, UTC).strftime(" at %Y-%m-%d %H:%M:%S UTC")
        except (ValueError, OverflowError, OSError):
            when = ""
        return f"declared by user '{self.user}'{where}{when}"


def differs(differences: list[str], origin: Origin) -> str:
    """A declaration differs from the existing one of the same name."""
    return f"the existing one was {origin}. Different: {'; '.join(differences)}. Declare it the same or delete it first"


def locked(origin: Origin, exclusive: bool) -> str:
    """A queue is exclusive to another connection, or is not exclusive but was declared as such."""
    return f"it is {'exclusive' if exclusive else 'not exclusive'}, {origin}"


def not_found(name: str, names: Iterable[str], elsewhere: list[str]) -> str:
    """A name is unknown. names: the existing ones. elsewhere: virtual hosts that have the name."""
    if elsewhere:
        return f"there is one in vhost {', '.join([repr(vhost) for vhost in elsewhere])}"
    similar = nearest(name, names)
    return f"there is '{similar}'" if similar else "declare it first"


def refused(operation: str, pattern: str | None) -> str:
    """A permission is missing. pattern: the permission that does not match; None for no permission at all."""
    if pattern is None:
        return "the user has no permission in this vhost"
    return f"the user's {operation} permission is {pattern!r}, in which the name is not found"


def unknown_tag(tags: list[int]) -> str:
    """A delivery tag is not outstanding. tags: the outstanding ones, ascending."""
    held = f"outstanding are {len(tags)}, tags {tags[0]} to {tags[-1]}" if tags else "nothing is outstanding"
    return f"on this channel {held}. A delivery is acknowledged once, on its own channel, and never with no_ack"


def wants(argument: str, what: str) -> str:
    """An argument has an invalid value. what: the valid ones."""
    return f"{argument} takes {what}" if what else ""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """A name that differs in letter case, or in at most MAX_DIFFERENCE characters in one place; None if there is none.

    Cost: linear in the total length of the names examined. All clients wait meanwhile.
    """
    if len(name) > MAX_NAME:
        return None
    for other in islice(names, MAX_NAMES):
        if other and (is_similar(name, other) or name.casefold() == other.casefold()):
            return other
    return None


def is_similar(one: str, other: str) -> bool:
    """Whether two texts differ in at most MAX_DIFFERENCE characters in one place, and are longer than that."""
    longer = max(len(one), len(other))
    shorter = min(len(one), len(other))
    if longer - shorter > MAX_DIFFERENCE or longer <= MAX_DIFFERENCE:
        return False
    start = 0
    while start < shorter and one[start] == other[start]:
        start += 1
    end = 0
    while end < shorter - start and one[-1 - end] == other[-1 - end]:
        end += 1
    return longer - start - end <= MAX_DIFFERENCE
