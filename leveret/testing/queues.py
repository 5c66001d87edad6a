"""A view of a queue for tests. Every property returns the current state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.core.client.receiver import Receiver
from leveret.core.errors.diagnostics import nearest
from leveret.core.queue.browsing import TOP, Page
from leveret.core.queue.consumers import Consumer as CoreConsumer
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.queue import Queue as CoreQueue
from leveret.testing.messages import Consumer, Delivery, Message, details

if TYPE_CHECKING:
    from leveret.testing.server import Server

ALL: Final = 1 << 62


class Queue:
    """A queue by name. Properties raise LookupError if it does not exist at that time."""

    def __init__(self, server: Server, vhost: str, name: str) -> None:
        self.name = name
        self._server = server
        self._vhost = vhost

    @property
    def exists(self) -> bool:
        """Whether the queue exists."""
        return self._server.call(lambda: self.name in self._server.vhost(self._vhost).queues)

    @property
    def ready(self) -> int:
        """The number of ready messages."""
        return self._server.call(lambda: len(self.found().ready))

    @property
    def unacked(self) -> int:
        """The number of unacknowledged messages."""
        return self._server.call(lambda: int(self.found().unacked))

    @property
    def messages(self) -> list[Message]:
        """The ready messages in order; the queue does not change. Cost: a copy of each message."""
        return self._server.call(self._messages)

    @property
    def deliveries(self) -> list[Delivery]:
        """The unacknowledged deliveries."""
        return self._server.call(lambda: deliveries(self._server, self._vhost, self.found().name))

    @property
    def consumers(self) -> list[Consumer]:
        """The consumers of the queue."""
        return self._server.call(lambda: [_consumer(each) for each in self.found().consumers.all])

    @property
    def arguments(self) -> dict[str, object]:
        """The arguments of its declaration."""
        from leveret.management.arguments import to_json

        return self._server.call(lambda: to_json(self.found().arguments))

    def purge(self) -> int:
        """Delete all ready messages. Returns: their number."""
        return self._server.call(lambda: self.found().purge())

    def delete(self) -> None:
        """Delete the queue. Consumers receive basic.cancel."""
        self._server.call(lambda: self._server.vhost(self._vhost).remove_queue(self.found()))

    def __repr__(self) -> str:
        return f"<queue '{self.name}' in virtual host '{self._vhost}'>"

    def found(self) -> CoreQueue:
        """The core's queue. Call on the event loop. Raises: LookupError."""
        queues = self._server.vhost(self._vhost).queues
        found = queues.get(self.name)
        if found is None:
            near = nearest(self.name, queues)
            hint = f"did you mean '{near}'?" if near else f"existing queues: {', '.join(sorted(queues)) or 'none'}"
            raise LookupError(f"there is no queue '{self.name}' in virtual host '{self._vhost}'; {hint}")
        return found

    def has_next(self) -> bool:
        """Whether the queue exists and has a ready message. Call on the event loop."""
        found = self._server.vhost(self._vhost).queues.get(self.name)
        return found is not None and len(found.ready) > 0

    def take(self) -> QueueEntry | None:
        """Take the next message; the caller must settle it. Call on the event loop. Raises: LookupError."""
        queue = self.found()
        while not queue.clear_head():
            queue.broker.share.begin()  # no client is waiting for this turn
        return queue.get()

    def _messages(self) -> list[Message]:
        queue = self.found()
        page = Page(TOP, 0, -1, ALL, ALL)
        queue.browse(page)
        found = page.messages
        while not page.is_last:  # some are paged out
            page = Page(page.level, page.position, page.until, ALL, ALL)
            queue.browse(page)
            found += page.messages
        return [Message(**details(entry.message, entry.redelivered)) for entry in found]


def _consumer(consumer: CoreConsumer) -> Consumer:
    name = consumer.subscriber.party.label if isinstance(consumer.subscriber, Receiver) else ""
    return Consumer(consumer.tag, name, int(consumer.window.limit), consumer.no_ack, int(consumer.window.used))


def deliveries(server: Server, vhost: str, queue: str | None) -> list[Delivery]:
    """The unacknowledged deliveries of one queue or of all. Call on the event loop."""
    found = server.vhost(vhost)
    return [
        Delivery(
            Message(**details(held.entry.message, held.entry.redelivered)),
            held.entry.queue.name,
            held.label,
            held.channel,
            held.delivery_tag,
        )
        for client in found.broker.clients(found)
        for held in client.held(None)
        if queue in (None, held.entry.queue.name)
    ]
