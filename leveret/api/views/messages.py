"""Messages: publish one, and get some. Source: rabbit_mgmt_wm_exchange_publish.erl and _queue_get.erl."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Literal

import msgspec

from leveret.api.access import Access
from leveret.api.answers import in_turns
from leveret.api.encoding import encode
from leveret.api.errors import ApiError, bad_request, not_durable, not_found, of_refusal
from leveret.api.names import check_name
from leveret.api.operation import Operation
from leveret.api.payloads import Payload
from leveret.api.request import Pieces, Request
from leveret.api.values import Whole, whole
from leveret.api.views.exchanges import name_in
from leveret.api.views.properties import Properties, read_properties, write_properties
from leveret.core.client.errand import Collection, Posting, Taken
from leveret.core.client.settling import ACK, DISCARD, REQUEUE, RETURN
from leveret.core.errors.refusals import FORBIDDEN, UNKNOWN, Refusal
from leveret.core.message.confirm import AGAIN, UNSAFE
from leveret.core.vhost import VirtualHost
from leveret.server.performer import DURABLE_S
from leveret.session.base.errors import as_reply

MAX_COUNT = 10_000  # maximum messages in one answer
HOW = {
    "ack_requeue_true": REQUEUE,
    "reject_requeue_true": RETURN,
    "ack_requeue_false": ACK,
    "reject_requeue_false": DISCARD,
}
PAYLOAD = b'"payload":"'  # in a MessageItem, the last field but one


class Publish(msgspec.Struct, kw_only=True):
    """A message to publish. payload_encoding: string (UTF-8) or base64."""

    routing_key: str
    payload: str
    payload_encoding: str
    properties: Properties | list[Any]


class Routed(msgspec.Struct):
    """Whether at least one queue received the message."""

    routed: bool


class Get(msgspec.Struct, kw_only=True):
    """How many messages to get, and how to settle them.

    ackmode: ack_requeue_true, reject_requeue_true, ack_requeue_false or reject_requeue_false. encoding: auto (text for
    UTF-8 payloads, base64 for others) or base64 for all. truncate: maximum bytes of a payload.
    """

    count: Whole
    ackmode: str
    encoding: Literal["auto", "base64"] | str
    truncate: Whole | None = None


class MessageItem(msgspec.Struct, kw_only=True):
    """A message. message_count: number of ready messages after it."""

    payload_bytes: int
    redelivered: bool
    exchange: str
    routing_key: str
    message_count: int
    properties: Properties
    payload: str
    payload_encoding: str


def payload_of(payload: str, encoding: str) -> bytes:
    """A payload as bytes. encoding: string (UTF-8) or base64. Raises: ApiError 400."""
    if encoding == "string":
        return payload.encode()
    if encoding != "base64":
        raise bad_request(f"unsupported_encoding: {encoding[:40]}")
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise bad_request("not_base64: the payload is not valid base64") from None


def _as_amqp(refusal: Refusal, missing: str) -> ApiError:
    """The error that an AMQP client would receive. Source: rabbit_mgmt_util.erl with_channel."""
    if refusal.kind == UNKNOWN:
        return not_found(missing)
    reply = as_reply(refusal)
    return bad_request(f"{reply.code} {reply.reply_text}")


async def publish(request: Request) -> Routed:
    """Publish a message, and wait for the confirm."""
    vhost, name = request.vhost(), name_in(request)
    wanted = request.read(Publish)
    check_name("exchange", name)
    check_name("routing_key", wanted.routing_key)
    properties, body = read_properties(wanted.properties), payload_of(wanted.payload, wanted.payload_encoding)
    broker, driver = request.broker, request.services.driver
    reason = broker.alarms.reason()
    if reason:
        raise ApiError(503, "blocked", f"publishing is blocked: the broker is {reason}")
    errand = request.errand(vhost)
    posting = Posting(errand)
    try:
        await request.services.performer.do(
            "this", lambda: posting.post(name, wanted.routing_key, properties, body), waits=False
        )
        async with asyncio.timeout(DURABLE_S):
            await driver.until(lambda: posting.is_settled)
    except Refusal as refusal:
        raise _as_amqp(refusal, "exchange_not_found") from None
    except TimeoutError:
        raise not_durable("the message is not yet written to the data directory, but may still be stored") from None
    finally:
        errand.end()
    if posting.refusal == UNSAFE:
        text = (
            "the message cannot be written to the data directory: its queues keep it in memory until the broker stops"
        )
        raise not_durable(text)
    if posting.refusal == AGAIN:
        raise ApiError(503, "not_taken", "a queue cannot accept the message now; try again")
    if posting.refusal:
        raise bad_request("rejected: Unable to publish message. Check queue limits.")
    return Routed(posting.is_routed)


def _written(taken: Taken, encoding: str, truncate: int | None) -> Iterator[bytes]:
    """A message as JSON in pieces, some of which are empty."""
    message = taken.message
    size = int(message.size)
    payload = Payload(message.content, size if truncate is None else max(truncate, 0))
    if encoding != "base64":
        yield from payload.look()
    found = MessageItem(
        payload_bytes=size,
        redelivered=taken.redelivered,
        exchange=message.address.exchange,
        routing_key=message.address.routing_key,
        message_count=taken.left,
        properties=write_properties(message.readable_properties()),
        payload="",
        payload_encoding="string" if payload.is_text else "base64",
    )
    head, payload_key, end = encode(found).rpartition(PAYLOAD)
    yield head + payload_key
    yield from payload.as_text() if payload.is_text else payload.as_base64()
    yield end


def _list(taken: list[Taken], encoding: str, truncate: int | None) -> Iterator[bytes]:
    """All messages as JSON. Releases each message once it is written."""
    taken.reverse()
    separator = b"["
    while taken:
        yield separator
        yield from _written(taken.pop(), encoding, truncate)
        separator = b","
    yield b"[]" if separator == b"[" else b"]"


async def get(request: Request) -> Pieces:
    """Get messages from the head of a queue, and requeue, acknowledge or reject them."""
    vhost = request.vhost()
    wanted = request.read(Get)
    if wanted.encoding not in ("auto", "base64"):
        raise bad_request("Unsupported encoding. Please use auto or base64.")
    if wanted.ackmode not in HOW:
        raise bad_request(f"Invalid ackmode value: {wanted.ackmode[:40]}. Valid values are: {', '.join(HOW)}")
    count = whole("count", wanted.count)
    if count > MAX_COUNT:
        raise bad_request(f"count may be at most {MAX_COUNT}")
    if count < 0:
        count = MAX_COUNT
    truncate = None if wanted.truncate is None else whole("truncate", wanted.truncate)
    return Pieces(_got(request, vhost, count, HOW[wanted.ackmode], wanted.encoding, truncate))


async def _got(
    request: Request, vhost: VirtualHost, count: int, how: int, encoding: str, truncate: int | None
) -> AsyncGenerator[bytes]:
    """The answer to get()."""
    services = request.services
    with services.answers.begin(request.caller.user.name) as holding:
        async with services.answers.few:
            collection = await _collect(request, vhost, count, how)
            holding.add(int(collection.size))
        async for piece in in_turns(_list(collection.taken, encoding, truncate), services.turns):
            yield piece


async def _collect(request: Request, vhost: VirtualHost, count: int, how: int) -> Collection:
    """Get and settle messages. Raises: ApiError."""
    broker, services = request.broker, request.services
    errand = request.errand(vhost)
    found: list[Collection] = []
    try:

        def collect() -> None:
            collection = Collection(errand, request.path["queue"], count, how)
            found.append(collection)
            broker.background.begin(collection)

        await services.performer.do("this", collect, waits=False)
        collection = found[0]
        await services.driver.until(lambda: collection.is_done)
        if collection.refusal is not None:
            raise collection.refusal
    except Refusal as refusal:
        if refusal.kind == FORBIDDEN:
            raise of_refusal(refusal) from None
        raise _as_amqp(refusal, "queue_not_found") from None
    finally:
        if not found or found[0].is_done:
            errand.end()
    return collection


OPERATIONS = [
    Operation(
        "POST",
        "/exchanges/{vhost}/{exchange}/publish",
        publish,
        Access.MANAGEMENT,
        "Publish a message; the answer says whether a queue received it.",
        takes=Publish,
        answers=Routed,
        most=None,
    ),
    Operation(
        "POST",
        "/queues/{vhost}/{queue}/get",
        get,
        Access.MANAGEMENT,
        "Get messages from the head of a queue, and requeue, acknowledge or reject them.",
        takes=Get,
        answers=list[MessageItem],
    ),
]
