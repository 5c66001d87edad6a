"""Detours: the uncommon paths of messages through a queue.

An incoming message may be dropped as a duplicate, or held until its delivery time. An outgoing message may have to
wait because the queue is paused or has a delivery rate, or it may have to be checked first. The common paths are in
queue.py. Each of them checks one flag: _may_divert for incoming messages, _is_braked for outgoing ones. Only settings
and faults change these flags.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.message.confirm import Confirm
from leveret.core.message.log import Resting
from leveret.core.message.message import Message
from leveret.core.message.refused import DUPLICATE
from leveret.core.message.schedule import Schedule
from leveret.core.queue.base import BaseQueue
from leveret.core.queue.brake import Brake
from leveret.core.queue.deduplicating import Duplicates
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.holding import Holding
from leveret.core.queue.pending_confirms import PendingConfirms
from leveret.core.queue.ready import Ready
from leveret.core.turn.work import PIECE

PORTION: Final = 2 * PIECE  # messages delivered in one step, which takes a millisecond or two
RETURN: Final = "return"  # name of a failed operation; the other names are the reasons in dead_letter.py
FEW: Final = 64  # with more consumers than this, a step delivers fewer messages


class Detours:
    """The detours of one queue.

    holding: messages held until their delivery times. brake: limits deliveries. duplicates: values for deduplication.
    Each is None until a setting needs it.
    """

    __slots__ = ("_pending", "_queue", "brake", "duplicates", "holding")

    def __init__(self, queue: BaseQueue, pending: PendingConfirms) -> None:
        self._queue: BaseQueue | None = queue
        self._pending = pending
        self.holding: Holding | None = None
        self.brake: Brake | None = None
        self.duplicates: Duplicates | None = None

    def heed(self, position: i64) -> None:
        """Apply the settings to all parts. position: that of the last message; 0 without one."""
        queue = self._queue
        if queue is None:
            return
        settings = queue.settings
        if settings.hold_until and self.holding is None:
            self.holding = Holding(queue)
        if self.holding is not None:
            self.holding.set(settings.hold_until, position)
        if self.brake is None and (settings.is_paused or settings.delivery_rate):
            self.brake = Brake(queue)
        if self.brake is not None:
            self.brake.set(settings)
        if settings.deduplicate_by and self.duplicates is None:
            self.duplicates = Duplicates()
        if self.duplicates is not None:
            self.duplicates.set(settings.deduplicate_by)
        queue.consumers.set_order(settings.has_least_loaded_first)

    def stop(self) -> None:
        """Drop the references to the queue, which has ended."""
        if self.holding is not None:
            self.holding.stop()
        if self.brake is not None:
            self.brake.stop()
        self._queue = None

    def watch(self) -> None:
        """Continue after a fault."""
        if self.holding is not None:
            self.holding.watch()

    # -- incoming messages

    def looks_at_all(self) -> bool:
        """Whether incoming messages are checked."""
        return self.deduplicates() or (self.holding is not None and self.holding.is_on)

    def deduplicates(self) -> bool:
        """Whether the queue drops duplicates."""
        return self.duplicates is not None and self.duplicates.by != ""

    def is_known(self, value: bytes | None, message: Message, confirm: Confirm | None) -> bool:
        """Whether a message with this value is a duplicate; if so, it is dropped and confirmed."""
        queue, duplicates = self._queue, self.duplicates
        if queue is None or duplicates is None or value is None or not duplicates.knows(value):
            return False
        queue.counters.duplicates += 1
        entry = queue.broker.refused.add(queue.vhost.name, message.address, DUPLICATE, queue.name, message.size)
        if entry is not None:
            entry.say(DUPLICATE, f"{queue} has a message with the same {duplicates.by}", message)
        if confirm is not None:
            duplicates.confirm(value, confirm, self._pending)
        return True

    def due_ms(self, message: Message, position: i64) -> int:
        """When a message at this position is due, in milliseconds since 1970; 0 if it is due now."""
        return 0 if self.holding is None else self.holding.due_ms(message, position, True)

    def take_found(self, entry: QueueEntry) -> None:
        """Take a message from the log: make it ready, or hold it until its time."""
        queue, holding = self._queue, self.holding
        if queue is None:
            return
        if self.duplicates is not None:
            value = self.duplicates.value(entry.message)
            if value is not None:
                self.duplicates.claim(value, entry.position)
        due_ms = self.due_ms(entry.message, entry.position)
        if due_ms and holding is not None:
            holding.add(entry, due_ms)
        else:
            queue.ready.push(entry)

    def take_resting(self, found: Resting) -> int:
        """At start-up, read messages from the log and restore them. Returns: their number."""
        queue = self._queue
        if queue is None:
            return 0
        positions = found.positions()
        count = 0
        for at in range(0, len(positions), 8 * PIECE):
            messages = queue.log.fetch(queue.queue_id, positions[at : at + 8 * PIECE])
            for message in messages:
                queue.restore(message)
            count += len(messages)
            budget = queue.broker.budget
            if budget.is_over():
                budget.relieve([queue], list(queue.broker.holders))
        return count

    # -- messages stored, refused or removed

    def gone(self, position: i64) -> None:
        """The message with this position has left the queue."""
        if self.duplicates is not None:
            self.duplicates.release(position)

    def not_taken(self) -> None:
        """The queue has not taken the last incoming message."""
        if self.duplicates is not None:
            self.duplicates.disclaim()

    def on_durable(self, position: int) -> None:
        """All messages up to this position are in the log."""
        if self.duplicates is not None:
            self.duplicates.on_durable(position)

    def on_refused(self, positions: list[int], again: bool, how: int) -> list[QueueEntry]:
        """The log could not store the messages at these positions. how: passed to their confirms.

        again: their publishers have to publish them again. Returns: the held messages that the queue must drop; they
        are no longer held.
        """
        given_up: list[QueueEntry] = []
        holding = self.holding
        if holding is not None:
            for held in holding.pick(positions):
                was_logged = held.entry.log_id > 0
                held.entry.log_id = 0
                if again and was_logged and holding.take(held.place) is not None:
                    given_up.append(held.entry)
        if self.duplicates is not None:
            self.duplicates.refuse(positions, how)
        return given_up

    def on_lost(self, how: int) -> None:
        """Another node has the queue. how: passed to waiting confirms."""
        if self.duplicates is not None:
            self.duplicates.refuse_all(how)

    def purge(self, waiting: list[QueueEntry]) -> Schedule | None:
        """Purge all messages that no consumer has. waiting: those that wait for a delayed retry.

        Returns: the held messages, which the budget still counts.
        """
        queue, duplicates = self._queue, self.duplicates
        held = None if self.holding is None else self.holding.take_all()
        if duplicates is not None and queue is not None:
            for entry in waiting:
                duplicates.release(entry.position)
            duplicates.purged(queue.ready, held)
        return held

    # -- outgoing messages

    def slows(self) -> bool:
        """Whether deliveries are limited or checked."""
        queue = self._queue
        if queue is None or queue.consumers.has_least_loaded_first or self._has_unseen():
            return True
        return self.brake is not None and self.brake.is_on

    def give(self) -> bool:
        """Deliver as many messages as allowed. Returns: whether more can be delivered now."""
        queue = self._queue
        if queue is None:
            return False
        room = self._room(queue) if queue.consumers.all and len(queue.ready) else 0
        if room <= 0:
            queue.look()
            if self.brake is not None and queue.consumers.all and len(queue.ready):
                self.brake.watch()
            return False
        before = queue.delivered
        has_more = self._deliver_seen(queue, room) if self._has_unseen() else queue.deliver(room)
        if self.brake is not None:
            self.brake.took(queue.delivered - before)
        return has_more

    def _room(self, queue: BaseQueue) -> i64:
        """The number of messages that may be delivered in one step."""
        room: i64 = PORTION
        if queue.consumers.has_least_loaded_first:  # this order compares many consumers for each message
            room = max(room * FEW // max(i64(len(queue.consumers)), FEW), 1)
        return room if self.brake is None else min(self.brake.room(), room)

    def may_get(self) -> bool:
        """Whether basic.get may return a message."""
        return self.brake is None or self.brake.room() > 0

    def got(self) -> None:
        """basic.get has returned a message."""
        if self.brake is not None:
            self.brake.took(1)

    def _has_unseen(self) -> bool:
        """Whether the queue may have messages whose delivery time was never checked."""
        return self.holding is not None and self.holding.until > 0

    def _deliver_seen(self, queue: BaseQueue, room: i64) -> bool:
        """Deliver some messages. First check the delivery time of those that arrived before the setting hold-until."""
        ready, holding = queue.ready, self.holding
        assert holding is not None
        left: i64 = PIECE
        while room > 0 and left > 0 and ready.has_near_head():
            if type(ready) is Ready and ready.first().position > holding.until:  # the same is true for all behind it
                return queue.deliver(room)
            left -= 1
            if self._hold_head(queue, holding):
                continue
            count, before = len(ready), queue.delivered
            queue.deliver(1)
            room -= queue.delivered - before
            if len(ready) == count:
                return False
        queue.look()
        if not len(ready):
            return False
        queue.fetch_later()
        return True

    def holds_head(self) -> bool:
        """Hold the first message if its delivery time has not come. Returns: whether it is held now.

        The first message must not be expired. Raises: Unreadable, NotHereYet.
        """
        queue, holding = self._queue, self.holding
        if queue is None or holding is None or not holding.until or not queue.ready.has_head():
            return False
        return self._hold_head(queue, holding)

    def _hold_head(self, queue: BaseQueue, holding: Holding) -> bool:
        entry = queue.ready.first()
        if entry.position > holding.until:
            return False
        due_ms = holding.due_ms(entry.message, entry.position, False)
        if due_ms:
            entry = queue.ready.pop()
            try:
                holding.add(entry, due_ms)
            except Exception as error:
                queue.leave(entry, RETURN, error)
        return due_ms > 0

    # -- held messages

    def held(self) -> int:
        """The number of held messages."""
        return 0 if self.holding is None else len(self.holding)

    def held_bytes(self) -> i64:
        """The size of their bodies in bytes."""
        return 0 if self.holding is None else self.holding.size

    def take_held(self, place: int) -> QueueEntry | None:
        """Take a held message. place: where it is in Holding; 0 for the earliest one. Returns: None if not found."""
        holding = self.holding
        if holding is None or not len(holding):
            return None
        return holding.take(place or holding.first())
