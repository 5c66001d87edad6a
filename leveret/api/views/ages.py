"""Ages: how long messages have been in queues. Cheap enough for frequent polling."""

from __future__ import annotations

import msgspec

from leveret.api.access import Access
from leveret.api.listing import Listing
from leveret.api.operation import LISTING, Operation
from leveret.api.request import Request
from leveret.core.message.log import NotHereYet, Unreadable
from leveret.core.queue.browsing import TOP, Page
from leveret.core.queue.queue import Queue


class Age(msgspec.Struct, kw_only=True):
    """Ages of the messages in a queue, in seconds; null if there is no such message, or its age is not known.

    oldest_ready_s: since the broker accepted the message at the head of the queue; in a priority queue, the oldest of
    the heads of all priorities. oldest_unacked_s: since the oldest unacknowledged delivery. delayed: number of messages
    that wait before redelivery. next_delayed_s: time until the first of them is ready.
    """

    vhost: str
    name: str
    oldest_ready_s: float | None
    oldest_unacked_s: float | None
    delayed: int
    next_delayed_s: float | None


def _oldest_ready_ms(queue: Queue) -> int:
    """Arrival of the oldest message at the head of any priority; 0 if there is none or the time is not known."""
    found: list[int] = []
    level = TOP
    while level >= 0:
        page = Page(level, 0, -1, 1, 1)
        try:
            queue.browse(page)
        except (NotHereYet, Unreadable):
            return 0
        if not page.messages:
            break
        arrived_ms = int(page.messages[0].message.arrived_ms)
        if arrived_ms:
            found.append(arrived_ms)
        if queue.settings.max_priority < 0:
            break
        level = int(page.messages[0].level) - 1
    return min(found, default=0)


def _age(queue: Queue, sent_ms: dict[int, int]) -> Age | None:
    if queue.deleted:
        return None
    clock = queue.broker.clock
    ready_ms, unacked_ms = _oldest_ready_ms(queue), sent_ms.get(queue.queue_id)
    retries = queue.retries
    next_ms = retries.next_ms()
    return Age(
        vhost=queue.vhost.name,
        name=queue.name,
        oldest_ready_s=max(clock.wall_ms - ready_ms, 0) / 1000 if ready_ms else None,
        oldest_unacked_s=max(clock.now_ms - unacked_ms, 0) / 1000 if unacked_ms is not None else None,
        delayed=len(retries),
        next_delayed_s=max(next_ms - clock.now_ms, 0) / 1000 if next_ms else None,
    )


async def ages(request: Request) -> Listing:
    """List the ages of the messages in queues."""
    services, vhosts = request.services, request.vhosts()
    sent_ms: dict[int, int] = {}
    async with services.turns:
        for vhost in vhosts:
            for client in request.broker.clients(vhost):
                client.note_oldest(sent_ms)
                await services.turns.rest()
    queues = [queue for vhost in vhosts for queue in vhost.queues.values()]
    return Listing(queues, lambda queue: _age(queue, sent_ms), lambda queue: str(queue.name))


OPERATIONS = [
    Operation(
        "GET",
        path,
        ages,
        Access.MANAGEMENT,
        summary,
        answers=list[Age],
        query=LISTING,
    )
    for path, summary in (
        ("/leveret/ages", "List the ages of the messages in all queues."),
        ("/leveret/ages/{vhost}", "List the ages of the messages in the queues of a virtual host."),
    )
]
