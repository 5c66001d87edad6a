"""Moving: the messages of one queue after the other, batch by batch, whatever goes away meanwhile.

What comes again from the source, on a new connection to it, may be in the target already: the journal knows what was
sent. If the target has it for certain and it was never acknowledged, it is acknowledged now and not sent again.
Otherwise it is sent again, marked. Nothing that the source delivers for the first time is taken for something else.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final, Protocol

from leveret.node.amqp import AmqpError
from leveret.node.migration.journal import Journal
from leveret.node.migration.known import Known
from leveret.node.migration.letter import SENT, THERE, Letter
from leveret.node.migration.links import Links
from leveret.node.migration.side import SideError, path
from leveret.node.migration.sink import Lost, Refused, Room, room_of
from leveret.node.migration.source import STALLED_S, Ended, Place, Source, Withheld

SPARE_DELIVERIES: Final = 3  # of a quorum queue's limit, from which on its messages are taken one by one
FULL: Final = "it is full at the target, and refuses messages there"
HELD: Final = "there are messages in it, and the source does not give them; other consumers may be before its turn"


@dataclass
class Visit:
    """What became of a queue in one go. moved: messages stored. again: of these, those that may be there twice.

    known: that came again, and were in the target for certain. is_empty: the queue was seen so. reason: why it could
    not be emptied.
    """

    moved: int = 0
    again: int = 0
    known: int = 0
    is_empty: bool = False
    reason: str = ""


class Watch(Protocol):
    """Who looks on."""

    def moved(self, count: int) -> None:
        """So many messages more were moved."""

    def is_wanted_to_end(self) -> bool:
        """Whether nothing new is to be begun."""


class Unfit(Exception):
    """A queue cannot be moved to the target; the text says why."""


class Stuck(Exception):
    """The target does not take a message; the text says why."""


class Carefully(Exception):
    """A message was delivered so often that it is better taken alone."""


class Mover:
    """Moves messages. Raises: Gone, SideError, Interrupted, JournalError."""

    def __init__(self, links: Links, journal: Journal, watch: Watch) -> None:
        self._links = links
        self._journal = journal
        self._watch = watch
        self._room = Room()  # of the queue at hand
        self._certain: dict[tuple[str, str], Counter[bytes]] = {}  # in the target, and never acknowledged
        self._known: dict[tuple[str, str], Known] = {}  # by queues that were visited on this connection
        links.renewed = self._known.clear

    def resume(self) -> None:
        """Find out what became of the last batch of an earlier run."""
        pending = self._journal.pending()
        if pending is None:
            return
        marker = None
        if pending.is_exact:
            try:
                marker = self._links.sink(pending.vhost).marker
            except SideError as error:
                if error.is_gone:
                    raise
        if marker is not None and marker < pending.number:
            self._journal.forget(pending.number)
        elif marker == pending.number:
            self._journal.settle(pending.number, pending.prints.total(), pending.again)
            self._certain[pending.vhost, pending.queue] = Counter(pending.prints)
        else:
            self._journal.settle(pending.number, 0, 0)
        self._links.drop_sink(is_orderly=True)  # the next one looks at its marker again

    def pause(self) -> None:
        """Let both brokers know that somebody is there."""
        self._links.pause()

    def count(self, place: Place) -> int | None:
        """How many messages are ready in a queue; None if it is not there. Raises: Withheld."""
        while True:
            try:
                return self._links.source(place.vhost).count(place.name)
            except AmqpError as error:
                self._links.lost_source(error)

    def visit(self, place: Place, most: int) -> Visit:
        """Move messages of a queue until it is empty, or so many were moved, or the migration is to end."""
        visit = Visit()
        is_careful = False
        while True:
            try:
                self._go(place, visit, most, is_careful)
            except AmqpError as error:  # of the source; the sink says Lost
                self._links.lost_source(error)
                continue
            except Lost as error:
                self._links.lost_sink(error)
                continue
            except Carefully:
                is_careful = True
                continue
            except (Unfit, Withheld, Stuck) as error:
                visit.reason = str(error)
                if isinstance(error, Ended):  # and perhaps the queue was somewhere else before
                    self._known.pop(place.key, None)
                self._leave(place)
            return visit

    def _go(self, place: Place, visit: Visit, most: int, is_careful: bool) -> None:
        self._enter(place)
        source = self._links.source(place.vhost)
        source.open(place, is_careful)
        heard_s = time.monotonic()
        left = most
        while True:
            if left <= 0 or self._watch.is_wanted_to_end():
                source.cancel()  # the rest of what was delivered comes still
            room = self._links.sink(place.vhost).room()
            if room == 0 and not source.is_empty():
                raise Withheld(FULL)
            letters = source.take(room) if room != 0 else []
            if letters:
                if not is_careful:
                    self._look_at_deliveries(source, place, letters)
                self._pass(source, place, letters, visit)
                heard_s = time.monotonic()
                left -= len(letters)
            elif source.is_cancelled:
                break
            elif source.is_empty():
                visit.is_empty = True
                break
            elif time.monotonic() - heard_s > STALLED_S:
                raise Withheld(HELD)
        source.release()
        self._links.sink(place.vhost).leave()

    def _enter(self, place: Place) -> None:
        """Let the target know where messages go. Raises: Unfit."""
        found = self._links.ask_target(path("queues", place.vhost, place.name))
        if found is None:
            raise Unfit("it is not there at the target; bring the definitions over, or declare it")
        if found.get("exclusive"):
            raise Unfit("at the target it is exclusive, and belongs to one connection")
        self._room = room_of(found)
        self._links.sink(place.vhost).enter(place.name, self._room)

    def _leave(self, place: Place) -> None:
        """Give back what was taken."""
        try:
            self._links.source(place.vhost).release()
        except AmqpError as error:
            self._links.lost_source(error)
        try:
            self._links.sink(place.vhost).leave()
        except Lost as error:
            self._links.lost_sink(error)

    def _look_at_deliveries(self, source: Source, place: Place, letters: list[Letter]) -> None:
        """Raises: Carefully when the end of this process would be one delivery too many for many messages."""
        limit = place.delivery_limit
        if limit is not None and any(letter.deliveries >= limit - SPARE_DELIVERIES for letter in letters):
            source.release()
            raise Carefully

    def _pass(self, source: Source, place: Place, letters: list[Letter], visit: Visit) -> None:
        """Store a batch and acknowledge it, portion by portion. Raises: Withheld, Stuck."""
        known = self._known_of(place)
        known.claim(letters)
        wanted = [letter for letter in letters if letter.claim != THERE]
        for letter in wanted:
            if letter.claim == SENT:
                letter.mark()
        settled: set[int] = set()  # tags
        portions = deque([wanted] if wanted else [])
        try:
            while portions:
                portion = portions.popleft()
                count, is_exact = self._links.sink(place.vhost).portion(portion)
                if count < len(portion):
                    portions.appendleft(portion[count:])
                    portion = portion[:count]
                again = sum(each.is_marked for each in portion)
                prints = [each.print for each in portion]
                number = self._journal.begin(place.vhost, place.name, prints, again, is_exact)
                try:
                    refused = self._store(place, portion, number, is_exact)
                except Refused as error:
                    portions.extendleft(reversed(self._after_refusal(portion, number, error)))
                    continue
                stored = [each for at, each in enumerate(portion) if at not in refused]
                self._count(number, stored, visit)
                self._see_whether_there(source, place, stored)
                settled.update(each.tag for each in stored)
                if refused:
                    source.acknowledge_singly(stored)
                    raise Withheld(FULL)
                source.acknowledge(portion[-1].tag)
            if letters[-1].tag not in settled:
                source.acknowledge(letters[-1].tag)
        except BaseException:
            known.give_back(letter for letter in letters if letter.tag not in settled)
            raise
        visit.known += len(letters) - len(wanted)

    def _known_of(self, place: Place) -> Known:
        key = place.key
        if key not in self._known:
            self._known[key] = Known(self._journal.prints(*key), self._certain.setdefault(key, Counter()))
        return self._known[key]

    def _count(self, number: int, stored: list[Letter], visit: Visit) -> None:
        """Letters are in the target: from now on they may have been acknowledged."""
        again = sum(each.is_marked for each in stored)
        self._journal.settle(number, len(stored), again)
        visit.moved += len(stored)
        visit.again += again
        self._watch.moved(len(stored))

    def _see_whether_there(self, source: Source, place: Place, stored: list[Letter]) -> None:
        """Raises: AmqpError when the source is gone, so that it was never told that letters are stored."""
        try:
            source.client.check()
        except AmqpError:
            self._certain.setdefault(place.key, Counter()).update(each.print for each in stored)
            raise

    def _after_refusal(self, portion: list[Letter], number: int, error: Refused) -> list[list[Letter]]:
        """What is tried next when a portion was refused. Raises: Stuck when it was a single letter."""
        is_single = len(portion) == 1
        if error.is_unsure and not is_single:
            self._journal.settle(number, 0, 0)
            for letter in portion:
                letter.mark()
        else:
            self._journal.forget(number)
        if error.is_over:
            self._links.lost_sink(error)
        if error.is_too_large:
            return [portion]
        if is_single:
            raise Stuck(f"the target does not take a message of it: {error}") from None
        half = len(portion) // 2
        return [portion[:half], portion[half:]]

    def _store(self, place: Place, letters: list[Letter], number: int, is_exact: bool) -> set[int]:
        """Store a portion, also when the target goes away meanwhile. Returns: places of what a full queue refused.

        Raises: Refused.
        """
        places = list(range(len(letters)))  # of letters that are not known to be stored
        sink = self._links.sink(place.vhost)
        while places:
            sink.enter(place.name, self._room)
            try:
                return {places[at] for at in sink.store([letters[at] for at in places], number, is_exact)}
            except Lost as error:
                places = [at for index, at in enumerate(places) if index not in error.stored]
                sink = self._links.lost_sink(error)
            marker = sink.marker if is_exact else None
            if marker == number:
                break
            if marker is None or marker > number:
                for at in places:
                    letters[at].mark()
        return set()
