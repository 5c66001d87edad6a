"""Places: a limited resource, shared fairly between the addresses of clients."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

PATIENCE_S: Final = 1.0  # after that, a guest must make room even for one from the same address


class Occupant(Protocol):
    """The holder of a place. site: the key of its address; since_s: its arrival in seconds of time.monotonic()."""

    @property
    def site(self) -> str:
        """The key of its address."""

    @property
    def since_s(self) -> float:
        """Its arrival."""


Who = TypeVar("Who", bound=Occupant)


class Places(Generic[Who]):
    """Places, shared fairly between addresses. most: how many there are; taken: how many are in use."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._guests: dict[str, dict[Who, None]] = {}  # by site, the oldest first
        self._sites: dict[int, dict[str, None]] = {}  # by number of places
        self._highest = 0  # number of places of one site

    def __iter__(self) -> Iterator[Who]:
        return iter([guest for guests in self._guests.values() for guest in guests])

    def count(self, at: str) -> int:
        """The number of places that a site has."""
        return len(self._guests.get(at, ()))

    def oldest(self, at: str) -> Who | None:
        """The guest of a site that must leave for a newcomer from the same site; None when all have just arrived."""
        oldest = next(iter(self._guests.get(at, ())), None)
        return oldest if oldest is not None and time.monotonic() - oldest.since_s > PATIENCE_S else None

    def add(self, guest: Who) -> None:
        """Take a place, even beyond the limit."""
        guests = self._guests.setdefault(guest.site, {})
        guests[guest] = None
        self.taken += 1
        self._move(guest.site, len(guests) - 1, len(guests))

    def remove(self, guest: Who) -> None:
        """Release the place of a guest, if it has one."""
        guests = self._guests.get(guest.site, {})
        if guest not in guests:
            return
        del guests[guest]
        self.taken -= 1
        self._move(guest.site, len(guests) + 1, len(guests))
        if not guests:
            del self._guests[guest.site]

    def find_room(self, at: str) -> Who | None:
        """The guest that must leave for a newcomer from this site; None if that would not be fair."""
        if not self._highest:
            return None
        own = self.count(at)
        other = at if own == self._highest else next(iter(self._sites[self._highest]))
        return self.oldest(other) if self._highest <= own + 1 else next(iter(self._guests[other]))

    def _move(self, at: str, before: int, after: int) -> None:
        """Note that the number of places of a site has changed."""
        if after:
            self._sites.setdefault(after, {})[at] = None
        if before:
            del self._sites[before][at]
            if not self._sites[before]:
                del self._sites[before]
        if after > self._highest or self._highest not in self._sites:
            self._highest = after
