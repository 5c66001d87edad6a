"""Events: changes in the broker as server-sent events, so that a page need not poll.

Each round of the sampler sends an event `overview` with rates and totals, and one event for each kind of object, with
the names of new and of deleted objects. An object that exists only between two rounds is in no event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from leveret.api.access import Access, Caller
from leveret.api.encoding import encode
from leveret.api.errors import ApiError, bad_request
from leveret.api.operation import Operation
from leveret.api.request import Events, Request
from leveret.api.sampler import BROKER, DELIVERIES, LENGTHS, PUBLISHES, VHOST
from leveret.core.exchange.exchange import Exchange
from leveret.core.queue.queue import Queue
from leveret.core.vhost import VirtualHost
from leveret.session.connection.connection import Connection

MOST_STREAMS: Final = 100
MOST_OF_USER: Final = 10
MOST_TOPICS: Final = 20
MOST_NAMES: Final = 1_000  # new objects in one event, and deleted ones
HEARTBEAT_S: Final = 15.0
RETRY_MS: Final = 5_000  # time before a browser reconnects when the stream has ended
OVERVIEW: Final = "overview"
KINDS: Final[dict[str, type]] = {
    "queues": Queue,
    "exchanges": Exchange,
    "connections": Connection,
    "vhosts": VirtualHost,
}


class Named(msgspec.Struct, omit_defaults=True):
    """An object. vhost: its virtual host; missing for a virtual host itself."""

    name: str
    vhost: str = ""


class Changes(msgspec.Struct):
    """Names of created and deleted objects. is_complete: false if names are missing; read the whole list then."""

    created: list[Named]
    deleted: list[Named]
    is_complete: bool = True


class Number(msgspec.Struct):
    """A number and its growth per second."""

    value: int
    rate: float


class Totals(msgspec.Struct):
    """Totals of everything that the caller may see. timestamp: milliseconds since 1970."""

    timestamp: int
    connections: int
    queues: int
    message_stats: dict[str, Number]
    queue_totals: dict[str, Number]


class Topic:
    """A kind of objects. vhost: name of a virtual host; None for all."""

    def __init__(self, kind: str, vhost: str | None) -> None:
        self.kind = kind
        self.vhost = vhost

    def has(self, thing: Any, caller: Caller) -> bool:
        """Whether this object belongs to the topic, and the caller may see it."""
        if not isinstance(thing, Queue | Exchange | Connection | VirtualHost) or type(thing) is not KINDS[self.kind]:
            return False
        where = thing if isinstance(thing, VirtualHost) else thing.vhost
        if self.vhost is not None and where.name != self.vhost:
            return False
        if caller.has(Access.MONITORING):
            return True
        return thing.user is caller.user if isinstance(thing, Connection) else where.name in caller.user.permissions


def _topics(request: Request) -> tuple[bool, list[Topic]]:
    """Whether the overview is requested, and the other topics. Raises: ApiError 400."""
    found: list[Topic] = []
    words = [word for word in request.query.text("topics").split(",") if word] or [OVERVIEW, *KINDS]
    if len(words) > MOST_TOPICS:
        raise bad_request(f"topics may have at most {MOST_TOPICS} entries")
    for word in words:
        kind, colon, vhost = word.partition(":")
        if kind == OVERVIEW and not colon:
            continue
        if kind not in KINDS or (colon and kind == "vhosts"):
            raise bad_request(f"topics: must be one of {OVERVIEW}, {', '.join(KINDS)}; not {kind[:40]!r}")
        found.append(Topic(kind, unquote(vhost, errors="surrogateescape") if colon else None))
    return OVERVIEW in words, found


def _event(kind: str, content: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), encode(content))


def _totals(request: Request) -> Totals:
    broker, history, caller = request.broker, request.services.history, request.caller
    sees_all = caller.has(Access.MONITORING)
    vhosts = request.vhosts()
    things: Iterable[object] = [broker] if sees_all else vhosts
    places = BROKER if sees_all else VHOST
    found = [series for series in map(history.find, things) if series is not None and series.now]

    clients = [each for each in broker.connections.values() if isinstance(each, Connection)]

    def numbers(names: Iterable[str]) -> dict[str, Number]:
        return {
            name: Number(sum(each.now[places[name]] for each in found), sum(each.rate(name) for each in found))
            for name in names
        }

    return Totals(
        broker.clock.today_ms,
        len(clients) if sees_all else sum(each.user is caller.user for each in clients),
        sum(len(vhost.queues) for vhost in vhosts),
        numbers((*PUBLISHES, *DELIVERIES)),
        numbers(LENGTHS),
    )


async def _changes(request: Request, topics: list[Topic]) -> AsyncIterator[tuple[str, Changes]]:
    history, turns = request.services.history, request.services.turns
    found = {topic.kind: Changes([], []) for topic in topics}
    for things, is_new in ((history.born, True), (history.died, False)):
        for thing in things:
            topic = next((topic for topic in topics if topic.has(thing, request.caller)), None)
            if topic is not None:
                changes = found[topic.kind]
                names = changes.created if is_new else changes.deleted
                if len(names) < MOST_NAMES:
                    names.append(Named(thing.name, "" if isinstance(thing, VirtualHost) else thing.vhost.name))
                else:
                    changes.is_complete = False
            await turns.rest()
    for kind, changes in found.items():
        if changes.created or changes.deleted:
            yield kind, changes


async def _pieces(request: Request, is_overview: bool, topics: list[Topic]) -> AsyncGenerator[bytes]:
    """The stream. Raises: ApiError 503 before the first piece."""
    services, name = request.services, request.caller.user.name
    streams = services.streams
    if streams[name] >= MOST_OF_USER or streams.total() >= MOST_STREAMS:
        raise ApiError(503, "busy", "there are already too many event streams", {"Retry-After": "10"})
    streams[name] += 1
    try:
        yield b"retry: %d\n\n" % RETRY_MS
        if is_overview:
            yield _event(OVERVIEW, _totals(request))
        while request.is_welcome(Access.MANAGEMENT):
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await services.sampler.looked.wait()
            except TimeoutError:
                yield b":\n\n"
                continue
            if not request.is_welcome(Access.MANAGEMENT):
                return
            told = bytearray()
            async with services.turns:
                if is_overview:
                    told += _event(OVERVIEW, _totals(request))
                async for kind, changes in _changes(request, topics):
                    told += _event(kind, changes)
            yield bytes(told) or b":\n\n"
    finally:
        streams[name] -= 1
        if not streams[name]:
            del streams[name]


async def watch(request: Request) -> Events:
    """Stream changes as they happen."""
    return Events(_pieces(request, *_topics(request)))


OPERATIONS = [
    Operation(
        "GET",
        "/leveret/events",
        watch,
        Access.MANAGEMENT,
        "Stream changes in the broker as server-sent events.",
        answers=str,
        media_type="text/event-stream",
        query=("topics",),
    ),
]
