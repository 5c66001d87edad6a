"""Walk: iterates over the messages of a queue, page by page, while the broker serves its clients.

It holds at most one page, consumes nothing, and can be continued later: a place in a queue stays valid whatever happens
to the queue meanwhile. Messages that arrive after the walk has begun are not included.
"""

from __future__ import annotations

from typing import Final

from leveret.api.errors import ApiError, bad_request
from leveret.api.searching.candidate import DELAYED, READY, STATES, UNACKED, Candidate
from leveret.api.services import Services
from leveret.core.errors.refusals import faulty_queue
from leveret.core.message.log import NotHereYet, Unreadable
from leveret.core.queue.browsing import BOTTOM, END, TOP, Page
from leveret.core.queue.client import Held
from leveret.core.queue.queue import Queue

PAGE_MESSAGES: Final = 1024  # the most that are paged out together, so that each group is read once
PAGE_BYTES: Final = 1 << 20
MOST_WALKS: Final = 16  # at the same time


class Place:
    """The position of a walk. state: of the messages it currently reads. level, position: as in a Page. until: the last
    position to read, negative before the walk has begun.
    """

    __slots__ = ("level", "position", "queue_id", "state", "until")

    def __init__(self, queue_id: int, state: str, level: int, position: int, until: int) -> None:
        self.queue_id = queue_id
        self.state = state
        self.level = level
        self.position = position
        self.until = until

    def __str__(self) -> str:
        return f"{self.queue_id}.{STATES.index(self.state)}.{self.level}.{self.position}.{self.until}"


def read_place(text: str) -> Place:
    """Parse a place. Raises: ApiError 400."""
    parts = text.split(".")
    try:
        queue_id, state, level, position, until = (int(part) for part in parts)
        if not 0 <= level <= TOP or not 0 <= position <= END or not -1 <= until <= END or not 0 <= queue_id < 1 << 63:
            raise ValueError
        return Place(queue_id, STATES[state], level, position, until)
    except (ValueError, IndexError):
        raise bad_request("from: not a place from an earlier answer") from None


class Walk:
    """A walk through one queue. states: of the messages to include. is_backwards: newest first. skips_front: leave out
    messages that were moved to the front.

    begin: where it began. place: position after the messages read so far; None at the end. looked: messages read so
    far. total: approximate number when it began. missing: messages that cannot be read from the disk any more.

    Raises: ApiError 400 for a place in another queue.
    """

    def __init__(
        self,
        services: Services,
        queue: Queue,
        states: list[str],
        is_backwards: bool,
        place: Place | None,
        skips_front: bool,
    ) -> None:
        self.looked = 0
        self.missing = 0
        self.total = 0
        self._services = services
        self._queue = queue
        self._is_backwards = is_backwards
        self._skips_front = skips_front
        self._states = [state for state in STATES if state in states]
        if READY in self._states:
            self.total += len(queue.ready)
        if UNACKED in self._states:
            self.total += int(queue.unacked)
        if DELAYED in self._states:
            self.total += len(queue.retries)
        if place is not None:
            if place.queue_id != queue.queue_id:
                raise bad_request("from: a place in another queue, or this queue was deleted and declared again")
            if place.state not in self._states:
                raise bad_request(f"from: a place among {place.state} messages, which `states` does not include")
        self._until = place.until if place is not None else -1
        self.begin = place or self._first(self._states[0])
        self.place: Place | None = self.begin

    def behind(self, candidate: Candidate) -> Place:
        """The place after a message of the last page."""
        entry = candidate.entry
        level, position = (TOP, candidate.front) if candidate.front else (int(entry.level), int(entry.position))
        return Place(self._queue.queue_id, candidate.state, level, position, self._until)

    def _first(self, state: str) -> Place:
        level, position = (BOTTOM, END) if self._is_backwards else (TOP - 1 if self._skips_front else TOP, 0)
        return Place(self._queue.queue_id, state, level, position, -1)

    async def next_page(self) -> list[Candidate]:
        """The next messages. Call within turns, while place is not None.

        Raises: ApiError 404 if the queue was deleted, 503 if it cannot be read.
        """
        assert self.place is not None
        place = self.place
        found = await self._ready(place) if place.state == READY else await self._others(place)
        if self.begin.until < 0:
            self.begin.until = self._until
        self.looked += len(found)
        return found

    async def _ready(self, place: Place) -> list[Candidate]:
        queue = self._queue
        page = Page(place.level, place.position, place.until, PAGE_MESSAGES, PAGE_BYTES)
        while not self._is_shown(page):
            await self._services.turns.away(self._services.driver.until(lambda: self._is_shown(page)))
        self.missing += int(page.missing)
        self._until = int(page.until)
        now_ms = queue.broker.clock.now_ms
        self.place = Place(place.queue_id, READY, int(page.level), int(page.position), int(page.until))
        if page.is_last or (self._skips_front and self._is_backwards and page.level == TOP):
            self._go_on(READY)
        found = [Candidate(entry, READY) for entry in page.messages]
        for number, candidate in zip(
            page.front, found[-len(page.front) :] if self._is_backwards else found, strict=False
        ):
            candidate.front = number
        return [
            candidate
            for candidate in found
            if not (candidate.front and self._skips_front)
            and not 0 < candidate.entry.deadline_ms <= now_ms  # it has expired
        ]

    def _is_shown(self, page: Page) -> bool:
        """Whether the page has been read. Raises: ApiError."""
        queue = self._queue
        self.check()
        try:
            queue.browse(page, self._is_backwards)
        except NotHereYet:
            return False
        except Unreadable as error:
            raise ApiError(503, "unreadable", f"{error}; try again") from None
        return True

    def check(self) -> None:
        """Raises: ApiError 404 if the queue was deleted, 503 if it has failed."""
        queue = self._queue
        if queue.deleted:
            raise ApiError(404, "not_found", f"{queue} was deleted in the meantime")
        if queue.fault:
            raise ApiError(503, "faulty", faulty_queue(queue.name, queue.vhost.name, queue.fault).text)

    async def _others(self, place: Place) -> list[Candidate]:
        """A page of unacknowledged messages, or of messages that wait for redelivery."""
        self.check()
        until = self._until = place.until if place.until >= 0 else END
        if place.state == UNACKED:
            everything = [Candidate(held.entry, UNACKED, held) for held in await self._held()]
        else:
            everything = [Candidate(entry, DELAYED, None, due_ms) for due_ms, entry in self._queue.retries.waiting()]
        position, is_backwards = place.position, self._is_backwards
        found = [
            each
            for each in everything
            if (each.entry.position < position if is_backwards else each.entry.position > position)
            and each.entry.position <= until
        ]
        found.sort(key=lambda each: int(each.entry.position), reverse=is_backwards)
        page, rest = found[:PAGE_MESSAGES], found[PAGE_MESSAGES:]
        if rest:
            self.place = Place(place.queue_id, place.state, place.level, int(page[-1].entry.position), until)
        else:
            self._go_on(place.state)
        for each in page:
            await self._load(each)
        return [each for each in page if each.entry.message.content]

    async def _held(self) -> list[Held]:
        """The unacknowledged messages of the queue with their consumers."""
        found: list[Held] = []
        for client in self._queue.broker.clients(self._queue.vhost):
            found += client.held(self._queue)
            await self._services.turns.rest()
        return found

    async def _load(self, candidate: Candidate) -> None:
        """Load the content of a paged-out message for this walk only."""
        entry = candidate.entry
        if entry.message.content:
            return
        while True:
            try:
                candidate.entry = self._queue.in_log.look(entry) or entry
                break
            except NotHereYet:
                await self._services.turns.away(self._services.driver.until(lambda: self._is_here(candidate)))
            except Unreadable as error:
                raise ApiError(503, "unreadable", f"{error}; try again") from None
        if not candidate.entry.message.content:
            self.missing += 1
        await self._services.turns.rest()

    def _is_here(self, candidate: Candidate) -> bool:
        try:
            self._queue.in_log.look(candidate.entry)
        except NotHereYet:
            return False
        return True

    def _go_on(self, state: str) -> None:
        """Continue with the messages of the next state."""
        at = self._states.index(state) + 1
        self.place = self._first(self._states[at]) if at < len(self._states) else None


def check_states(states: list[str]) -> list[str]:
    """The same states. Raises: ApiError 400 for an unknown state, or none."""
    for state in states:
        if state not in STATES:
            raise bad_request(f"states: must be one of {', '.join(STATES)}; not {state[:40]!r}")
    if not states:
        raise bad_request(f"states: must name at least one of {', '.join(STATES)}")
    return states
