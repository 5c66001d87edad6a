"""Publishing: one message as the raw body of a request, or a batch of messages as lines of JSON.

The answer comes when the broker has confirmed them. A 503 corresponds to a nack in AMQP: the client should retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from leveret.api.access import Access
from leveret.api.errors import ApiError, bad_request, busy, not_found, of_messaging
from leveret.api.names import check_name
from leveret.api.operation import Operation
from leveret.api.request import Answer, Request
from leveret.api.services import Services
from leveret.api.values import whole
from leveret.api.views.exchanges import name_in
from leveret.api.views.messages import payload_of
from leveret.api.views.properties import Properties, read_properties
from leveret.core.access.user import check_open
from leveret.core.client.batch import REFUSED, UNROUTED, Batch
from leveret.core.client.errand import Errand
from leveret.core.errors.refusals import Refusal
from leveret.core.vhost import VirtualHost
from leveret.management.errors import explain
from leveret.wire.properties import BasicProperties

CONFIRM_S: Final = 30.0  # seconds to wait for the confirm
ALARM_S: Final = (
    10.0  # seconds that a large publish waits while the log is behind, which clients do not see as an alarm
)
LITTLE: Final = 4096  # bodies of this many bytes or less do not wait for it
MOST_LINES: Final = 10_000
MOST_BATCH: Final = 32 << 20  # bytes
MOST_FAILURES: Final = 1_000  # failures listed in one answer
PERSISTENT: Final = 2
HEADER: Final = "leveret-properties"
TEXTS: Final = ("correlation_id", "reply_to", "expiration", "message_id", "type", "user_id", "app_id")
NUMBERS: Final = ("delivery_mode", "priority", "timestamp")
REFUSED_TEXT: Final = (
    "a queue did not accept the message, because it is full or cannot write it; other queues may have it"
)
PROPERTIES: Final = (*TEXTS, *NUMBERS)
REPLACED: Final = "\ufffd"  # in a query, stands for bytes that are not UTF-8


class Published(msgspec.Struct):
    """Whether at least one queue received the message."""

    routed: bool


class Line(msgspec.Struct, kw_only=True):
    """A message of a batch. payload_encoding: string (UTF-8) or base64."""

    routing_key: str
    payload: str
    payload_encoding: str = "string"
    properties: Properties = msgspec.field(default_factory=Properties)


class Failure(msgspec.Struct):
    """A message that was not published. line: its line number, from 1."""

    line: int
    error: str
    reason: str


class BatchPublished(msgspec.Struct):
    """Numbers of messages that a queue confirmed and that failed, and the first failures."""

    published: int
    failed: int
    failures: list[Failure]


# -- alarms


def check_alarms(services: Services) -> None:
    """Refuse publishes while AMQP publishers are blocked by an alarm. Raises: ApiError 503."""
    reason = services.broker.alarms.reason()
    if reason:
        raise ApiError(503, "blocked", f"publishing is blocked: the broker is {reason}", {"Retry-After": "5"})


async def _wait_for_alarms(services: Services, size: int) -> None:
    """Wait while too much data waits for the log, unless this message is small. Raises: ApiError 503."""
    alarms = services.broker.alarms
    if alarms.raised and size > LITTLE:
        try:
            async with asyncio.timeout(ALARM_S):
                await services.driver.until(lambda: not alarms.raised or bool(alarms.reason()))
        except TimeoutError:
            raise busy("publishing is blocked: the broker has not yet written earlier messages to the disk") from None
    check_alarms(services)


# -- properties


def _properties(request: Request) -> BasicProperties:
    """The properties in the headers and the query. Raises: ApiError 400."""
    given = Properties()
    told = request.headers.get(HEADER)
    if told is not None:
        try:
            given = msgspec.json.decode(told, type=Properties)
        except msgspec.ValidationError as error:
            path, reason = explain(error)
            raise bad_request(f"Leveret-Properties{path}: {reason}") from None
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            raise bad_request("Leveret-Properties: not valid JSON") from None
    for header, name in (("content-type", "content_type"), ("content-encoding", "content_encoding")):
        value = request.headers.get(header)
        if value:
            setattr(given, name, value)
    for name in TEXTS:
        value = request.query.text(name)
        if value:
            setattr(given, name, value)
    for name in NUMBERS:
        value = request.query.text(name)
        if value:
            setattr(given, name, whole(name, value))
    if given.delivery_mode is None:
        given.delivery_mode = PERSISTENT
    return read_properties(given)


# -- one message


def _errand(request: Request, vhost: VirtualHost) -> Errand:
    """An errand that publishes as the caller, if the caller may open a connection. Raises: ApiError 403."""
    user = request.caller.user
    try:
        check_open(user, vhost.name, vhost.limits, vhost.connections)
    except Refusal as refusal:
        raise of_messaging(refusal) from None
    return Errand(request.broker, f"HTTP API, {request.host}", user, vhost)


async def _confirmed(request: Request, batch: Batch) -> None:
    """Wait until all messages are confirmed or refused. Raises: ApiError 503."""
    try:
        async with asyncio.timeout(CONFIRM_S):
            await request.services.driver.until(lambda: batch.is_settled)
    except TimeoutError:
        text = f"not confirmed within {CONFIRM_S:g} seconds; the message may still be stored, or be lost"
        raise ApiError(503, "unconfirmed", text) from None


def _step(services: Services, step: Callable[[], None]) -> None:
    """Run a step on the broker, and let it process the effects."""
    services.driver.refresh_clock()
    try:
        step()
    finally:
        services.broker.settle()
        services.driver.turn()


async def _publish(request: Request, exchange: str, key: str) -> Answer | None:
    """Publish the body. Returns: None if it is mandatory and reaches no queue."""
    vhost = request.vhost()
    check_name("exchange", exchange)
    check_name("routing_key", key)
    is_mandatory = request.query.flag("mandatory", True)
    properties = _properties(request)
    await _wait_for_alarms(request.services, len(request.body))
    errand = _errand(request, vhost)
    batch = Batch(errand)
    try:
        try:
            _step(request.services, lambda: batch.post(exchange, key, properties, request.body))
        finally:
            batch.end()
        await _confirmed(request, batch)
    except Refusal as refusal:
        if len(request.body) > request.broker.max_message_size:
            raise ApiError(413, "too_large", refusal.text) from None
        raise of_messaging(refusal) from None
    finally:
        errand.end()
    outcome = batch.outcomes[0]
    if outcome == REFUSED:
        raise ApiError(503, "refused", REFUSED_TEXT, {"Retry-After": "1"})
    if outcome == UNROUTED and is_mandatory:
        return None
    return Answer(202 if outcome == UNROUTED else 201, Published(outcome != UNROUTED))


async def publish(request: Request) -> Answer:
    """Publish the body to an exchange."""
    exchange, key = name_in(request), request.query.text("routing_key")
    if REPLACED in key:
        raise bad_request("routing_key is not valid UTF-8")
    answer = await _publish(request, exchange, key)
    if answer is None:
        what = f"queue '{key}'" if not exchange else f"queue bound to exchange '{exchange}' for routing key '{key}'"
        raise ApiError(422, "unroutable", f"there is no {what}; the message was dropped")
    return answer


async def publish_to_queue(request: Request) -> Answer:
    """Publish the body to a queue, through the default exchange."""
    name = request.path["queue"]
    answer = await _publish(request, "", name)
    if answer is None:
        raise not_found(f"no queue '{name}' in vhost '{request.path['vhost']}'")
    return answer


# -- batches


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, with their numbers from 1."""
    at, number = 0, 0
    while at < len(body):
        end = body.find(b"\n", at)
        if end < 0:
            end = len(body)
        number += 1
        line = body[at:end].strip()
        if line:
            yield number, line
        at = end + 1


def _post_line(services: Services, batch: Batch, exchange: str, line: bytes) -> None:
    """Publish a message. Raises: ApiError."""
    try:
        given = msgspec.json.decode(line, type=Line)
    except msgspec.ValidationError as error:
        path, reason = explain(error)
        raise bad_request(f"{path.lstrip('.')}: {reason}" if path else reason) from None
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise bad_request("not valid JSON") from None
    check_name("routing_key", given.routing_key)
    if given.properties.delivery_mode is None:
        given.properties.delivery_mode = PERSISTENT
    properties, body = read_properties(given.properties), payload_of(given.payload, given.payload_encoding)
    try:
        _step(services, lambda: batch.post(exchange, given.routing_key, properties, body))
    except Refusal as refusal:
        raise of_messaging(refusal) from None


async def publish_batch(request: Request) -> Answer:
    """Publish a batch of messages to an exchange. A failed message does not stop the others."""
    vhost, exchange = request.vhost(), name_in(request)
    check_name("exchange", exchange)
    if request.body.count(b"\n") > MOST_LINES:
        raise bad_request(f"a batch may have at most {MOST_LINES} lines")
    await _wait_for_alarms(request.services, len(request.body))
    services = request.services
    errand = _errand(request, vhost)
    batch = Batch(errand)
    numbers: list[int] = []  # of the lines that were published
    failures: list[Failure] = []
    try:
        async with services.turns:
            for number, line in _lines(request.body):
                try:
                    _post_line(services, batch, exchange, line)
                    numbers.append(number)
                except ApiError as error:
                    failures.append(Failure(number, error.error, error.reason))
                await services.turns.rest()
        batch.end()
        await _confirmed(request, batch)
    finally:
        batch.end()
        errand.end()
    for number, outcome in zip(numbers, batch.outcomes, strict=True):
        if outcome == REFUSED:
            failures.append(Failure(number, "refused", REFUSED_TEXT))
        elif outcome == UNROUTED:
            failures.append(Failure(number, "unroutable", "no queue received the message"))
    failures.sort(key=lambda failure: failure.line)
    published = len(numbers) - sum(outcome in (REFUSED, UNROUTED) for outcome in batch.outcomes)
    told = BatchPublished(published, len(failures), failures[:MOST_FAILURES])
    return Answer(207 if failures else 201, told)


OPERATIONS = [
    Operation(
        "POST",
        "/leveret/exchanges/{vhost}/{exchange}/messages",
        publish,
        Access.USER,
        "Publish the body of the request as a message; the answer comes when a queue has confirmed it.",
        answers=Published,
        takes=bytes,
        query=("routing_key", "mandatory", *PROPERTIES),
        statuses=(201, 202),
        most=None,
        before=check_alarms,
        refuses=(422,),
    ),
    Operation(
        "POST",
        "/leveret/queues/{vhost}/{queue}/messages",
        publish_to_queue,
        Access.USER,
        "Publish the body of the request as a message to a queue, through the default exchange.",
        answers=Published,
        takes=bytes,
        query=("mandatory", *PROPERTIES),
        statuses=(201, 202),
        most=None,
        before=check_alarms,
        refuses=(422,),
    ),
    Operation(
        "POST",
        "/leveret/exchanges/{vhost}/{exchange}/batch",
        publish_batch,
        Access.USER,
        "Publish a batch of messages, one JSON object per line; the answer says which of them a queue has confirmed.",
        answers=BatchPublished,
        takes=bytes,
        statuses=(201, 207),
        most=MOST_BATCH,
        before=check_alarms,
    ),
]
