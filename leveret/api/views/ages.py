"""Ages: for how long messages have been in queues, cheap enough to be asked for again and again."""

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
    """How old the messages of a queue are, in seconds; null where there is none, or that is not known.

    oldest_ready_s: since the first queue took the message that is next, or of each priority the next one.
    oldest_unacked_s: since somebody was given the one that it has had longest. delayed: how many wait before they are
    ready again; next_delayed_s: until the first of them is.
    """

    vhost: str
    name: str
    oldest_ready_s: float | None
    oldest_unacked_s: float | None
    delayed: int
    next_delayed_s: float | None


def _oldest_ready_ms(queue: Queue) -> int:
    """When the oldest of those came that are next; 0 where there is none, or nobody knows any more."""
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
    """The ages of the messages of queues."""
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
        ("/leveret/ages", "How old the messages of all queues are."),
        ("/leveret/ages/{vhost}", "How old the messages of the queues of a virtual host are."),
    )
]
