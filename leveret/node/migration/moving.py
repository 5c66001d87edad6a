"""Move the messages of one queue after another in batches, with recovery from lost connections.

Messages that the source redelivers on a new connection may already be in the target; the journal knows what was sent.
A message that is certainly in the target and was never acknowledged is acknowledged and not sent again. Other
redelivered messages are sent again with a mark. A message that the source delivers for the first time is always new.
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

SPARE_DELIVERIES: Final = 3  # remaining deliveries of a quorum queue's limit at which to take messages one by one
FULL: Final = "it is full in the target and rejects messages"
HELD: Final = "it has messages, but the source does not deliver them; other consumers may take precedence"


@dataclass
class Visit:
    """The result of one visit to a queue. moved: messages stored. again: how many of these may be duplicates.

    known: redelivered messages that the target already had. is_empty: the queue was seen empty. reason: why it could
    not be emptied.
    """

    moved: int = 0
    again: int = 0
    known: int = 0
    is_empty: bool = False
    reason: str = ""


class Watch(Protocol):
    """Receives the progress and decides when to stop."""

    def moved(self, count: int) -> None:
        """Called after messages were moved."""

    def is_wanted_to_end(self) -> bool:
        """Whether to start no further work."""


class Unfit(Exception):
    """A queue cannot be moved to the target. The text says why."""


class Stuck(Exception):
    """The target refuses a message. The text says why."""


class Carefully(Exception):
    """A message is close to its delivery limit, so messages should be taken one by one."""


class Mover:
    """Moves messages. Raises: Gone, SideError, Interrupted, JournalError."""

    def __init__(self, links: Links, journal: Journal, watch: Watch) -> None:
        self._links = links
        self._journal = journal
        self._watch = watch
        self._room = Room()  # of the queue at hand
        self._certain: dict[tuple[str, str], Counter[bytes]] = {}  # in the target and never acknowledged
        self._known: dict[tuple[str, str], Known] = {}  # of queues visited on this connection
        links.renewed = self._known.clear

    def resume(self) -> None:
        """Determine the state of the last batch of an earlier run."""
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
        self._links.drop_sink(is_orderly=True)  # the next one reads the marker again

    def pause(self) -> None:
        """Send heartbeats to both brokers."""
        self._links.pause()

    def count(self, place: Place) -> int | None:
        """The number of ready messages in a queue; None if it does not exist. Raises: Withheld."""
        while True:
            try:
                return self._links.source(place.vhost).count(place.name)
            except AmqpError as error:
                self._links.lost_source(error)

    def visit(self, place: Place, most: int) -> Visit:
        """Move messages of a queue until it is empty, `most` were moved, or the migration should stop."""
        visit = Visit()
        is_careful = False
        while True:
            try:
                self._go(place, visit, most, is_careful)
            except AmqpError as error:  # of the source; the sink raises Lost
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
                if isinstance(error, Ended):  # the queue may have moved to another node
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
                source.cancel()  # messages already delivered still arrive
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
        """Prepare the target for messages of this queue. Raises: Unfit."""
        found = self._links.ask_target(path("queues", place.vhost, place.name))
        if found is None:
            raise Unfit("it does not exist in the target; migrate the definitions or declare it")
        if found.get("exclusive"):
            raise Unfit("in the target it is exclusive to one connection")
        self._room = room_of(found)
        self._links.sink(place.vhost).enter(place.name, self._room)

    def _leave(self, place: Place) -> None:
        """Return unacknowledged messages."""
        try:
            self._links.source(place.vhost).release()
        except AmqpError as error:
            self._links.lost_source(error)
        try:
            self._links.sink(place.vhost).leave()
        except Lost as error:
            self._links.lost_sink(error)

    def _look_at_deliveries(self, source: Source, place: Place, letters: list[Letter]) -> None:
        """Raises: Carefully, if messages are close to the delivery limit, so that a crash could drop many of them."""
        limit = place.delivery_limit
        if limit is not None and any(letter.deliveries >= limit - SPARE_DELIVERIES for letter in letters):
            source.release()
            raise Carefully

    def _pass(self, source: Source, place: Place, letters: list[Letter], visit: Visit) -> None:
        """Store and acknowledge a batch in portions. Raises: Withheld, Stuck."""
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
        """Record stored letters. After this they may be acknowledged."""
        again = sum(each.is_marked for each in stored)
        self._journal.settle(number, len(stored), again)
        visit.moved += len(stored)
        visit.again += again
        self._watch.moved(len(stored))

    def _see_whether_there(self, source: Source, place: Place, stored: list[Letter]) -> None:
        """Raises: AmqpError if the source is gone, so that the letters were not acknowledged."""
        try:
            source.client.check()
        except AmqpError:
            self._certain.setdefault(place.key, Counter()).update(each.print for each in stored)
            raise

    def _after_refusal(self, portion: list[Letter], number: int, error: Refused) -> list[list[Letter]]:
        """The portions to try next after a refusal. Raises: Stuck, if it was a single letter."""
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
            raise Stuck(f"the target refuses one of its messages: {error}") from None
        half = len(portion) // 2
        return [portion[:half], portion[half:]]

    def _store(self, place: Place, letters: list[Letter], number: int, is_exact: bool) -> set[int]:
        """Store a portion, with reconnection to the target. Returns: indexes of letters that a full queue rejected.

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
