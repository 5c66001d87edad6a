"""InLog: the access of one queue to its messages in the log.

Persistent messages are there under the queue's id, spilled ones under the negative id.
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
    """The state of a queue in the log. durable: everything up to this position is stored, except refused messages.

    resting: the same for spilled messages.
    """

    __slots__ = ("_owner", "_spilled", "durable", "resting")

    def __init__(self, queue: BaseQueue) -> None:
        self._owner: BaseQueue | None = queue
        self._spilled: i64 = 0  # position of the last spilled message
        self.durable: i64 = 0
        self.resting: i64 = 0

    def append(self, entry: QueueEntry) -> None:
        """Store a message in the log."""
        queue = self._queue
        deadline_ms = int(entry.deadline_ms) + queue.broker.clock.offset_ms if entry.deadline_ms else 0
        queue.log.append(int(entry.log_id), int(entry.position), entry.message, deadline_ms, int(entry.level))

    def spill(self, entry: QueueEntry) -> bool:
        """Spill a message that need not survive a restart, so that it can be paged out. Returns: whether it may.

        Messages before an already spilled position may not: the log has the messages of a queue in order.
        """
        if self._queue.settings.max_priority >= 0 or entry.position <= self._spilled:
            return False
        self._spilled = entry.position
        entry.log_id = -self._queue.queue_id
        self.append(entry)
        return True

    def on_resting(self, position: int) -> None:
        """All spilled messages up to this position are in the log."""
        self.resting = max(self.resting, i64(position))
        self._queue.broker.budget.retry()

    def extent(self, entry: QueueEntry) -> i64:
        """The last position that is stored together with a message; 0 when it is not stored safely.

        Clears log_id if the log turns out not to have the message, because it refused it.
        """
        if entry.position > (self.durable if entry.log_id > 0 else self.resting):
            return 0
        log = self._queue.log
        found: i64 = log.extent(int(entry.log_id), int(entry.position))
        if not found and log.can_rest():
            entry.log_id = 0
        return found

    def fetch(self, run: Run, only_looks: bool = False) -> list[QueueEntry]:
        """Read paged-out messages, in order, without those that cannot be read any more."""
        queue = self._queue
        fetched = queue.log.fetch(int(run.log_id), run.positions, only_looks)
        messages = [self.found(found) for found in fetched]
        lost = int(run.count) - len(messages)
        if lost and not only_looks:
            where = f"queue '{queue.name}' in vhost '{queue.vhost.name}'"
            queue.broker.explanations.append(f"{lost} messages of {where} cannot be read, and are left out")
        return messages

    def load(self, entry: QueueEntry) -> bool:
        """Fetch the content of a single paged-out message. Returns: whether it could be read; if not, it is lost."""
        found = self.fetch(single(entry.log_id, entry.position, entry.message.size))
        if found:
            budget = self._queue.broker.budget
            budget.release(entry.message)
            self.revive(entry, found[0])
            budget.hold(entry.message)
        return len(found) > 0

    def look(self, entry: QueueEntry) -> QueueEntry | None:
        """Read a single paged-out message without restoring it; None when it cannot be read any more.

        Raises: Unreadable, NotHereYet.
        """
        found = self.fetch(single(entry.log_id, entry.position, entry.message.size), True)
        return found[0] if found else None

    def revive(self, entry: QueueEntry, found: QueueEntry) -> None:
        """Restore the content of a returned message; its headers show how often it was delivered."""
        entry.message = found.message
        if entry.counts:
            self.show_counts(entry)

    def found(self, found: Recovered) -> QueueEntry:
        """The entry for a message found in the log."""
        entry = QueueEntry(found.message, self._queue, i64(found.position), i64(found.queue_id))
        entry.redelivered = found.redelivered
        entry.level = found.level
        entry.deadline_ms = self._deadline_ms(found.deadline_ms)
        if found.counts:
            entry.counts = found.counts
            self.show_counts(entry)
        return entry

    def count(self, entry: QueueEntry, failed: bool) -> None:
        """Count a returned message, in the log if the counts matter, and in its headers."""
        if entry.acquired < MAX_ACQUIRED:
            entry.counts += 1
        if entry.log_id > 0 and (failed or self._queue.settings.queue_type == QUORUM):
            self._queue.log.counted(int(entry.log_id), int(entry.position), int(entry.counts))
        self.show_counts(entry)

    def show_counts(self, entry: QueueEntry) -> None:
        """In a quorum queue, write the counts of a message into its headers, once it has counts."""
        if self._queue.settings.queue_type == QUORUM and not entry.message.is_at_rest:
            try:
                show_counts(entry)
            except Exception as error:  # it goes on without them
                self._queue.broker.faults.own("count the deliveries of a message", error)

    def run(self, found: Resting) -> Run:
        """The run for messages that a start-up leaves paged out."""
        run = Run(self._queue.queue_id, self._deadline_ms(found.deadline_ms))
        run.extend(found.positions(), found.size)
        return run

    def stop(self) -> None:
        """The queue has ended: drop the reference to it."""
        self._owner = None

    def drop(self) -> None:
        """The queue is deleted: remove its messages from the log."""
        queue = self._queue
        if queue.durable:
            queue.log.drop(queue.queue_id)
        if self._spilled:
            queue.log.drop(-queue.queue_id)

    @property
    def _queue(self) -> BaseQueue:
        """The queue, which must not have ended."""
        assert self._owner is not None
        return self._owner

    def _deadline_ms(self, deadline_ms: i64) -> i64:
        """The deadline from the log, on the core's clock."""
        return max(deadline_ms - self._queue.broker.clock.offset_ms, 1) if deadline_ms else 0


def show_counts(entry: QueueEntry) -> None:
    """Write into the headers how often the message was delivered and returned, and how often that failed."""
    message = entry.message
    changes = {ACQUIRED_COUNT: patch.long_value(int(entry.acquired))}
    if entry.failures:
        changes[DELIVERY_COUNT] = patch.long_value(int(entry.failures))
    try:
        start, end = patch.header_range(message.content)
        headers = patch.changed(message.content, start, end, changes)
    except (DecodeError, IndexError):  # it goes on without the unreadable properties
        message = message.without_properties()
        headers = patch.changed(b"", 0, 0, changes)
    entry.message = message.copy(patch.with_headers(message.content, headers, True))
    entry.message.is_counted = True
