"""Export and import of the messages of a queue, as the command `leveret` does it with a remote broker.

Messages are encoded as in core/message/codec.py, which is cheap. A page is one line of JSON, then the messages; it is
made while it is sent. Imported messages go directly into the queue, without routing. The user needs permission to
publish to the queue and to the exchange that a message names.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from typing import Final

import msgspec
from librt.strings import BytesWriter

from leveret.api.access import Access
from leveret.api.answers import in_turns
from leveret.api.encoding import encode
from leveret.api.errors import ApiError, bad_request, not_found, of_administration, of_refusal
from leveret.api.operation import Operation
from leveret.api.payloads import parts
from leveret.api.request import Pieces, Request
from leveret.core.access.user import READ, WRITE, User
from leveret.core.errors.administration import AdministrationError, Promise
from leveret.core.errors.refusals import Refusal
from leveret.core.exchange_types.kinds import TOPIC
from leveret.core.message import codec
from leveret.core.message.codec import MAX_PROPERTIES
from leveret.core.message.loading import Loading
from leveret.core.message.message import Message
from leveret.core.policy.checks import expiration_error
from leveret.core.queue.browsing import TOP
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.queue import Queue
from leveret.core.vhost import VirtualHost
from leveret.management.messages import Export, duplicates, export_messages, find_queue, why_blocked
from leveret.wire import content as frames
from leveret.wire.fields import DecodeError

KEY_COST: Final = 5  # bytes of a header for each key in it, in addition to the key
PATIENCE_S: Final = 5.0  # seconds to wait for the log to read a message
MOST: Final = 1_000  # maximum messages in one import request
MOST_KEYS: Final = MAX_PROPERTIES // KEY_COST  # maximum routing keys of a message, as in headers from a client
SOME: Final = 16  # messages published between two checks for the end of a turn
CHECKED: Final = frames.EXPIRATION_FLAG | frames.USER_ID_FLAG
PLACE: Final = re.compile(r"([0-9]{1,19})-([0-9]{1,3})-([0-9]{1,19})-([0-9]{1,19})")
OCTETS: Final = "application/octet-stream"


class Page(msgspec.Struct, kw_only=True):
    """The first line of a page. count: messages in it. next: value of `after` for the next page; null on the last page.

    ready, unacked, waiting: number of such messages in the queue now; waiting messages wait for redelivery and are not
    exported. expired, missing: messages left out of this page because they have expired, or cannot be read any more.
    """

    count: int
    next: str | None
    ready: int
    unacked: int
    waiting: int
    expired: int
    missing: int


class Brought(msgspec.Struct, kw_only=True):
    """The result of an import. stored: messages stored safely. unsafe: messages that could not be written to the disk.

    is_full: the queue had no room for the next message. duplicates: stored messages that the queue already had.
    blocked: why publishers are blocked; the body was not read. refused: index from 0 of the message that was refused;
    no message was stored then. reason: why it was refused. max_message_size: maximum bytes of a body.
    """

    stored: int = 0
    unsafe: int = 0
    is_full: bool = False
    duplicates: int = 0
    blocked: str = ""
    refused: int | None = None
    reason: str = ""
    max_message_size: int


def _find(request: Request, operation: str) -> tuple[VirtualHost, Queue]:
    """The virtual host and the queue, if the caller may read from it, or publish to it by name. Raises: ApiError."""
    vhost = request.broker.vhosts.get(request.path["vhost"])
    if vhost is None or not request.caller.may_enter(vhost):
        raise request.no_vhost(request.path["vhost"])
    request.check_entry(vhost)
    user, name = request.caller.user, request.path["queue"]
    kind, subject = ("queue", name) if operation == READ else ("exchange", "")
    try:
        user.check(operation, kind, subject, vhost.name)
        return vhost, find_queue(request.broker, vhost.name, name)
    except Refusal as refusal:
        raise of_refusal(refusal) from None
    except AdministrationError as error:
        raise of_administration(error) from None


# -- export


class Looked(Promise):
    """A promise of a page of an export."""

    def __init__(self, export: Export) -> None:
        super().__init__()
        self._export = export

    def is_done(self) -> bool:
        """Whether the page has been read, or cannot be."""
        return self._export.is_done()

    def result(self) -> object:
        """The messages of the page. Raises: InvalidError."""
        return self._export.entries()


async def show(request: Request) -> Pieces:
    """Export a page of the ready messages, without changing them."""
    _, queue = _find(request, READ)
    return Pieces(_page(request, queue, _place(request.query.text("after"))), OCTETS)


def _place(text: str) -> tuple[int, ...]:
    """The position after which a page begins: queue_id, level, position, until; empty for the first page.

    Raises: ApiError 400.
    """
    if not text:
        return ()
    found = PLACE.fullmatch(text)
    place = () if found is None else tuple(map(int, found.groups()))
    if not place or max(place) >= 1 << 63 or place[1] > TOP:
        raise bad_request("after: not the `next` of an earlier page")
    return place


async def _page(request: Request, queue: Queue, place: tuple[int, ...]) -> AsyncGenerator[bytes]:
    services = request.services
    with services.answers.begin(request.caller.user.name) as holding:
        async with services.answers.few:
            export, entries = await _look(request, queue, place)
            holding.add(sum(len(entry.message.content) for entry in entries))
        async for piece in in_turns(_written(export, entries), services.turns):
            yield piece


async def _look(request: Request, queue: Queue, place: tuple[int, ...]) -> tuple[Export, list[QueueEntry]]:
    """Read a page. Raises: ApiError."""
    try:
        export = export_messages(request.broker, queue.name, queue.vhost.name, *place)
        async with asyncio.timeout(PATIENCE_S):
            entries = await request.services.performer.do("this", lambda: Looked(export))
    except AdministrationError as error:
        raise of_administration(error) from None
    except TimeoutError:
        raise ApiError(503, "busy", "the messages cannot be read now; try again", {"Retry-After": "1"}) from None
    assert isinstance(entries, list)
    return export, entries


def _written(export: Export, entries: list[QueueEntry]) -> Iterator[bytes]:
    """The bytes of a page. Releases each message once it is written."""
    told = msgspec.convert(_told(export, len(entries)), Page)
    yield encode(told) + b"\n"
    entries.reverse()
    while entries:
        entry = entries.pop()
        item = codec.bodiless(entry.message, entry.redelivered)
        size = int(entry.message.size)
        out = BytesWriter()
        item.write_head(out, size)
        yield out.getvalue()
        yield from parts(entry.message.content, size)
        out = BytesWriter()
        item.write_end(out)
        yield out.getvalue()


def _told(export: Export, count: int) -> dict[str, object]:
    told = export.told(count)
    place = [told.pop(name) for name in ("queue_id", "level", "position", "until")]
    return {**told, "count": count, "next": None if told.pop("is_last") else "-".join(map(str, place))}


# -- import


async def bring_in(request: Request) -> Brought:
    """Put messages into the queue, all or none unless it is full, and wait until they are stored."""
    vhost, queue = _find(request, WRITE)
    broker = request.broker
    found = Brought(max_message_size=broker.max_message_size, blocked=why_blocked(broker))
    if found.blocked or not request.body:
        return found
    loading, before = Loading(queue), duplicates(queue)
    async with request.services.turns.few, request.services.turns:
        messages = await _read(request, vhost, found)
        if found.refused is None:
            await _publish(request, queue, messages, loading, found)
    await request.services.driver.until(loading.is_settled)
    if queue.deleted and found.refused is None:
        raise not_found(f"queue '{queue.name}' no longer exists: {queue.fault or 'it was deleted'}")
    found.stored, found.unsafe, found.duplicates = loading.stored, loading.unsafe, duplicates(queue) - before
    return found


async def _read(request: Request, vhost: VirtualHost, found: Brought) -> list[Message]:
    """The messages of the body, up to one that is refused. Raises: ApiError 400 if one cannot be decoded."""
    decoder = codec.Decoder(request.body, MOST_KEYS)
    judge = Judge(request.caller.user, vhost, request.broker.max_message_size)
    messages: list[Message] = []
    try:
        while (item := decoder.next()) is not None:
            if len(messages) >= MOST:
                raise bad_request(f"one request may have at most {MOST} messages")
            messages.append(item.message())
            found.reason = judge.reason(messages[-1])
            if found.reason:
                found.refused = len(messages) - 1
                break
            await request.services.turns.rest()
    except DecodeError as error:
        raise bad_request(f"message {len(messages)}: {error}") from None
    return messages


class Judge:
    """Checks whether a user could have published messages to the exchanges that they name."""

    def __init__(self, user: User, vhost: VirtualHost, max_message_size: int) -> None:
        self._user = user
        self._vhost = vhost
        self._max_message_size = max_message_size
        self._exchanges: set[str] = set()  # exchanges to which the user may publish

    def reason(self, message: Message) -> str:
        """Why a message is refused; empty if it is accepted. The cost is proportional to the size of its properties."""
        where = message.address
        if message.size > self._max_message_size:
            return f"message size {message.size} is larger than configured max size {self._max_message_size}"
        keys = (*where.copies, *where.hidden)
        if keys and sum(len(key.encode("utf-8", "surrogateescape")) + KEY_COST for key in keys) > MAX_PROPERTIES:
            return f"the additional routing keys have more than {MAX_PROPERTIES} bytes, which do not fit into a frame"
        try:
            if where.exchange not in self._exchanges:
                self._user.check(WRITE, "exchange", where.exchange, self._vhost.name)
                self._exchanges.add(where.exchange)
            exchange = self._vhost.exchanges.get(where.exchange)
            if exchange is None or exchange.kind == TOPIC:
                self._user.check_topics(WRITE, where.exchange, where.keys, self._vhost.name)
        except Refusal as refusal:
            return refusal.text
        return self._properties(message) if frames.property_flags(message.content) & CHECKED else ""

    def _properties(self, message: Message) -> str:
        try:
            properties = message.properties()
        except DecodeError as error:
            return f"its properties cannot be read: {error}"
        if properties.expiration is not None:
            reason = expiration_error(properties.expiration)
            if reason:
                return f"invalid expiration '{properties.expiration}': {reason}"
        user = self._user
        if properties.user_id is not None and properties.user_id != user.name and "impersonator" not in user.tags:
            text = f"user_id is '{properties.user_id}', and user '{user.name}' without the tag impersonator"
            return f"{text} may publish under its own name only"
        return ""


async def _publish(request: Request, queue: Queue, messages: list[Message], loading: Loading, found: Brought) -> None:
    """Publish in steps, until all messages are published or the queue is full."""
    driver, turns = request.services.driver, request.services.turns
    messages.reverse()
    while messages and not found.is_full and not queue.deleted:
        driver.refresh_clock()
        try:
            for _ in range(min(SOME, len(messages))):
                if not loading.publish(messages.pop()):
                    found.is_full = True
                    break
        finally:
            driver.broker.settle()
            driver.turn()
        await turns.rest()


PATH: Final = "/leveret/queues/{vhost}/{queue}/encoded"
OPERATIONS = [
    Operation(
        "GET",
        PATH,
        show,
        Access.MANAGEMENT,
        "Export a page of the ready messages of a queue, unchanged: a line of JSON, then the encoded messages.",
        answers=bytes,
        query=("after",),
        media_type=OCTETS,
    ),
    Operation(
        "POST",
        PATH,
        bring_in,
        Access.MANAGEMENT,
        "Import encoded messages directly into a queue; an empty body only checks whether an import is possible.",
        takes=bytes,
        answers=Brought,
        takes_type=OCTETS,
        most=None,
    ),
]
