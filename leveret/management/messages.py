"""Verbs on the messages of a queue: export and import, in small steps."""

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

Number = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]  # fits the broker's arithmetic

PAGE_MESSAGES = 500
PAGE_BYTES = 1 << 20


def find_queue(broker: Broker, vhost: str, name: str) -> Queue:
    """The queue. Raises: UnknownError, which suggests a similar name; InvalidError, if it is exclusive."""
    queues = find_vhost(broker, vhost).queues
    queue = queues.get(name)
    if queue is None:
        raise unknown("queue", name, queues)
    if queue.owner:
        raise InvalidError(f"queue '{name}' is exclusive: it belongs to one connection and is deleted with it")
    return queue


class Export(Promise):
    """A page of ready messages of a queue, which may have to be read from disk first."""

    def __init__(self, broker: Broker, queue: Queue, page: Page) -> None:
        super().__init__()
        self._broker = broker
        self._queue = queue
        self._page = page
        self._why = ""

    def is_done(self) -> bool:
        """Whether the page was read, or cannot be read."""
        queue = self._queue
        if queue.deleted:
            self._why = f"{queue} no longer exists: {queue.fault or 'it was deleted'}"
            return True
        try:
            queue.browse(self._page)
        except NotHereYet:
            return False
        except Unreadable as error:
            self._why = f"{error}; try again"
        return True

    def entries(self) -> list[QueueEntry]:
        """The messages of the page, without expired ones. Raises: InvalidError."""
        if self._why:
            raise InvalidError(self._why)
        now_ms = self._broker.clock.now_ms
        return [each for each in self._page.messages if not each.deadline_ms or each.deadline_ms >= now_ms]

    def result(self) -> object:
        """The answer of export_messages(). Raises: InvalidError."""
        entries = self.entries()
        out = BytesWriter()
        for entry in entries:
            codec.unframed(entry.message, entry.redelivered).write(out)
        return {"data": out.getvalue(), **self.told(len(entries))}

    def told(self, count: int) -> dict[str, object]:
        """The answer of export_messages() besides the messages. count: of entries()."""
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
    """A page of the ready messages of a queue after a position, encoded, in `data`. The queue does not change.

    Start without queue_id, level, position and until; continue with those of the answer until is_last. ready, unacked,
    waiting, held: current counts; messages waiting for redelivery or for their delivery time are left out. expired:
    messages of this page left out, as no consumer would receive them. missing: unreadable messages of this page.
    """
    found = find_queue(broker, vhost, queue)
    if queue_id not in (0, found.queue_id):
        raise InvalidError(f"queue '{queue}' was deleted and declared again meanwhile")
    return Export(broker, found, Page(level, position, until, PAGE_MESSAGES, PAGE_BYTES))


class Import(Promise):
    """An import into a queue. is_full: the queue rejected a message. duplicates: messages that it already had."""

    def __init__(self, loading: Loading, is_full: bool, duplicates: int) -> None:
        super().__init__()
        self._loading = loading
        self._is_full = is_full
        self._duplicates = duplicates

    def is_done(self) -> bool:
        """Whether it is known for all accepted messages whether they are safe."""
        return self._loading.is_settled()

    def result(self) -> object:
        """The answer of import_messages()."""
        return {
            "stored": self._loading.stored,
            "unsafe": self._loading.unsafe,
            "is_full": self._is_full,
            "duplicates": self._duplicates,
        }


def import_messages(broker: Broker, queue: str, vhost: str = "/", data: bytes = b"") -> object:
    """Publish encoded messages directly to a queue, bypassing exchanges. Without data: check whether that is possible.

    Answers once it is known for each message whether it is safe. stored: number of safe messages. unsafe: number that
    could not be written to disk. is_full: the queue rejected the next message; the rest was not processed. duplicates:
    how many of those stored a deduplicating queue already had. blocked: why publishers are blocked; nothing was
    processed, try again. max_message_size: maximum size of a body in bytes.
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
    is_full = any(not loading.publish(message) for message in messages)  # stops at the first rejection
    return Import(loading, is_full, duplicates(found) - before)


def why_blocked(broker: Broker) -> str:
    """Why publishers are blocked; empty if they are not."""
    return broker.alarms.reason() or ("the disk is slow" if broker.alarms.raised & BEHIND else "")


def duplicates(queue: Queue) -> int:
    """The number of duplicates that the queue dropped."""
    return int(queue.counters.duplicates)
