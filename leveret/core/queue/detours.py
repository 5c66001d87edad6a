"""Detours: the ways of messages through a queue that are not the usual ones.

What comes in may be known already, refused, or held until its time. What goes out may have to wait, since the queue is
paused, has a rate, or messages are about to come back; and each may have to be looked at. The usual ways, in queue.py,
ask one question each, _may_divert and _is_braked, whose answers change with the settings only; all else is here.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from mypy_extensions import i64

from leveret.core.errors.hints import Origin
from leveret.core.message.confirm import AGAIN, DEAD, FULL, Confirm
from leveret.core.message.log import Resting
from leveret.core.message.message import Message
from leveret.core.policy.arguments import QUORUM
from leveret.core.queue.base import BaseQueue
from leveret.core.queue.brake import Brake
from leveret.core.queue.consumers import Consumer
from leveret.core.queue.deduplicating import Duplicates
from leveret.core.queue.entry import Home, QueueEntry
from leveret.core.queue.expiry import Expiry
from leveret.core.queue.holding import Holding
from leveret.core.queue.in_log import InLog
from leveret.core.queue.pending_confirms import PendingConfirms
from leveret.core.queue.retries import Retries
from leveret.core.queue.surroundings import Surroundings
from leveret.core.turn.work import PIECE
from leveret.wire.fields import Table

PORTION: Final = 2 * PIECE  # messages that are delivered at once: a millisecond or two
RETURN: Final = "return"  # what a queue could not do with a message, beside the reasons of dead_letter.py
FEW: Final = 64  # consumers that can be looked at for each message of a portion


class Detours(BaseQueue):
    """A queue, as far as its messages do not go the usual way.

    holds: how many want nothing to be delivered for now. in_log: what the log has of it. retries: messages that came
    back and have to wait. holding: messages that wait for their times; brake: what may go out; duplicates: what it does
    not take twice. None as long as no settings have asked for it.
    """

    def __init__(
        self,
        vhost: Home,
        broker: Surroundings,
        name: str,
        queue_id: int,
        durable: bool,
        owner: int,
        auto_delete: bool,
        arguments: Table,
        origin: Origin,
    ) -> None:
        super().__init__(vhost, broker, name, queue_id, durable, owner, auto_delete, arguments, origin)
        self.in_log = InLog(self)
        self.retries = Retries(self)
        self.holds: i64 = 0
        self.holding: Holding | None = None
        self.brake: Brake | None = None
        self.duplicates: Duplicates | None = None
        self._expiry = Expiry(self)
        self._position: i64 = 0
        self._pending = PendingConfirms()
        # What the usual ways have to know of settings and fault; see Queue._read_settings().
        self._keeps_all = self.settings.queue_type == QUORUM  # transient messages too
        self._is_limited = False
        self._may_divert = False
        self._is_braked = False

    # -- what the usual ways are asked for

    @abstractmethod
    def _takes(self, message: Message) -> bool:
        """Whether it takes a message at all: it is neither faulty nor full."""

    @abstractmethod
    def _read_properties(self, entry: QueueEntry) -> bool:
        """Note when a message expires, and its priority. Returns: whether it does so unless a consumer waits for it."""

    @abstractmethod
    def _read_settings(self) -> None:
        """Note what the hot path asks of the settings."""

    @abstractmethod
    def _drop_excess(self) -> None:
        """Drop from the head what is too much, once consumers have had their chance; not too much at once."""

    @abstractmethod
    def _deliver(self, portion: i64) -> bool:
        """Deliver some messages. Returns: whether there is more that could be delivered now."""

    @abstractmethod
    def _fetch_later(self) -> None:
        """Go on soon: many may want that at once, and it takes milliseconds."""

    # -- settings

    def _heed_settings(self) -> None:
        """Let all parts follow the settings."""
        settings = self.settings
        if settings.hold_until and self.holding is None:
            self.holding = Holding(self)
        if self.holding is not None:
            is_empty = not (len(self.ready) or len(self.retries) or self.unacked)
            self.holding.set(settings.hold_until, 0 if is_empty else self._position)
        if self.brake is None and (settings.is_paused or settings.delivery_rate):
            self.brake = Brake(self)
        if self.brake is not None:
            self.brake.set(settings)
        if settings.deduplicate_by and self.duplicates is None:
            self.duplicates = Duplicates()
        if self.duplicates is not None:
            self.duplicates.set(settings.deduplicate_by)
        self.consumers.set_order(settings.has_least_loaded_first)
        self._read_settings()
        for consumer in list(self.consumers.all):
            self._cap(consumer)

    def _is_odd(self) -> bool:
        """Whether messages that come in may have to be diverted, though there is room for them."""
        if self.duplicates is not None and self.duplicates.by:
            return True
        return self.holding is not None and self.holding.is_on

    def _is_slow(self) -> bool:
        """Whether not everything may go out at once."""
        if self.holds or self.fault or self.consumers.has_least_loaded_first or self._has_unseen():
            return True
        return self.brake is not None and self.brake.is_on

    # -- messages come in

    def _diverts(self, message: Message, confirm: Confirm | None) -> bool:
        """Whether a message does not go into the line: it is known already, refused, or held until its time."""
        duplicates = self.duplicates
        value = None if duplicates is None else duplicates.value(message)
        if duplicates is not None and value is not None and duplicates.knows(value):
            self.counters.duplicates += 1
            if confirm is not None:
                duplicates.confirm(value, confirm, self._pending)
            return True
        if not self._takes(message):
            self.broker.refusals += 1
            self.counters.refused += 1
            if confirm is not None:
                confirm.refuse(AGAIN if self.fault else DEAD if self.settings.rejects_dead else FULL)
            return True
        position = self._position + 1
        if duplicates is not None and value is not None:
            duplicates.claim(value, position)
        due_ms = 0 if self.holding is None else self.holding.due_ms(message, position, True)
        if due_ms:
            self._hold(message, confirm, due_ms)
        return due_ms > 0

    def _hold(self, message: Message, confirm: Confirm | None, due_ms: int) -> None:
        """Take a message that waits until this time, from when on it has its time to live."""
        clock = self.broker.clock
        if not message.arrived_ms:
            message.arrived_ms = clock.wall_ms
        self._position += 1
        logged = self.durable and (message.persistent or self._keeps_all)
        entry = QueueEntry(message, self, self._position, self.queue_id if logged else 0)
        self._read_properties(entry)
        if entry.deadline_ms:
            entry.deadline_ms += due_ms - clock.today_ms
        if logged:
            self.in_log.append(entry)
        assert self.holding is not None
        self.holding.add(entry, due_ms)
        self.counters.published += 1
        self.counters.bytes_in += message.size
        if confirm is not None:
            if logged:
                self._pending.add(entry.position, confirm)
            else:
                confirm.pay()
        if self._is_limited:
            self._drop_excess()

    def _take_found(self, entry: QueueEntry) -> None:
        """Take a message that the log kept: into the line, or until its time."""
        if self.duplicates is not None:
            value = self.duplicates.value(entry.message)
            if value is not None:
                self.duplicates.claim(value, entry.position)
        holding = self.holding
        due_ms = 0 if holding is None else holding.due_ms(entry.message, entry.position, True)
        if due_ms and holding is not None:
            holding.add(entry, due_ms)
        else:
            self.ready.push(entry)

    def _look_at_all(self, found: Resting) -> int:
        """Take messages at start-up that may not stay in the log unseen. Returns: how many."""
        positions = found.positions()
        count = 0
        for at in range(0, len(positions), 8 * PIECE):
            messages = self.log.fetch(self.queue_id, positions[at : at + 8 * PIECE])
            for message in messages:
                self.restore(message)
            count += len(messages)
            budget = self.broker.budget
            if budget.is_over():
                budget.relieve([self], list(self.broker.holders))
        return count

    # -- messages go out

    def _give_braked(self) -> bool:
        """Deliver what may go. Returns: whether there is more that could be delivered now."""
        if self.holds or self.fault:
            return False
        try:
            if not (self.consumers.all and len(self.ready)):
                self._expiry.look()
                return False
            room = self._room()
            if room <= 0:
                self._expiry.look()
                if self.brake is not None:
                    self.brake.watch()
                return False
            before = self.delivered
            has_more = self._deliver_seen(room) if self._has_unseen() else self._deliver(room)
            if self.brake is not None:
                self.brake.took(self.delivered - before)
            return has_more
        except Exception as error:
            self.fail("deliver messages", error)
            return False

    def _room(self) -> i64:
        """How many messages may be delivered at once."""
        room: i64 = PORTION
        if self.consumers.has_least_loaded_first:  # which looks at many of them for each message
            room = max(room * FEW // max(i64(len(self.consumers)), FEW), 1)
        return room if self.brake is None else min(self.brake.room(), room)

    def _has_unseen(self) -> bool:
        """Whether there may be messages whose time has not come, and nobody has seen that yet."""
        return self.holding is not None and self.holding.until > 0

    def _deliver_seen(self, room: i64) -> bool:
        """As _deliver(), but messages are looked at first that were there before they had to be held."""
        ready, holding = self.ready, self.holding
        assert holding is not None
        left: i64 = PIECE
        while room > 0 and left > 0 and ready.has_near_head():
            if self.settings.max_priority < 0 and ready.first().position > holding.until:
                return self._deliver(room)
            left -= 1
            if self._hold_head():
                continue
            count, before = len(ready), self.delivered
            self._deliver(1)
            room -= self.delivered - before
            if len(ready) == count:
                return False
        self._expiry.look()
        if not len(ready):
            return False
        self._fetch_later()
        return True

    def _hold_head(self) -> bool:
        """Hold the head, which is in memory, if its time has not come. Returns: whether it is held now."""
        holding = self.holding
        assert holding is not None
        entry = self.ready.first()
        if entry.position > holding.until:
            return False
        due_ms = holding.due_ms(entry.message, entry.position, False)
        if due_ms:
            entry = self.ready.pop()
            try:
                holding.add(entry, due_ms)
            except Exception as error:
                self.leave(entry, RETURN, error)
        return due_ms > 0

    # -- messages that are held

    def held(self) -> int:
        """How many messages wait for their times."""
        return 0 if self.holding is None else len(self.holding)

    def drop_held(self, place: int) -> bool:
        """Throw away a message that waits for its time. place: of Holding. Returns: whether it was there."""
        entry = None if self.holding is None else self.holding.take(place)
        if entry is None:
            return False
        self.counters.removed += 1
        self.forget(entry)
        return True

    def _has_only_held(self) -> bool:
        """Whether nothing is ready, and something is held."""
        return not len(self.ready) and self.held() > 0

    def _pop_oldest(self) -> QueueEntry:
        """Take what goes first when there is too much: the head, or without one what would be there first."""
        if len(self.ready) or self.holding is None:
            return self.ready.pop()
        entry = self.holding.take(self.holding.first())
        assert entry is not None
        return entry

    # -- consumers

    def set_prefetch(self, consumer: Consumer, limit: i64) -> None:
        """Let a consumer that is there have another window, capped as any; 0 for no limit. It loses nothing it has."""
        consumer.window.asked = limit
        self._cap(consumer)

    def _cap(self, consumer: Consumer) -> None:
        consumer.window.cap(self.settings.max_prefetch)
        if consumer.parked:
            self.wake(consumer)
