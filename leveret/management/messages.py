"""Verbs on the messages of a queue: to look at them from outside, and to put some in. Both work in small steps."""

from __future__ import annotations

from typing import Annotated

import msgspec
from librt.strings import BytesWriter

from leveret.core.broker import Broker
from leveret.core.errors.administration import InvalidError, Promise
from leveret.core.message import codec
from leveret.core.message.loading import Loading
from leveret.core.message.log import NotHereYet, Unreadable
from leveret.core.queue.browsing import TOP, Page
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.queue import Queue
from leveret.core.turn.alarms import BEHIND
from leveret.management.errors import unknown
from leveret.management.vhosts import find_vhost
from leveret.wire.fields import DecodeError

Number = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]  # that the broker calculates with

PAGE_MESSAGES = 500
PAGE_BYTES = 1 << 20


def find_queue(broker: Broker, vhost: str, name: str) -> Queue:
    """The queue. Raises: UnknownError that suggests a name that is close, InvalidError when it is exclusive."""
    queues = find_vhost(broker, vhost).queues
    queue = queues.get(name)
    if queue is None:
        raise unknown("queue", name, queues)
    if queue.owner:
        raise InvalidError(f"queue '{name}' is exclusive: it belongs to one connection, and ends with it")
    return queue


class Export(Promise):
    """A page of what is ready in a queue, which may have to come from its log first."""

    def __init__(self, broker: Broker, queue: Queue, page: Page) -> None:
        super().__init__()
        self._broker = broker
        self._queue = queue
        self._page = page
        self._why = ""

    def is_done(self) -> bool:
        """Whether the page is there, or cannot be."""
        queue = self._queue
        if queue.deleted:
            self._why = f"{queue} is not here any more: {queue.fault or 'it was deleted'}"
            return True
        try:
            queue.browse(self._page)
        except NotHereYet:
            return False
        except Unreadable as error:
            self._why = f"{error}; try again"
        return True

    def entries(self) -> list[QueueEntry]:
        """The messages of the page, without those that have expired. Raises: InvalidError."""
        if self._why:
            raise InvalidError(self._why)
        now_ms = self._broker.clock.now_ms
        return [each for each in self._page.messages if not each.deadline_ms or each.deadline_ms >= now_ms]

    def result(self) -> object:
        """What export_messages() answers. Raises: InvalidError."""
        entries = self.entries()
        out = BytesWriter()
        for entry in entries:
            codec.unframed(entry.message, entry.redelivered).write(out)
        return {"data": out.getvalue(), **self.told(len(entries))}

    def told(self, count: int) -> dict[str, object]:
        """What export_messages() answers beside the messages. count: of entries()."""
        queue, page = self._queue, self._page
        return {
            "queue_id": queue.queue_id,
            "level": int(page.level),
            "position": int(page.position),
            "until": int(page.until),
            "is_last": page.is_last,
            "ready": len(queue.ready),
            "unacked": int(queue.unacked),
            "waiting": len(queue.retries),
            "held": queue.detours.held(),
            "expired": len(page.messages) - count,
            "missing": int(page.missing),
        }


def export_messages(
    broker: Broker,
    queue: str,
    vhost: str = "/",
    queue_id: Number = 0,
    level: Number = TOP,
    position: Number = 0,
    until: Number = -1,
) -> Export:
    """The ready messages of a queue behind a place, encoded, in `data`; the queue does not change.

    Begin without queue_id, level, position and until; go on with those of the answer until is_last. ready, unacked,
    waiting, held: how many there are now; left out are those that wait to be delivered again, or for their times.
    expired: of this page, left out because no consumer would get them. missing: of this page, those that cannot be read
    any more.
    """
    found = find_queue(broker, vhost, queue)
    if queue_id not in (0, found.queue_id):
        raise InvalidError(f"queue '{queue}' was deleted and made anew meanwhile")
    return Export(broker, found, Page(level, position, until, PAGE_MESSAGES, PAGE_BYTES))


class Import(Promise):
    """Messages on their way into a queue. is_full: it had no room for one. duplicates: of those that it has taken."""

    def __init__(self, loading: Loading, is_full: bool, duplicates: int) -> None:
        super().__init__()
        self._loading = loading
        self._is_full = is_full
        self._duplicates = duplicates

    def is_done(self) -> bool:
        """Whether all that were taken are safe, or are known not to be."""
        return self._loading.is_settled()

    def result(self) -> object:
        """How many are safe."""
        return {
            "stored": self._loading.stored,
            "unsafe": self._loading.unsafe,
            "is_full": self._is_full,
            "duplicates": self._duplicates,
        }


def import_messages(broker: Broker, queue: str, vhost: str = "/", data: bytes = b"") -> object:
    """Publish encoded messages to a queue, past all exchanges. Without data: ask whether that would be possible.

    The answer comes when it is known of each message whether it is safe. stored: how many are. unsafe: how many could
    not be written to the disk. is_full: the one behind these was refused, and nothing behind it was looked at.
    duplicates: of those stored, how many a deduplicating queue had already. blocked: why publishers have to wait;
    nothing was looked at, ask again. max_message_size: bytes that a body may have.
    """
    found = find_queue(broker, vhost, queue)
    limit = broker.max_message_size
    try:
        messages = [item.message() for item in codec.decode(data)]
    except DecodeError as error:
        raise InvalidError(str(error)) from None
    for message in messages:
        if message.size > limit:
            raise InvalidError(f"message size {message.size} is larger than configured max size {limit}")
    reason = why_blocked(broker)
    if reason or not messages:
        return {"stored": 0, "unsafe": 0, "is_full": False, "blocked": reason, "max_message_size": limit}
    loading = Loading(found)
    before = duplicates(found)
    is_full = any(not loading.publish(message) for message in messages)  # ends with the first
    return Import(loading, is_full, duplicates(found) - before)


def why_blocked(broker: Broker) -> str:
    """Why publishers have to wait; empty if they need not."""
    return broker.alarms.reason() or ("the disk is slow" if broker.alarms.raised & BEHIND else "")


def duplicates(queue: Queue) -> int:
    """How many messages the queue had already when they came."""
    return int(queue.counters.duplicates)
