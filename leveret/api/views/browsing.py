"""Browsing: read the ready messages of a queue, page by page, without changing them."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from leveret.api.access import Access
from leveret.api.errors import ApiError, bad_request, not_found, of_messaging
from leveret.api.operation import Operation
from leveret.api.payloads import readable
from leveret.api.request import Request
from leveret.api.views.properties import Properties, write_properties
from leveret.core.access.user import READ, check_vhost
from leveret.core.errors.refusals import Refusal
from leveret.core.message.log import NotHereYet, Unreadable
from leveret.core.message.message import Message
from leveret.core.queue.browsing import TOP, Page
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.queue import Queue

COUNT: Final = 10
MOST: Final = 100  # messages of a page
CUT: Final = 64 << 10  # default maximum bytes of a payload
MOST_CUT: Final = 1 << 20
SIZE: Final = 4 << 20  # bytes of bodies in a page; the last body may exceed it
LOG_S: Final = 5.0  # seconds to wait for the log to read messages
NUMBER: Final = 1 << 63


class Browsed(msgspec.Struct, kw_only=True):
    """A message. position: its place in the queue. payload_bytes: size of the whole payload."""

    position: int
    redelivered: bool
    exchange: str
    routing_key: str
    properties: Properties
    payload_bytes: int
    payload_encoding: str
    payload: str


class BrowsedPage(msgspec.Struct):
    """Messages in the order of delivery. next: value of `after` for the next page; null on the last page.

    ready, unacknowledged: number of such messages in the queue now.
    """

    messages: list[Browsed]
    next: str | None
    ready: int
    unacknowledged: int


def _begin(request: Request, queue: Queue) -> Page:
    """The requested page. Raises: ApiError 400."""
    count = request.query.number("count")
    if count is not None and not 1 <= count <= MOST:
        raise bad_request(f"count must be a number from 1 to {MOST}")
    after = request.query.text("after")
    level, position, until = TOP, 0, -1
    if after:
        try:
            queue_id, level, position, until = map(int, after[:100].split("."))
        except ValueError:
            raise bad_request("after: not the `next` of an earlier page") from None
        if queue_id != queue.queue_id:
            raise bad_request("after: the queue was deleted and declared again in the meantime")
        if not (0 <= level <= TOP and 0 <= position < NUMBER and -1 <= until < NUMBER):
            raise bad_request("after: not the `next` of an earlier page")
    return Page(level, position, until, count or COUNT, SIZE)


def _is_there(queue: Queue, page: Page, found: list[tuple[QueueEntry, Message]]) -> bool:
    """Whether the page is complete. found: receives its messages with their contents, before they are paged out again.

    Raises: ApiError 404, 503.
    """
    if queue.deleted:
        raise not_found(f"no queue '{queue.name}' in vhost '{queue.vhost.name}'")
    try:
        queue.browse(page)
    except NotHereYet:
        return False
    except Unreadable as error:
        raise ApiError(503, "unreadable", f"{error}; try again") from None
    found += [(entry, entry.message) for entry in page.messages]
    return True


def _shown(entry: QueueEntry, message: Message, cut: int) -> Browsed:
    payload, encoding = readable(message.body()[:cut])
    return Browsed(
        position=int(entry.position),
        redelivered=entry.redelivered,
        exchange=message.address.exchange,
        routing_key=message.address.routing_key,
        properties=write_properties(message.readable_properties()),
        payload_bytes=int(message.size),
        payload_encoding=encoding,
        payload=payload,
    )


async def browse(request: Request) -> BrowsedPage:
    """Read a page of messages."""
    vhost, name, user = request.vhost(), request.path["queue"], request.caller.user
    try:
        check_vhost(user, vhost.name)
        user.check(READ, "queue", name, vhost.name)
        queue = vhost.queue(name, 0)
    except Refusal as refusal:
        raise of_messaging(refusal) from None
    page = _begin(request, queue)
    cut = request.query.number("truncate")
    if cut is not None and cut > MOST_CUT:
        raise bad_request(f"truncate may be at most {MOST_CUT}")
    found: list[tuple[QueueEntry, Message]] = []
    try:
        async with asyncio.timeout(LOG_S):
            await request.services.driver.until(lambda: _is_there(queue, page, found))
    except TimeoutError:
        raise ApiError(503, "busy", "the messages of the queue cannot be read from disk now; try again") from None
    now_ms = request.broker.clock.now_ms
    shown = []
    async with request.services.turns as turns:
        for entry, message in found:
            if not entry.deadline_ms or entry.deadline_ms >= now_ms:
                shown.append(_shown(entry, message, CUT if cut is None else cut))
            await turns.rest()
    behind = None if page.is_last else f"{queue.queue_id}.{page.level}.{page.position}.{page.until}"
    return BrowsedPage(shown, behind, len(queue.ready), int(queue.unacked))


OPERATIONS = [
    Operation(
        "GET",
        "/leveret/queues/{vhost}/{queue}/messages",
        browse,
        Access.USER,
        "Read the ready messages of a queue without changing them.",
        answers=BrowsedPage,
        query=("count", "after", "truncate"),
        refuses=(403, 409),
    ),
]
