"""Places: what there is a limited number of, shared out between the addresses that clients come from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

PATIENCE_S: Final = 1.0  # after which a guest makes room even for another one from the same address


class Occupant(Protocol):
    """Who has a place. site: what stands for its address; since_s: when it came, in seconds of time.monotonic()."""

    @property
    def site(self) -> str:
        """What its address counts as."""

    @property
    def since_s(self) -> float:
        """When it came."""


Who = TypeVar("Who", bound=Occupant)


class Places(Generic[Who]):
    """Places that are shared out fairly between addresses. most: how many there are; taken: how many are in use."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._guests: dict[str, dict[Who, None]] = {}  # by site, the oldest first
        self._sites: dict[int, dict[str, None]] = {}  # by how many places they have
        self._highest = 0  # of these numbers

    def __iter__(self) -> Iterator[Who]:
        return iter([guest for guests in self._guests.values() for guest in guests])

    def count(self, at: str) -> int:
        """How many a site has."""
        return len(self._guests.get(at, ()))

    def oldest(self, at: str) -> Who | None:
        """Who of a site has to go for a newcomer from there; None when all of them have just come."""
        oldest = next(iter(self._guests.get(at, ())), None)
        return oldest if oldest is not None and time.monotonic() - oldest.since_s > PATIENCE_S else None

    def add(self, guest: Who) -> None:
        """Take a place, whether there is one or not."""
        guests = self._guests.setdefault(guest.site, {})
        guests[guest] = None
        self.taken += 1
        self._move(guest.site, len(guests) - 1, len(guests))

    def remove(self, guest: Who) -> None:
        """Give up a place, if the guest has one."""
        guests = self._guests.get(guest.site, {})
        if guest not in guests:
            return
        del guests[guest]
        self.taken -= 1
        self._move(guest.site, len(guests) + 1, len(guests))
        if not guests:
            del self._guests[guest.site]

    def find_room(self, at: str) -> Who | None:
        """Who has to go for a newcomer from this site; None if that would not be fair."""
        if not self._highest:
            return None
        own = self.count(at)
        other = at if own == self._highest else next(iter(self._sites[self._highest]))
        return self.oldest(other) if self._highest <= own + 1 else next(iter(self._guests[other]))

    def _move(self, at: str, before: int, after: int) -> None:
        """A site has one place more or less."""
        if after:
            self._sites.setdefault(after, {})[at] = None
        if before:
            del self._sites[before][at]
            if not self._sites[before]:
                del self._sites[before]
        if after > self._highest or self._highest not in self._sites:
            self._highest = after
