"""Source: the source broker, over one connection to one virtual host.

A consumer takes the messages of a queue in order. For an auto-delete queue, which would be deleted with its last
consumer, basic.get is used instead. Unacknowledged messages are requeued, at the latest when the connection ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from leveret.node.amqp import AmqpClient, AmqpError, Got
from leveret.node.migration.letter import Letter
from leveret.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicQos,
    BasicQosOk,
    QueueDeclare,
    QueueDeclareOk,
)

TAG: Final = "leveret-migrate"
QUIET_S: Final = 0.2  # without a message, before checking whether the queue is empty
STALLED_S: Final = 5.0  # without a message from a queue that is not empty
WINDOW_BYTES: Final = 16 << 20  # of messages in flight
MIN_PREFETCH: Final = 4
NO_QUEUE: Final = "no queue"  # in the error text for a queue that does not exist
MAX_GETS: Final = 100  # basic.get requests at once


@dataclass(frozen=True)
class Place:
    """A queue to move, as it is in the source."""

    vhost: str
    name: str
    kind: str = "classic"
    auto_delete: bool = False
    mean_bytes: int = 0  # of a message; 0 if unknown
    delivery_limit: int | None = None  # deliveries after which a message is dropped

    @property
    def key(self) -> tuple[str, str]:
        """Its key in dictionaries."""
        return self.vhost, self.name


class Withheld(Exception):
    """A queue has messages that cannot be moved now. The text says why."""


class Ended(Withheld):
    """The source cancelled the consumer."""


class Source:
    """A connection. is_cancelled: the consumer is cancelled. All methods raise AmqpError if the connection is lost."""

    def __init__(self, client: AmqpClient, window: int) -> None:
        """window: messages in one batch."""
        self.client = client
        self._window = window
        self._place: Place | None = None
        self._tag = ""  # of the consumer; empty without one
        self._has_ended = False  # the source cancelled it
        self.is_cancelled = False
        self._opened = 0  # queues so far
        self._ready: deque[Got] = deque()
        self._is_careful = False

    def count(self, queue: str) -> int | None:
        """The number of ready messages; None if there is no queue. Requires that no queue is open. Raises: Withheld."""
        try:
            return self._count(queue)
        except AmqpError as error:
            if not error.is_channel:
                raise
            self.client.reopen()
            if NO_QUEUE in str(error):
                return None
            raise Withheld(str(error)) from None

    def open(self, place: Place, is_careful: bool = False) -> None:
        """Start taking messages from a queue. is_careful: one by one. Raises: Withheld."""
        self._is_careful = is_careful
        self._place = place
        self._tag, self._has_ended, self.is_cancelled = "", False, False
        self._opened += 1
        self._ready.clear()
        if place.auto_delete:
            return
        self._tag = f"{TAG}-{self._opened}"
        try:
            self.client.call(BasicQos(0, self._prefetch(place)), BasicQosOk)
            self.client.call(BasicConsume(place.name, self._tag), BasicConsumeOk)
        except AmqpError as error:
            if not error.is_channel:
                raise
            self._place, self._tag = None, ""
            self.client.reopen()
            if error.code == 403:
                raise Withheld(f"another consumer has exclusive access: {error}") from None
            raise Withheld(str(error)) from None

    def take(self, most: int | None) -> list[Letter]:
        """The next batch, in order; empty if there is nothing now. most: letters. Raises: Withheld."""
        letters: list[Letter] = []
        size = 0
        limit = 1 if self._is_careful else self._window
        limit = limit if most is None else min(limit, most)
        while len(letters) < limit and size < WINDOW_BYTES:
            got = self._next(QUIET_S if not letters else 0)
            if got is None:
                break
            letter = Letter(got, self._has_counts)
            letters.append(letter)
            size += letter.size
        return letters

    def is_empty(self) -> bool:
        """Whether the queue has no ready messages, and none were received."""
        assert self._place is not None
        if self._ready:
            return False
        count = self._count(self._place.name)
        self._sort()
        return count == 0 and not self._ready

    def acknowledge(self, tag: int) -> None:
        """Acknowledge all letters up to this tag."""
        self.client.send(BasicAck(tag, True))

    def acknowledge_singly(self, letters: Iterable[Letter]) -> None:
        """Acknowledge these letters."""
        for letter in letters:
            self.client.put(BasicAck(letter.tag))
        self.client.flush()

    def cancel(self) -> None:
        """Cancel the consumer. Messages already delivered can still be taken."""
        is_over, self.is_cancelled = self.is_cancelled or self._has_ended, True
        if self._tag and not is_over:
            self.client.call(BasicCancel(self._tag), BasicCancelOk)

    def release(self) -> None:
        """Stop taking messages and requeue unacknowledged ones.

        A quorum queue may requeue them in another order: prefer to cancel and take the rest.
        """
        if self._place is None:
            return
        self.cancel()
        self.client.put(BasicNack(0, True, True))
        self.client.call(BasicQos(0, MIN_PREFETCH), BasicQosOk)  # its answer shows that the nack is processed
        self._sort()
        self._place, self._tag = None, ""
        self._ready.clear()

    @property
    def _has_counts(self) -> bool:
        return self._place is not None and self._place.kind == "quorum"

    def _prefetch(self, place: Place) -> int:
        """Two batches, so that one arrives while the other is stored, but at most 2 * WINDOW_BYTES."""
        if self._is_careful:
            return 1
        most = 2 * self._window
        if not place.mean_bytes:
            return most
        return max(MIN_PREFETCH, min(most, 2 * WINDOW_BYTES // place.mean_bytes))

    def _next(self, patience_s: float) -> Got | None:
        """The next message; None after a timeout. Raises: Withheld."""
        assert self._place is not None
        if self._place.auto_delete:
            if not self._ready and patience_s and not self.is_cancelled:
                self._get(self._place.name)
            return self._take_ready()
        while not self._ready:
            if self._has_ended and not self.is_cancelled:
                raise Ended("the source cancelled the consumer: the queue was deleted, or has moved")
            got = self.client.next(patience_s)
            if got is None:
                return None
            self._sort_one(got)
        return self._take_ready()

    def _take_ready(self) -> Got | None:
        return self._ready.popleft() if self._ready else None

    def _get(self, queue: str) -> None:
        """Send many basic.get requests at once."""
        assert self._place is not None
        count = min(self._window, MAX_GETS)
        if self._place.mean_bytes:
            count = max(1, min(count, WINDOW_BYTES // self._place.mean_bytes))
        for _ in range(count):
            self.client.put(BasicGet(queue))
        self.client.flush()
        while count:
            self._sort_one(self.client.take(BasicGetOk, BasicGetEmpty))
            count -= 1

    def _count(self, queue: str) -> int:
        return self.client.call(QueueDeclare(queue, passive=True), QueueDeclareOk).message_count

    def _sort(self) -> None:
        """Process what was received besides an answer."""
        while True:
            got = self.client.next(0)
            if got is None:
                return
            self._sort_one(got)

    def _sort_one(self, got: Got) -> None:
        method = got.method
        if isinstance(method, BasicDeliver) and method.consumer_tag != self._tag:  # late, of another queue
            self.client.send(BasicNack(method.delivery_tag, False, True))
        elif isinstance(method, BasicDeliver | BasicGetOk):
            self._ready.append(got)
        elif isinstance(method, BasicCancel) and method.consumer_tag == self._tag:
            self._has_ended = True
