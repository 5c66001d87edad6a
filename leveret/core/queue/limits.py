"""The limits of a queue: how long it may be, and how often and how soon one message is delivered again.

Ready messages count for the length, those that wait to be delivered again, and dead letters that must arrive elsewhere.
What is too much is dropped from the head, or not taken at all.
Source: rabbit_amqqueue_process.erl (maybe_drop_head), rabbit_fifo.erl (delivery limit, x-acquired-count).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from leveret.core.message.message import FAILURE, MAX_FAILURES, Message, Stored
from leveret.core.queue.dead_letter import DELIVERY_LIMIT, MAXLEN
from leveret.core.queue.discard import trim_later
from leveret.core.turn.work import PIECE, giving_up
from leveret.wire import patch
from leveret.wire.fields import DecodeError

if TYPE_CHECKING:
    from leveret.core.queue.queue import Queue

ACQUIRED_COUNT: Final = b"x-acquired-count"
DELIVERY_COUNT: Final = b"x-delivery-count"


def is_over(queue: Queue, more: i64, more_bytes: i64) -> bool:
    """Whether the messages that wait, the dead letters that must arrive, and so many more, exceed a limit.

    Source: rabbit_fifo.erl is_over_limit.
    """
    settings = queue.settings
    if settings.max_length >= 0:
        count: i64 = len(queue.ready) + len(queue.retries) + queue.letters
        if count + more > settings.max_length:
            return True
    size: i64 = queue.ready.size + queue.retries.size + queue.letter_bytes
    return settings.max_length_bytes >= 0 and size + more_bytes > settings.max_length_bytes


def has_room(queue: Queue, message: Message) -> bool:
    """Whether a queue that refuses what is too much takes this message; consumers have had their chance."""
    if not is_over(queue, 1, message.size):
        return True
    if queue.settings.rejects_dead:
        queue.die(Stored(message, queue, 0, False), MAXLEN)
    return False


def drop_excess(queue: Queue) -> None:
    """Drop from the head what is too much, once consumers have had their chance; not too much at once."""
    if is_over(queue, 0, 0):
        queue.flow()
        left: i64 = PIECE
        while is_over(queue, 0, 0) and queue.ready.has_head():
            if left <= 0:
                trim_later(queue)
                return
            stored = queue.ready.pop()
            left -= giving_up(queue, stored.message)
            queue.die(stored, MAXLEN)


def fail(stored: Stored) -> bool:
    """Count a delivery that failed. Returns: whether the message had its last chance, and is gone."""
    if stored.failures < MAX_FAILURES:
        stored.counts += FAILURE
    limit = stored.queue.settings.delivery_limit
    if limit < 0 or int(stored.failures) <= limit:
        return False
    stored.queue.die(stored, DELIVERY_LIMIT)
    return True


def retry_delay_ms(stored: Stored, failed: bool) -> int:
    """How long a message has to wait that came back; 0 for not at all. failed: it counts for the delivery limit.

    The more deliveries have failed, the longer. Source: rabbit_fifo.erl (should_delay, calculate_ready_at).
    """
    settings = stored.queue.settings
    if not (settings.delays_failed if failed else settings.delays_returned):
        return 0
    return min(settings.retry_min_ms * max(int(stored.failures), 1), settings.retry_max_ms)


def show_counts(stored: Stored) -> None:
    """Put into the headers how often the message was given to somebody, and how often that failed."""
    message = stored.message
    changes = {ACQUIRED_COUNT: patch.long_value(int(stored.acquired))}
    if stored.failures:
        changes[DELIVERY_COUNT] = patch.long_value(int(stored.failures))
    try:
        start, end = patch.header_range(message.content)
        headers = patch.changed(message.content, start, end, changes)
    except (DecodeError, IndexError):  # it goes on without what cannot be read
        message = message.without_properties()
        headers = patch.changed(b"", 0, 0, changes)
    stored.message = message.copy(patch.with_headers(message.content, headers, True))
    stored.message.is_counted = True
