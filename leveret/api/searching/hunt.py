"""Hunt: a search in one queue, message by message."""

from __future__ import annotations

from typing import Any, Final

from leveret.api.errors import bad_request
from leveret.api.request import Request
from leveret.api.searching.candidate import Candidate
from leveret.api.searching.criteria import Criteria
from leveret.api.searching.requests import Chosen
from leveret.api.searching.walk import Walk, check_states, read_place
from leveret.core.queue.queue import Queue

MOST_IDS: Final = 10_000


class Hunt:
    """A search in one queue: walks through it and selects messages. Raises: ApiError 400, 404, Refusal."""

    def __init__(self, request: Request, queue: Queue, chosen: Chosen, skips_front: bool = False) -> None:
        self.services = request.services
        self.clock = request.broker.clock
        self.queue = queue
        self.found = 0
        self.is_over = False
        self.criteria = Criteria(chosen.where, self.clock.wall_ms)
        self._limit = chosen.limit
        self._ids = None if chosen.ids is None else _ids(chosen.ids, queue)
        place = read_place(chosen.place) if chosen.place else None
        self.walk = Walk(self.services, queue, check_states(chosen.states), chosen.newest_first, place, skips_front)
        self._page: list[Candidate] = []
        self._last: Candidate | None = None  # the last one that was examined

    async def next(self) -> Candidate | None:
        """The next selected message; None at the end of a page, or when is_over. Call within turns."""
        while not self.is_over:
            if not self._page:
                if self.walk.place is None:
                    self.is_over = True
                    return None
                self._page = await self.walk.next_page()
                self._page.reverse()
                if not self._page:
                    return None
            candidate = self._last = self._page.pop()
            if self._ids is None or candidate.id in self._ids:
                if self.criteria.fits(candidate):
                    self.found += 1
                    if self._limit is not None and self.found >= self._limit:
                        self.is_over = True
                    return candidate
            await self.services.turns.rest()
            if not self._page:
                break
        return None

    @property
    def place(self) -> str | None:
        """The position to continue from; None at the end of the queue."""
        is_inside = self._page and self._last is not None
        place = self.walk.behind(self._last) if is_inside and self._last is not None else self.walk.place
        return None if place is None else str(place)

    def progress(self) -> dict[str, Any]:
        """The fields of Progress."""
        walk = self.walk
        return {
            "looked": walk.looked - len(self._page),
            "found": self.found,
            "total": max(walk.total, walk.looked),
            "place": self.place,
            "begin": str(walk.begin),
            "missing": walk.missing,
            "undecided": self.criteria.undecided,
        }


def _ids(texts: list[str], queue: Queue) -> set[str]:
    """The ids of messages of a queue. Raises: ApiError 400."""
    if len(texts) > MOST_IDS:
        raise bad_request(f"ids: may have at most {MOST_IDS} entries")
    for text in texts:
        if text.partition("-")[0] != str(queue.queue_id):
            raise bad_request(f"ids: {text[:40]!r} is not the id of a message of this queue")
    return set(texts)
