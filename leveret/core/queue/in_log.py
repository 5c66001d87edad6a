"""InLog: the messages of one queue, as the log has them.

Persistent ones are there under the queue's id. Those that are there only to rest are there under the negative id.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.message.log import Recovered, Resting
from leveret.core.policy.arguments import QUORUM
from leveret.core.queue.base import BaseQueue
from leveret.core.queue.entry import MAX_ACQUIRED, QueueEntry
from leveret.core.queue.ready import Source
from leveret.core.queue.run import Run, single
from leveret.wire import patch
from leveret.wire.fields import DecodeError

ACQUIRED_COUNT: Final = b"x-acquired-count"  # source: rabbit_fifo.erl
DELIVERY_COUNT: Final = b"x-delivery-count"


class InLog(Source):
    """What the log has of a queue. durable: everything up to this position, but what it refused.

    resting: the same for what is there only to rest.
    """

    __slots__ = ("_owner", "_spilled", "durable", "resting")

    def __init__(self, queue: BaseQueue) -> None:
        self._owner: BaseQueue | None = queue
        self._spilled: i64 = 0  # up to this position something is or was there to rest
        self.durable: i64 = 0
        self.resting: i64 = 0

    def append(self, entry: QueueEntry) -> None:
        """Let the log have a message."""
        queue = self._queue
        deadline_ms = int(entry.deadline_ms) + queue.broker.clock.offset_ms if entry.deadline_ms else 0
        queue.log.append(int(entry.log_id), int(entry.position), entry.message, deadline_ms, int(entry.level))

    def spill(self, entry: QueueEntry) -> bool:
        """Let the log have a message that need not survive a restart, so that it can rest there. Returns: if it may.

        What is behind others that were there must not: the log has the messages of a queue in order.
        """
        if self._queue.settings.max_priority >= 0 or entry.position <= self._spilled:
            return False
        self._spilled = entry.position
        entry.log_id = -self._queue.queue_id
        self.append(entry)
        return True

    def on_resting(self, position: int) -> None:
        """The log has everything that is there to rest up to this position."""
        self.resting = max(self.resting, i64(position))
        self._queue.broker.budget.retry()

    def extent(self, entry: QueueEntry) -> i64:
        """The last position that rests together with a message; 0 when it does not rest safely.

        One that turns out to be unknown to the log, which has refused it, is not in it from now on.
        """
        if entry.position > (self.durable if entry.log_id > 0 else self.resting):
            return 0
        log = self._queue.log
        found: i64 = log.extent(int(entry.log_id), int(entry.position))
        if not found and log.can_rest():
            entry.log_id = 0
        return found

    def fetch(self, run: Run, only_looks: bool = False) -> list[QueueEntry]:
        """Messages that rest, in order; without those that cannot be read any more."""
        queue = self._queue
        fetched = queue.log.fetch(int(run.log_id), run.positions, only_looks)
        messages = [self.found(found) for found in fetched]
        lost = int(run.count) - len(messages)
        if lost and not only_looks:
            where = f"queue '{queue.name}' in vhost '{queue.vhost.name}'"
            queue.broker.explanations.append(f"{lost} messages of {where} cannot be read, and are left out")
        return messages

    def load(self, entry: QueueEntry) -> bool:
        """Fetch the content of a single message that rests. Returns: whether it could be read, or is gone."""
        found = self.fetch(single(entry.log_id, entry.position, entry.message.size))
        if found:
            budget = self._queue.broker.budget
            budget.release(entry.message)
            self.revive(entry, found[0])
            budget.hold(entry.message)
        return len(found) > 0

    def look(self, entry: QueueEntry) -> QueueEntry | None:
        """A message that rests alone, for somebody who only looks; None when it cannot be read any more.

        Raises: Unreadable, NotHereYet.
        """
        found = self.fetch(single(entry.log_id, entry.position, entry.message.size), True)
        return found[0] if found else None

    def revive(self, entry: QueueEntry, found: QueueEntry) -> None:
        """A message that came back without its content has it again; its headers show how often it was delivered."""
        entry.message = found.message
        if entry.counts:
            self.show_counts(entry)

    def found(self, found: Recovered) -> QueueEntry:
        """A message as the log has it."""
        entry = QueueEntry(found.message, self._queue, i64(found.position), i64(found.queue_id))
        entry.redelivered = found.redelivered
        entry.level = found.level
        entry.deadline_ms = self._deadline_ms(found.deadline_ms)
        if found.counts:
            entry.counts = found.counts
            self.show_counts(entry)
        return entry

    def count(self, entry: QueueEntry, failed: bool) -> None:
        """A message came back: let the log have its counts, if they matter, and clients see them."""
        if entry.acquired < MAX_ACQUIRED:
            entry.counts += 1
        if entry.log_id > 0 and (failed or self._queue.settings.queue_type == QUORUM):
            self._queue.log.counted(int(entry.log_id), int(entry.position), int(entry.counts))
        self.show_counts(entry)

    def show_counts(self, entry: QueueEntry) -> None:
        """Quorum queues have the counts of a message in its headers, once it has these."""
        if self._queue.settings.queue_type == QUORUM and not entry.message.is_at_rest:
            try:
                show_counts(entry)
            except Exception as error:  # it goes without
                self._queue.broker.faults.own("count the deliveries of a message", error)

    def run(self, found: Resting) -> Run:
        """Messages that a start-up leaves in the log."""
        run = Run(self._queue.queue_id, self._deadline_ms(found.deadline_ms))
        run.extend(found.positions(), found.size)
        return run

    def stop(self) -> None:
        """The queue has ended: nothing may hold on to it."""
        self._owner = None

    def drop(self) -> None:
        """The queue is deleted: the log forgets its messages."""
        queue = self._queue
        if queue.durable:
            queue.log.drop(queue.queue_id)
        if self._spilled:
            queue.log.drop(-queue.queue_id)

    @property
    def _queue(self) -> BaseQueue:
        """The queue, which has not ended."""
        assert self._owner is not None
        return self._owner

    def _deadline_ms(self, deadline_ms: i64) -> i64:
        """What the log has as a deadline, on the core's clock."""
        return max(deadline_ms - self._queue.broker.clock.offset_ms, 1) if deadline_ms else 0


def show_counts(entry: QueueEntry) -> None:
    """Put into the headers how often the message was given to somebody, and how often that failed."""
    message = entry.message
    changes = {ACQUIRED_COUNT: patch.long_value(int(entry.acquired))}
    if entry.failures:
        changes[DELIVERY_COUNT] = patch.long_value(int(entry.failures))
    try:
        start, end = patch.header_range(message.content)
        headers = patch.changed(message.content, start, end, changes)
    except (DecodeError, IndexError):  # it goes on without what cannot be read
        message = message.without_properties()
        headers = patch.changed(b"", 0, 0, changes)
    entry.message = message.copy(patch.with_headers(message.content, headers, True))
    entry.message.is_counted = True
