"""Consuming over HTTP: consumers with a lease, and a single request that receives and acknowledges.

A client creates a consumer, waits for messages, settles them, and deletes the consumer. Each call renews the lease.
When the lease expires, or an answer does not reach the client, the messages are requeued.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, Literal

import msgspec

from leveret.api.access import Access
from leveret.api.deliveries import Received, as_it_is, as_json, headers_of
from leveret.api.encoding import encode
from leveret.api.errors import bad_request, of_messaging
from leveret.api.leases import Call, Leased, over
from leveret.api.local import begun
from leveret.api.names import arguments_of, check_name
from leveret.api.operation import Operation
from leveret.api.request import DONE, Answer, Events, Pieces, Request
from leveret.core.access.user import READ
from leveret.core.client.leased import CALLER, FOLLOWER, Arrival
from leveret.core.client.settling import ACK, DISCARD, REQUEUE, RETURN
from leveret.core.errors.refusals import Refusal
from leveret.core.vhost import VirtualHost
from leveret.management.arguments import to_json

PREFETCH: Final = 10
MOST_PREFETCH: Final = 1_000
LEASE_S: Final = 60
MOST_LEASE_S: Final = 3_600
WAIT_S: Final = 20
MOST_WAIT_S: Final = 60
MOST_AT_ONCE: Final = 1_000  # messages in one answer
ROOM: Final = 4 << 20  # bytes of bodies in one answer; the last body may exceed it
MOST_TAGS: Final = 10_000  # in one request
STREAMED: Final = 100  # messages that a stream takes at a time
HEARTBEAT_S: Final = 15.0
RETRY_MS: Final = 5_000  # time before a browser reconnects when the stream has ended
PIECE: Final = 50  # deliveries that are settled in one step


class Wanted(msgspec.Struct, kw_only=True):
    """A consumer to create. prefetch: maximum number of unsettled messages. lease: seconds without a call
    after which it ends.
    """

    prefetch: int = PREFETCH
    lease: int = LEASE_S
    consumer_tag: str = ""
    exclusive: bool = False
    arguments: dict[str, Any] = {}


class LeasedItem(msgspec.Struct, kw_only=True):
    """A consumer with a lease. state: idle, waiting (for messages) or streaming. expires_in: seconds until its lease
    expires unless a call renews it; null during a call. unsettled: delivery tags of unsettled messages.
    """

    id: str
    consumer_tag: str
    vhost: str
    queue: str
    user: str
    peer_host: str
    state: str
    prefetch: int
    lease: int
    expires_in: int | None
    exclusive: bool
    arguments: dict[str, Any]
    unsettled: list[int]


class Settlement(msgspec.Struct, kw_only=True):
    """How to settle messages, by delivery tag.

    ack: acknowledge. reject: drop or dead-letter. requeue: return to the queue after a failed attempt; counts towards a
    delivery limit. release: return to the queue without an attempt; "all" for all unsettled messages.
    """

    ack: list[int] = []
    reject: list[int] = []
    requeue: list[int] = []
    release: list[int] | Literal["all"] = []


class Settled(msgspec.Struct):
    """settled: number of messages settled now. unknown: tags that were not outstanding. outstanding: messages still
    unsettled.
    """

    settled: int
    unknown: list[int]
    outstanding: int


# -- parameters of requests


def _number(request: Request, name: str, least: int, most: int, default: int) -> int:
    value = request.query.number(name)
    if value is None:
        return default
    if not least <= value <= most:
        raise bad_request(f"{name} must be a number from {least} to {most}")
    return value


def _within(name: str, value: int, most: int) -> int:
    if not 1 <= value <= most:
        raise bad_request(f"{name} must be a number from 1 to {most}")
    return value


def _is_raw(request: Request) -> bool:
    return request.query.flag("raw")


def _count(request: Request) -> int:
    """The requested number of messages; 1 for a raw answer."""
    return 1 if _is_raw(request) else _number(request, "max", 1, MOST_AT_ONCE, 1)


# -- consumers


def _item(leased: Leased, request: Request) -> LeasedItem:
    consumer = leased.consumer
    core, party = consumer.consumer, consumer.party
    call = leased.call
    state = "idle" if call is None else "waiting" if consumer.attended == CALLER else "streaming"
    left_ms = consumer.heard_ms + consumer.lease_ms - request.broker.clock.now_ms
    return LeasedItem(
        id=leased.id,
        consumer_tag=core.tag,
        vhost=party.vhost.name,
        queue=core.queue.name,
        user=party.user.name,
        peer_host=party.host,
        state=state,
        prefetch=int(core.window.limit),
        lease=consumer.lease_ms // 1000,
        expires_in=max(left_ms, 0) // 1000 if call is None else None,
        exclusive=core.exclusive,
        arguments=to_json(core.arguments),
        unsettled=consumer.outstanding(),
    )


def _begin(request: Request, vhost: VirtualHost, queue: str, wanted: Wanted, has_id: bool) -> Leased:
    """Consume from a queue as the caller. Raises: ApiError."""
    prefetch = _within("prefetch", wanted.prefetch, MOST_PREFETCH)
    lease_ms = _within("lease", wanted.lease, MOST_LEASE_S) * 1000
    check_name("queue", queue)
    check_name("consumer_tag", wanted.consumer_tag)
    arguments = arguments_of(wanted.arguments)
    try:
        return request.services.leases.begin(
            request.caller.user,
            vhost,
            request.host,
            queue,
            lease_ms,
            prefetch,
            wanted.consumer_tag,
            wanted.exclusive,
            arguments,
            has_id,
        )
    except Refusal as refusal:
        raise of_messaging(refusal) from None


async def create(request: Request) -> Answer:
    """Create a consumer."""
    vhost = request.vhost()
    leased = _begin(request, vhost, request.path["queue"], request.read(Wanted), has_id=True)
    where = f"{request.services.prefix}/api/leveret/consumers/{leased.id}"
    return Answer(201, _item(leased, request), {"Location": where})


async def list_all(request: Request) -> list[LeasedItem]:
    """List the caller's consumers; all consumers for monitoring users."""
    sees_all = request.caller.has(Access.MONITORING)
    found = []
    async with request.services.turns as turns:
        for leased in request.services.leases:
            if not leased.consumer.over and (sees_all or leased.user is request.caller.user):
                found.append(_item(leased, request))
            await turns.rest()
    return found


async def show(request: Request) -> LeasedItem:
    """Show one of the caller's consumers."""
    return _item(request.services.leases.find(request.path["consumer"], request.caller), request)


async def delete(request: Request) -> Answer:
    """Delete a consumer. An administrator may delete those of other users."""
    leased = request.services.leases.find_for_administrator(request.path["consumer"], request.caller)
    leased.end("it was deleted")
    return DONE


def _find(request: Request) -> Leased:
    """The consumer that the path names, if its user may still read from the queue. Raises: ApiError 403, 404."""
    leased = request.services.leases.find(request.path["consumer"], request.caller)
    queue = leased.consumer.consumer.queue
    try:
        leased.user.check(READ, "queue", queue.name, queue.vhost.name)
    except Refusal as refusal:
        raise of_messaging(refusal) from None
    return leased


# -- messages


async def _received(call: Call, arrived: list[Arrival], request: Request) -> AsyncGenerator[bytes]:
    """The JSON of messages that have arrived."""
    turns = request.services.turns
    yield b'{"messages":['
    for at, arrival in enumerate(arrived):
        if at:
            yield b","
        async for piece in as_json(arrival, turns):
            yield piece
    yield b"]}"


async def _handed_over(
    context: contextlib.ExitStack,
    call: Call,
    arrived: list[Arrival],
    pieces: AsyncGenerator[bytes],
    when_sent: Callable[[], None],
) -> AsyncGenerator[bytes]:
    """The same pieces. Requeues the messages if not all pieces are sent. context: of the call."""
    is_sent = False
    with context:
        try:
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    yield piece
            yield b""  # waits until most of the rest has been sent
            is_sent = not call.is_gone
        finally:
            if is_sent:
                when_sent()
            else:
                call.give_back(arrived)


async def _receive(
    request: Request,
    leased: Leased,
    context: contextlib.ExitStack,
    count: int,
    when_sent: Callable[[list[Arrival]], None],
) -> Answer | Pieces:
    """Wait for messages, and answer with them. context: closed when they are sent, or if there are none."""
    with context:
        call = context.enter_context(Call(request.services.leases, leased, CALLER, request.presence))
        arrived = await call.wait(count, ROOM, _number(request, "wait", 0, MOST_WAIT_S, WAIT_S))
        if leased.consumer.over:
            raise over(leased.consumer.over)
        if not arrived:
            return Answer(204) if _is_raw(request) else Answer(content=Received([]))
        if _is_raw(request):
            inner = as_it_is(arrived[0], request.services.turns)
            headers = headers_of(arrived[0])
        else:
            inner, headers = _received(call, arrived, request), {}
        pieces = _handed_over(context.pop_all(), call, arrived, inner, lambda: when_sent(arrived))
        return Pieces(await begun(pieces), headers=headers)


async def receive(request: Request) -> Answer | Pieces:
    """Wait for messages of a consumer. They are outstanding until the client settles them."""
    leased = _find(request)
    return await _receive(request, leased, contextlib.ExitStack(), _count(request), lambda arrived: None)


async def receive_once(request: Request) -> Answer | Pieces:
    """Wait for messages of a queue. They are acknowledged as soon as they are sent."""
    vhost, count = request.vhost(), _count(request)
    leased = _begin(request, vhost, request.path["queue"], Wanted(prefetch=count), has_id=False)
    context = contextlib.ExitStack()
    context.callback(leased.end, "the request is answered")

    def settle(arrived: list[Arrival]) -> None:
        leased.do(lambda: [leased.consumer.settle(each.tag, ACK) for each in arrived])

    return await _receive(request, leased, context, count, settle)


# -- streams of messages


def _event(kind: bytes, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind, data)


async def _pieces(request: Request, leased: Leased) -> AsyncGenerator[bytes]:
    """The stream. Raises: ApiError 503 before the first piece."""
    consumer, turns = leased.consumer, request.services.turns
    with Call(request.services.leases, leased, FOLLOWER, request.presence) as call:
        yield b"retry: %d\n\n" % RETRY_MS
        while not call.is_gone and request.is_welcome(Access.USER):
            arrived = await call.wait(STREAMED, ROOM, HEARTBEAT_S)
            if consumer.over:
                yield _event(b"end", encode({"reason": consumer.over}))
                return
            if call.is_replaced:
                yield _event(b"end", encode({"reason": "another call now receives the messages of this consumer"}))
                return
            if not request.is_welcome(Access.USER):
                call.give_back(arrived)
                return
            if not arrived:
                yield b":\n\n"
            sent = 0
            try:
                for arrival in arrived:
                    yield b"id: %d\nevent: message\ndata: " % arrival.tag
                    async for piece in as_json(arrival, turns):
                        yield piece
                    yield b"\n\n"
                    sent += 1
            finally:
                call.give_back(arrived[sent:])


async def follow(request: Request) -> Events:
    """Stream the messages of a consumer as they arrive."""
    leased = _find(request)
    last = request.headers.get("last-event-id", "")
    if request.method == "GET" and last.isascii() and last.isdigit() and len(last) < 19:
        lost = [tag for tag in leased.consumer.outstanding() if tag > int(last)]
        leased.do(lambda: leased.consumer.give_back(lost, REQUEUE))
    return Events(_pieces(request, leased))


# -- settling messages


async def settle(request: Request) -> Settled:
    """Settle messages of a consumer. Tags that an earlier request settled are not an error."""
    leased = _find(request)
    given = request.read(Settlement)
    consumer = leased.consumer
    released = consumer.outstanding() if given.release == "all" else list(given.release)
    orders = ((ACK, given.ack), (DISCARD, given.reject), (RETURN, given.requeue), (REQUEUE, released))
    if sum(len(tags) for _, tags in orders) > MOST_TAGS:
        raise bad_request(f"one request may have at most {MOST_TAGS} tags")
    leased.do(consumer.heard)
    settled, unknown = 0, []
    async with request.services.turns as turns:
        for how, tags in orders:
            for at in range(0, len(tags), PIECE):
                known = [tag for tag in tags[at : at + PIECE] if 0 < tag <= consumer.receiver.last_tag]
                done: list[int] = []
                leased.do(lambda how=how, known=known, done=done: _settle(leased, known, how, done))  # type: ignore[misc]
                settled += len(done)
                gone = set(done)
                for tag in tags[at : at + PIECE]:
                    if tag in gone:
                        gone.discard(tag)
                    else:
                        unknown.append(tag)
                await turns.rest()
    if consumer.over:
        raise over(consumer.over)
    return Settled(settled, unknown, len(consumer.receiver.unacked))


def _settle(leased: Leased, tags: list[int], how: int, done: list[int]) -> None:
    """Settle some messages. done: receives the tags that were outstanding."""
    for tag in tags:
        if leased.consumer.settle(tag, how):
            done.append(tag)


OPERATIONS = [
    Operation(
        "POST",
        "/leveret/queues/{vhost}/{queue}/receive",
        receive_once,
        Access.USER,
        "Wait for messages of a queue; they are acknowledged when they are sent.",
        answers=Received,
        query=("max", "wait", "raw"),
        statuses=(200, 204),
        refuses=(409,),
    ),
    Operation(
        "POST",
        "/leveret/queues/{vhost}/{queue}/consumers",
        create,
        Access.USER,
        "Create a consumer; it ends when no call renews its lease.",
        answers=LeasedItem,
        takes=Wanted,
        statuses=(201,),
        refuses=(409,),
    ),
    Operation(
        "GET",
        "/leveret/consumers",
        list_all,
        Access.USER,
        "List consumers with a lease: all for monitoring users, otherwise the user's own.",
        answers=list[LeasedItem],
    ),
    Operation(
        "GET", "/leveret/consumers/{consumer}", show, Access.USER, "Show one consumer with a lease.", answers=LeasedItem
    ),
    Operation(
        "DELETE",
        "/leveret/consumers/{consumer}",
        delete,
        Access.USER,
        "Delete a consumer; its unsettled messages are requeued.",
        statuses=(204,),
    ),
    Operation(
        "POST",
        "/leveret/consumers/{consumer}/receive",
        receive,
        Access.USER,
        "Wait for messages of a consumer.",
        answers=Received,
        query=("max", "wait", "raw"),
        statuses=(200, 204),
    ),
    Operation(
        "GET",
        "/leveret/consumers/{consumer}/events",
        follow,
        Access.USER,
        "Stream the messages of a consumer as they arrive, as server-sent events.",
        answers=str,
        media_type="text/event-stream",
        refuses=(403,),
    ),
    Operation(
        "POST",
        "/leveret/consumers/{consumer}/acks",
        settle,
        Access.USER,
        "Acknowledge, reject, requeue or release messages of a consumer, and renew its lease.",
        answers=Settled,
        takes=Settlement,
    ),
]
