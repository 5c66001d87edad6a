"""The limits of a queue: how long it may be, and how often and how soon one message is delivered again.

Ready messages count for the length, and those that wait to be delivered again. What is too much is dropped from the
head, or not taken at all.
Source: rabbit_amqqueue_process.erl (maybe_drop_head), rabbit_fifo.erl (delivery limit, x-acquired-count).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from leveret.core.chores import PIECE
from leveret.core.dead_letter import DELIVERY_LIMIT, MAXLEN
from leveret.core.litter import trim_later
from leveret.core.message import FAILURE, MAX_FAILURES, Message, Stored
from leveret.wire import content as frames
from leveret.wire.fields import long

if TYPE_CHECKING:
    from leveret.core.queue import Queue

ACQUIRED_COUNT: Final = "x-acquired-count"
DELIVERY_COUNT: Final = "x-delivery-count"


def is_over(queue: Queue, more: i64, more_bytes: i64) -> bool:
    """Whether the messages that wait, and so many more, exceed a limit."""
    settings = queue.settings
    if settings.max_length >= 0 and len(queue.ready) + len(queue.retries) + more > settings.max_length:
        return True
    size: i64 = queue.ready.size + queue.retries.size
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
            if not left:
                trim_later(queue)
                return
            left -= 1
            queue.die(queue.ready.pop(), MAXLEN)


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
    properties = message.readable_properties()
    headers = properties.headers if properties.headers is not None else {}
    headers[ACQUIRED_COUNT] = long(int(stored.acquired))
    if stored.failures:
        headers[DELIVERY_COUNT] = long(int(stored.failures))
    properties.headers = {name: headers[name] for name in sorted(headers)}
    content = frames.replace_properties(message.content, properties.encode())
    stored.message = message.copy(content)
    stored.message.is_counted = True
