"""Tending of live queues: pause and resume, change the delivery rate, the arguments and the prefetch of consumers, and
list and drop held messages. Each action is logged with the user and its extent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from leveret.api.access import Access
from leveret.api.errors import bad_request, not_found, of_administration, of_refusal
from leveret.api.operation import Operation
from leveret.api.request import DONE, Answer, Request
from leveret.api.views.properties import Properties, write_properties
from leveret.api.views.queues import find
from leveret.core.access import user as access
from leveret.core.client import tending
from leveret.core.client.errand import Errand
from leveret.core.errors.administration import InvalidError
from leveret.core.errors.refusals import Refusal
from leveret.core.message.log import NotHereYet, Unreadable
from leveret.core.message.message import Message
from leveret.core.message.schedule import position
from leveret.core.policy.overrides import as_arguments
from leveret.core.queue.holding import Held
from leveret.core.queue.queue import Queue
from leveret.core.queue.run import single
from leveret.management.arguments import to_json

MOST_PREFETCH = 65_535  # as basic.qos
MOST_HELD = 500  # maximum messages in one answer
FEW_HELD = 100
RATE, BURST = "x-delivery-rate", "x-delivery-burst"

log = logging.getLogger("leveret.acts")
T = TypeVar("T")


class Rate(msgspec.Struct, kw_only=True):
    """A delivery rate. rate: messages per second; null for no limit, whatever arguments and policies say. burst:
    messages that may be delivered at once; 1 by default.
    """

    rate: float | None
    burst: int | None = None


class Arguments(msgspec.Struct, kw_only=True):
    """The arguments of a queue. declared: as declared. changed: changes since then; null for removed arguments."""

    declared: dict[str, Any]
    changed: dict[str, Any]


class Window(msgspec.Struct, kw_only=True):
    """A prefetch for consumers: all, or those with this consumer_tag and channel. prefetch: maximum number of
    unacknowledged messages; 0 for no limit.

    channel: the `channel_details.name` of a consumer.
    """

    prefetch: int
    consumer_tag: str | None = None
    channel: str | None = None


class Windows(msgspec.Struct):
    """The number of consumers whose prefetch was changed."""

    consumers: int


class HeldItem(msgspec.Struct, kw_only=True):
    """A message held until a time. due_ms: milliseconds since 1970. properties: null if they cannot be read."""

    id: str
    due_ms: int
    redelivered: bool
    exchange: str
    routing_key: str
    payload_bytes: int
    properties: Properties | None


def _note(request: Request, queue: str, done: str) -> None:
    """Log the action with its user."""
    where = f"queue '{queue}' in vhost '{request.path['vhost']}'"
    log.info("user '%s' at %s %s", request.caller.user.name, request.host, done.replace("{}", where))


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def _stock(queue: Queue) -> str:
    """The contents of a changed queue, for the log."""
    consumers = len(queue.consumers)
    return f"{_messages(len(queue.ready))} ready, {consumers} consumer{'' if consumers == 1 else 's'}"


async def _act(request: Request, step: Callable[[Errand, str], T]) -> T:
    """Run a step on the queue as the caller. Raises: ApiError."""
    find(request)
    refused: list[InvalidError] = []

    def guarded(errand: Errand) -> T | None:
        try:
            return step(errand, request.path["queue"])
        except InvalidError as error:
            refused.append(error)
            return None

    found = await request.act(request.vhost(), guarded)
    if refused:
        raise of_administration(refused[0])
    assert found is not None
    return found


async def pause(request: Request) -> Answer:
    """Pause the queue: stop deliveries."""
    queue = await _act(request, tending.pause)
    _note(request, queue.name, f"has paused {{}}: {_stock(queue)}")
    return DONE


async def resume(request: Request) -> Answer:
    """Resume deliveries."""
    queue = await _act(request, tending.resume)
    _note(request, queue.name, f"has resumed {{}}: {_stock(queue)}")
    return DONE


async def set_rate(request: Request) -> Answer:
    """Limit the delivery rate."""
    wanted = request.read(Rate)
    rate = wanted.rate
    changes: dict[str, Any] = {RATE: int(rate) if rate is not None and rate.is_integer() else rate, BURST: wanted.burst}

    def step(errand: Errand, name: str) -> Queue:
        queue = tending.change(errand, name, changes)
        return tending.restore(errand, name, [BURST]) if wanted.burst is None else queue

    queue = await _act(request, step)
    burst = "" if wanted.burst is None else f", {wanted.burst} at once"
    limit = "any number of messages" if rate is None else f"{rate:g} messages"
    _note(request, queue.name, f"lets {{}} deliver {limit} a second{burst}: {_stock(queue)}")
    return DONE


async def restore_rate(request: Request) -> Answer:
    """Restore the delivery rate of arguments and policies."""
    queue = await _act(request, lambda errand, name: tending.restore(errand, name, [RATE, BURST]))
    _note(request, queue.name, f"has taken back the rate of {{}}: {_stock(queue)}")
    return DONE


async def show_arguments(request: Request) -> Arguments:
    """Show the arguments of a queue, as declared and as changed."""
    queue = find(request)
    return Arguments(declared=to_json(queue.arguments), changed=as_arguments(queue.overrides))


async def change_arguments(request: Request) -> Answer:
    """Change the given arguments; the others stay."""
    changes = request.read(dict[str, Any])
    if not changes:
        raise bad_request('the body must be an object of arguments, such as {"x-max-length": 1000}')
    queue = await _act(request, lambda errand, name: tending.change(errand, name, changes))
    said = ", ".join(f"{name} to {msgspec.json.encode(changes[name]).decode()}" for name in sorted(changes))
    count = "1 argument" if len(changes) == 1 else f"{len(changes)} arguments"
    _note(request, queue.name, f"has changed {count} of {{}}, {said}: {_stock(queue)}")
    return DONE


async def restore_argument(request: Request) -> Answer:
    """Restore the declared value of an argument."""
    argument = request.path["argument"]
    queue = await _act(request, lambda errand, name: tending.restore(errand, name, [argument]))
    _note(request, queue.name, f"has restored {argument} of {{}}: {_stock(queue)}")
    return DONE


async def set_prefetch(request: Request) -> Windows:
    """Change the prefetch of existing consumers."""
    wanted = request.read(Window)
    limit = wanted.prefetch
    if not 0 <= limit <= MOST_PREFETCH:
        raise bad_request(f"prefetch: must be from 0 to {MOST_PREFETCH}, not {limit}")

    def step(errand: Errand, name: str) -> int:
        return tending.set_prefetch(errand, name, limit, wanted.consumer_tag, wanted.channel)

    count = await _act(request, step)
    text = "1 consumer" if count == 1 else f"{count} consumers"
    _note(request, request.path["queue"], f"has set the prefetch of {text} of {{}} to {limit}")
    return Windows(count)


async def list_held(request: Request) -> list[HeldItem]:
    """List held messages, earliest due time first."""
    count = request.query.number("count")
    if count is not None and not 1 <= count <= MOST_HELD:
        raise bad_request(f"count: must be from 1 to {MOST_HELD}")
    behind = request.query.text("behind")
    after = tending.place_of(behind) if behind else 0
    if behind and not after:
        raise bad_request("behind: must be the id of a held message")
    queue = _find(request)
    found: list[HeldItem] = []
    async with request.services.turns as turns:
        holding = queue.detours.holding
        for held in holding.page(after, count or FEW_HELD) if holding is not None else ():
            found.append(_item(queue, held))
            await turns.rest()
    return found


def _find(request: Request) -> Queue:
    """The queue, if the caller may read from it. Raises: ApiError."""
    find(request)
    errand = request.errand(request.vhost())
    try:
        return tending.find(errand, request.path["queue"], access.READ)
    except Refusal as refusal:
        raise of_refusal(refusal) from None
    finally:
        errand.end()


def _item(queue: Queue, held: Held) -> HeldItem:
    entry = held.entry
    message = _whole(queue, held)
    return HeldItem(
        id=tending.name_of(held.due_ms, position(held.place)),
        due_ms=held.due_ms,
        redelivered=entry.redelivered,
        exchange=entry.message.address.exchange,
        routing_key=entry.message.address.routing_key,
        payload_bytes=int(entry.message.size),
        properties=None if message is None else write_properties(message.readable_properties()),
    )


def _whole(queue: Queue, held: Held) -> Message | None:
    """The message with its content; None if it cannot be read now."""
    entry = held.entry
    if entry.message.content:
        return entry.message
    try:
        found = queue.in_log.fetch(single(entry.log_id, entry.position, entry.message.size), True)
    except (NotHereYet, Unreadable):
        return None
    return found[0].message if found else None


async def drop_held(request: Request) -> Answer:
    """Drop a held message."""
    held = request.path["id"]
    if not await _act(request, lambda errand, name: tending.drop_held(errand, name, held)):
        raise not_found(f"the queue holds no message '{held[:60]}'")
    _note(request, request.path["queue"], f"has dropped 1 message, {held}, that {{}} held")
    return DONE


QUEUE = "/leveret/queues/{vhost}/{queue}"
CONFIGURE = "requires the tag policymaker and configure permission on the queue"
READ = "requires the tag management and read permission on the queue"
OPERATIONS = [
    Operation(
        "PUT",
        f"{QUEUE}/pause",
        pause,
        Access.POLICYMAKER,
        f"Pause a queue: it delivers nothing, even after a restart, but still accepts messages; {CONFIGURE}.",
        statuses=(204,),
    ),
    Operation(
        "PUT",
        f"{QUEUE}/resume",
        resume,
        Access.POLICYMAKER,
        f"Resume a paused queue; {CONFIGURE}.",
        statuses=(204,),
    ),
    Operation(
        "PUT",
        f"{QUEUE}/rate",
        set_rate,
        Access.POLICYMAKER,
        f"Limit the deliveries of a queue to a number of messages per second; {CONFIGURE}.",
        takes=Rate,
        statuses=(204,),
    ),
    Operation(
        "DELETE",
        f"{QUEUE}/rate",
        restore_rate,
        Access.POLICYMAKER,
        f"Restore the delivery rate that the arguments and policies of a queue set; {CONFIGURE}.",
        statuses=(204,),
    ),
    Operation(
        "GET",
        f"{QUEUE}/arguments",
        show_arguments,
        Access.MANAGEMENT,
        "Show the arguments of a queue, as declared and as changed.",
        answers=Arguments,
    ),
    Operation(
        "PUT",
        f"{QUEUE}/arguments",
        change_arguments,
        Access.POLICYMAKER,
        f"Change arguments of a live queue; null removes one, and clients may still declare it as before; {CONFIGURE}.",
        takes=dict[str, Any],
        statuses=(204,),
    ),
    Operation(
        "DELETE",
        f"{QUEUE}/arguments/{{argument}}",
        restore_argument,
        Access.POLICYMAKER,
        f"Restore the declared value of an argument of a queue; {CONFIGURE}.",
        statuses=(204,),
    ),
    Operation(
        "PUT",
        f"{QUEUE}/consumers/prefetch",
        set_prefetch,
        Access.POLICYMAKER,
        f"Change the prefetch of existing consumers; {CONFIGURE}.",
        answers=Windows,
        takes=Window,
    ),
    Operation(
        "GET",
        f"{QUEUE}/held",
        list_held,
        Access.MANAGEMENT,
        f"List the messages that a queue holds until a time, earliest first; {READ}.",
        answers=list[HeldItem],
        query=("count", "behind"),
    ),
    Operation(
        "DELETE",
        f"{QUEUE}/held/{{id}}",
        drop_held,
        Access.MANAGEMENT,
        f"Drop a message that a queue holds until a time; {READ}.",
        statuses=(204,),
    ),
]
