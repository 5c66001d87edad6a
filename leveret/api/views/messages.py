"""Messages: to publish one, and to get some. Source: rabbit_mgmt_wm_exchange_publish.erl and _queue_get.erl."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Literal

import msgspec

from leveret.api.access import Access
from leveret.api.errors import ApiError, bad_request, not_found, of_refusal
from leveret.api.names import arguments_of, check_name
from leveret.api.operation import Operation
from leveret.api.request import Request
from leveret.api.values import Whole, whole
from leveret.api.views.exchanges import name_in
from leveret.core.client.errand import Collection, Posting, Taken
from leveret.core.client.settling import ACK, DISCARD, REQUEUE, RETURN
from leveret.core.errors.administration import AdministrationError
from leveret.core.errors.refusals import FORBIDDEN, UNKNOWN, Refusal
from leveret.management.arguments import to_json
from leveret.session.base.errors import as_reply
from leveret.wire.properties import BasicProperties

MAX_COUNT = 10_000  # messages that one request gets
HOW = {
    "ack_requeue_true": REQUEUE,
    "reject_requeue_true": RETURN,
    "ack_requeue_false": ACK,
    "reject_requeue_false": DISCARD,
}
SHORT = 255  # bytes of a text


class Properties(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The properties of a message. timestamp: seconds since 1970; expiration: milliseconds, as a text."""

    content_type: str | None = None
    content_encoding: str | None = None
    headers: dict[str, Any] | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


class Publish(msgspec.Struct, kw_only=True):
    """A message to publish. payload_encoding: string for UTF-8, or base64."""

    routing_key: str
    payload: str
    payload_encoding: str
    properties: Properties | list[Any]


class Routed(msgspec.Struct):
    """Whether at least one queue has the message."""

    routed: bool


class Get(msgspec.Struct, kw_only=True):
    """How many messages are wanted, and what becomes of them.

    encoding: auto for payloads as they are where they are UTF-8, or base64 for all. truncate: bytes of a payload that
    are shown at most.
    """

    count: Whole
    ackmode: str
    encoding: Literal["auto", "base64"] | str
    truncate: Whole | None = None


class MessageItem(msgspec.Struct, kw_only=True):
    """A message. message_count: how many are ready behind it."""

    payload_bytes: int
    redelivered: bool
    exchange: str
    routing_key: str
    message_count: int
    properties: Properties
    payload: str
    payload_encoding: str


NAMES = {"type": "message_type"}
NUMBERS = {"delivery_mode": 255, "priority": 255, "timestamp": (1 << 64) - 1}


def read_properties(given: Properties) -> BasicProperties:
    """Properties as a message has them. Raises: ApiError 400."""
    found = BasicProperties()
    for name in Properties.__struct_fields__:
        value = getattr(given, name)
        if value is None:
            continue
        if name == "headers":
            found.headers = arguments_of(value)
            continue
        if isinstance(value, str) and len(value.encode("utf-8", "surrogateescape")) > SHORT:
            raise bad_request(f"properties.{name} has at most {SHORT} bytes")
        if isinstance(value, int) and not 0 <= value <= NUMBERS[name]:
            raise bad_request(f"properties.{name} is a number from 0 to {NUMBERS[name]}")
        setattr(found, NAMES.get(name, name), value)
    return found


def write_properties(properties: BasicProperties) -> Properties:
    """Properties as answers have them."""
    found = Properties()
    for name in Properties.__struct_fields__:
        value = getattr(properties, NAMES.get(name, name))
        if value is not None:
            setattr(found, name, to_json(value) if name == "headers" else value)
    return found


def payload_of(payload: str, encoding: str) -> bytes:
    """A payload as bytes. encoding: string for UTF-8, or base64. Raises: ApiError 400."""
    if encoding == "string":
        return payload.encode()
    if encoding != "base64":
        raise bad_request(f"unsupported_encoding: {encoding[:40]}")
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise bad_request("not_base64: the payload is not in base64") from None


def _as_amqp(refusal: Refusal, missing: str) -> ApiError:
    """What an AMQP client would hear. Source: rabbit_mgmt_util.erl with_channel."""
    if refusal.kind == UNKNOWN:
        return not_found(missing)
    reply = as_reply(refusal)
    return bad_request(f"{reply.code} {reply.reply_text}")


async def publish(request: Request) -> Routed:
    """Publish a message, and wait until it is safe."""
    vhost, name = request.vhost(), name_in(request)
    wanted = request.read(Publish)
    check_name("exchange", name)
    check_name("routing_key", wanted.routing_key)
    given = wanted.properties if isinstance(wanted.properties, Properties) else Properties()
    properties, body = read_properties(given), payload_of(wanted.payload, wanted.payload_encoding)
    broker, driver = request.broker, request.services.driver
    reason = broker.alarms.reason()
    if reason:
        raise ApiError(503, "blocked", f"publishers have to wait: the broker is {reason}")
    errand = request.errand(vhost)
    posting = Posting(errand)
    try:
        await request.services.performer.do(
            "the publish", lambda: posting.post(name, wanted.routing_key, properties, body)
        )
        await driver.until(lambda: posting.is_settled)
    except Refusal as refusal:
        raise _as_amqp(refusal, "exchange_not_found") from None
    except AdministrationError as error:
        raise ApiError(503, "not_durable", str(error)) from None
    finally:
        errand.end()
    if posting.is_refused:
        raise bad_request("rejected: Unable to publish message. Check queue limits.")
    return Routed(posting.is_routed)


def _item(taken: Taken, encoding: str, truncate: int | None) -> MessageItem:
    message = taken.message
    body = message.body()
    shown = body if truncate is None else body[: max(truncate, 0)]
    try:
        if encoding == "base64":
            raise UnicodeError
        payload, kind = shown.decode(), "string"
    except UnicodeError:
        payload, kind = base64.b64encode(shown).decode(), "base64"
    return MessageItem(
        payload_bytes=len(body),
        redelivered=taken.redelivered,
        exchange=message.address.exchange,
        routing_key=message.address.routing_key,
        message_count=taken.left,
        properties=write_properties(message.readable_properties()),
        payload=payload,
        payload_encoding=kind,
    )


async def get(request: Request) -> list[MessageItem]:
    """Take messages from the head of a queue, and put them back, acknowledge them, or reject them."""
    vhost = request.vhost()
    wanted = request.read(Get)
    if wanted.encoding not in ("auto", "base64"):
        raise bad_request("Unsupported encoding. Please use auto or base64.")
    if wanted.ackmode not in HOW:
        raise bad_request(f"Invalid ackmode value: {wanted.ackmode[:40]}. Valid values are: {', '.join(HOW)}")
    count = whole("count", wanted.count)
    if count > MAX_COUNT:
        raise bad_request(f"count is at most {MAX_COUNT}")
    if count < 0:
        count = MAX_COUNT
    truncate = None if wanted.truncate is None else whole("truncate", wanted.truncate)
    broker, services = request.broker, request.services
    errand = request.errand(vhost)
    found: list[Collection] = []
    try:

        def collect() -> None:
            collection = Collection(errand, request.path["queue"], count, HOW[wanted.ackmode])
            found.append(collection)
            broker.background.begin(collection)

        await services.performer.do("this", collect)
        collection = found[0]
        await services.driver.until(lambda: collection.is_done)
        if collection.refusal is not None:
            raise collection.refusal
    except Refusal as refusal:
        if refusal.kind == FORBIDDEN:
            raise of_refusal(refusal) from None
        raise _as_amqp(refusal, "queue_not_found") from None
    except AdministrationError as error:
        raise ApiError(503, "not_durable", str(error)) from None
    finally:
        if not found or found[0].is_done:
            errand.end()
    items = []
    async with services.turns:
        for taken in collection.taken:
            items.append(_item(taken, wanted.encoding, truncate))
            await services.turns.rest()
    return items


OPERATIONS = [
    Operation(
        "POST",
        "/exchanges/{vhost}/{exchange}/publish",
        publish,
        Access.MANAGEMENT,
        "Publish a message, and hear whether a queue has it.",
        takes=Publish,
        answers=Routed,
        most=None,
    ),
    Operation(
        "POST",
        "/queues/{vhost}/{queue}/get",
        get,
        Access.MANAGEMENT,
        "Get messages from the head of a queue.",
        takes=Get,
        answers=list[MessageItem],
    ),
]
