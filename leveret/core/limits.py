"""The limits of a queue: how long it may be, and how often a delivery of one message may fail.

Ready messages count for the length, and dead letters that must arrive elsewhere. What is too much is dropped from the
head, or not taken at all.
Source: rabbit_amqqueue_process.erl (maybe_drop_head), rabbit_fifo.erl (delivery limit, x-acquired-count).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from leveret.core.bounds import COUNT
from leveret.core.dead_letter import DELIVERY_LIMIT, MAXLEN
from leveret.core.litter import trim_later
from leveret.core.message import Message, Stored
from leveret.core.work import PIECE, giving_up
from leveret.wire import patch
from leveret.wire.fields import DecodeError

if TYPE_CHECKING:
    from leveret.core.queue import Queue

ACQUIRED_COUNT: Final = b"x-acquired-count"
DELIVERY_COUNT: Final = b"x-delivery-count"


def is_over(queue: Queue, more: i64, more_bytes: i64) -> bool:
    """Whether the ready messages, the dead letters that must arrive, and so many more, exceed a limit.

    Source: rabbit_fifo.erl is_over_limit.
    """
    settings = queue.settings
    if settings.max_length >= 0 and len(queue.ready) + queue.letters + more > settings.max_length:
        return True
    waiting = queue.ready.size + queue.letter_bytes
    return settings.max_length_bytes >= 0 and waiting + more_bytes > settings.max_length_bytes


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
    stored.failures += 1
    limit = stored.queue.settings.delivery_limit
    if limit < 0 or int(stored.failures) <= limit:
        return False
    stored.queue.die(stored, DELIVERY_LIMIT)
    return True


def show_counts(stored: Stored) -> None:
    """Put into the headers how often the message was given to somebody, and how often that failed."""
    message = stored.message
    counted = message.header(ACQUIRED_COUNT) if message.is_counted else None
    changes = {ACQUIRED_COUNT: patch.long_value(COUNT.nearest(COUNT.of(counted, 0) + 1))}
    if stored.failures:
        changes[DELIVERY_COUNT] = patch.long_value(int(stored.failures))
    try:
        start, end = patch.header_range(message.content)
        headers = patch.changed(message.content, start, end, changes)
    except (DecodeError, IndexError):  # it goes on without what cannot be read
        message = message.without_properties()
        headers = patch.changed(b"", 0, 0, changes)
    content = patch.with_headers(message.content, headers, True)
    stored.message = Message(message.address, content, message.persistent, message.has_died)
    stored.message.is_counted = True
