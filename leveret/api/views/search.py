"""Search: find messages in a queue without consuming them, and act on the messages found."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import AsyncGenerator, Iterable
from typing import Any, Final

import msgspec

from leveret.api.access import Access
from leveret.api.errors import ApiError, bad_request, of_refusal
from leveret.api.names import check_name
from leveret.api.operation import Operation
from leveret.api.request import Pieces, Request
from leveret.api.searching.acting import Action, Delete, Redrive, Send, ToFront, exchange_target, queue_target, source
from leveret.api.searching.candidate import DELAYED, UNACKED, Candidate
from leveret.api.searching.criteria import prepare
from leveret.api.searching.editing import Republish
from leveret.api.searching.hunt import Hunt
from leveret.api.searching.requests import ActRequest, Search
from leveret.api.searching.shapes import ActProgress, FoundMessage, Progress, line, shown
from leveret.api.searching.walk import MOST_WALKS
from leveret.core.errors.refusals import Refusal
from leveret.core.message.codec import unframed
from leveret.core.queue.queue import Queue
from leveret.management import lines

TELL_S: Final = 0.5  # seconds between two progress lines
CHUNK: Final = 64 << 10  # bytes of one chunk of an answer
BATCH: Final = 32  # messages that are acted on in one step
BATCH_BYTES: Final = 256 << 10  # bytes of their bodies; the last body may exceed it
UNDER_WAY: Final = 2_000  # unconfirmed messages above which the action waits for the disk
DISK_S: Final = 30.0  # seconds that it waits

log = logging.getLogger("leveret.api")
acts = logging.getLogger("leveret.acts")


class SearchLine(msgspec.Struct, omit_defaults=True):
    """One line of the answer to a search; it has one of these fields. whole: a message in the format of
    `leveret messages import`.
    """

    message: FoundMessage | None = None
    whole: dict[str, Any] | None = None
    progress: Progress | None = None
    end: Progress | None = None
    error: str | None = None


class ActLine(msgspec.Struct, omit_defaults=True):
    """One line of the answer to an action; it has one of these fields."""

    progress: ActProgress | None = None
    end: ActProgress | None = None
    error: str | None = None


async def _guarded(request: Request, what: str, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The pieces of an answer. An error after the first piece becomes the last line.

    Raises: ApiError before the first one.
    """
    walks, name = request.services.walks, request.caller.user.name
    if walks.total() >= MOST_WALKS:
        raise ApiError(503, "busy", "too many searches are running; try again", {"Retry-After": "1"})
    walks[name] += 1
    is_begun = False
    try:
        async for piece in pieces:
            yield piece
            is_begun = True
    except (ApiError, Refusal) as error:
        refused = of_refusal(error) if isinstance(error, Refusal) else error
        if not is_begun:
            raise refused from None
        yield line("error", refused.reason)
    except Exception:
        log.exception("%s failed", what)
        if not is_begun:
            raise
        yield line("error", "the request failed inside the broker; see its log")
    finally:
        await pieces.aclose()
        walks[name] -= 1
        if not walks[name]:
            del walks[name]


def _queue(request: Request) -> Queue:
    vhost = request.vhost()
    request.errand(vhost).end()  # refuses a caller without permissions in it
    try:
        return source(vhost, request.caller.user, request.path["queue"])
    except Refusal as refusal:
        raise of_refusal(refusal) from None


async def search(request: Request) -> Pieces:
    """Search messages without changing them."""
    wanted = request.read(Search)
    await prepare(wanted.where)
    hunt = Hunt(request, _queue(request), wanted)
    return Pieces(_guarded(request, "a search", _search(hunt, wanted)), "application/x-ndjson")


async def _search(hunt: Hunt, wanted: Search) -> AsyncGenerator[bytes]:
    turns = hunt.services.turns
    tell_s = 0.0  # at once, so that the client sees that the search has begun
    while not hunt.is_over:
        out = bytearray()
        async with turns:
            while len(out) < CHUNK:
                candidate = await hunt.next()
                if candidate is not None:
                    await _write(hunt, wanted, candidate, out)
                elif hunt.is_over or time.monotonic() >= tell_s:
                    break
        if (out or time.monotonic() >= tell_s) and not hunt.is_over:  # with a position after everything that was sent
            tell_s = time.monotonic() + TELL_S
            out += line("progress", Progress(**hunt.progress()))
        if out:
            yield bytes(out)
    yield line("end", Progress(**hunt.progress()))


async def _write(hunt: Hunt, wanted: Search, candidate: Candidate, out: bytearray) -> None:
    """Append the line of a message that was found. Call within turns."""
    if not wanted.whole:
        seen = shown(candidate, wanted.truncate, wanted.encoding, hunt.clock.now_ms, hunt.clock.wall_ms)
        out += line("message", seen)
        return
    out += b'{"whole":'
    for piece in lines.pieces(unframed(candidate.entry.message, candidate.entry.redelivered)):
        out += piece
        await hunt.services.turns.rest()
    out += b"}\n"


async def act(request: Request) -> Pieces:
    """Act on messages."""
    wanted = request.read(ActRequest)
    await prepare(wanted.where)
    queue = _queue(request)
    try:
        action = _action(request, queue, wanted)
    except Refusal as refusal:
        raise of_refusal(refusal) from None
    hunt = Hunt(request, queue, wanted, skips_front=wanted.to_front)
    return Pieces(_guarded(request, "an action", _act(request, hunt, action, wanted)), "application/x-ndjson")


def _action(request: Request, queue: Queue, wanted: ActRequest) -> Action:
    """The action for each message. Raises: ApiError, Refusal."""
    if not wanted.where and wanted.ids is None and not wanted.all and wanted.action != "redrive":
        raise bad_request("select messages with where, ids or all")
    if UNACKED in wanted.states:
        raise bad_request("states: unacknowledged messages cannot be acted on")
    if DELAYED in wanted.states:
        raise bad_request("states: messages that wait for redelivery cannot be acted on")
    if (wanted.edit is not None) != (wanted.action == "republish"):
        raise bad_request("edit: required for republish, and not allowed for other actions")
    vhost, user = request.vhost(), request.caller.user
    if wanted.action == "delete":
        return Delete(queue)
    if wanted.to_front:
        if wanted.action != "requeue":
            raise bad_request("to_front: only for requeue")
        user.check("write", "exchange", "", vhost.name)
        return ToFront(queue)
    if wanted.action == "redrive":
        user.check("write", "exchange", "", vhost.name)
        return Redrive(queue, vhost, wanted.max_redrives)
    made = None if wanted.edit is None else Republish(queue, wanted.edit, user, request.broker.max_message_size)
    action = made or Send(queue, wanted.action == "copy")
    if wanted.to_queue is not None and wanted.to_exchange is not None:
        raise bad_request("give to_queue or to_exchange, not both")
    if wanted.action == "requeue" and (wanted.to_queue is not None or wanted.to_exchange is not None):
        raise bad_request("requeue: messages stay in their queue; use move for another target")
    if wanted.to_exchange is not None:
        if wanted.routing_key is not None:
            check_name("routing_key", wanted.routing_key)
        action.aim(exchange_target(vhost, user, wanted.to_exchange, wanted.routing_key))
        return action
    if wanted.routing_key is not None:
        raise bad_request("routing_key: requires to_exchange")
    if wanted.to_queue is None and wanted.action in ("move", "copy"):
        raise bad_request(f"{wanted.action}: requires to_queue or to_exchange")
    if wanted.to_queue == queue.name and wanted.action == "move":
        raise bad_request("move: the messages are already in this queue; use requeue to put them at its end")
    action.aim(queue_target(vhost, user, queue.name if wanted.to_queue is None else wanted.to_queue, action.transfer))
    return action


def _batches(chosen: Iterable[Candidate], most: int) -> Iterable[list[Candidate]]:
    batch: list[Candidate] = []
    size = 0
    for candidate in chosen:
        batch.append(candidate)
        size += int(candidate.entry.message.size)
        if len(batch) >= most or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def _act(request: Request, hunt: Hunt, action: Action, wanted: ActRequest) -> AsyncGenerator[bytes]:
    services, tally, is_dry = request.services, action.tally, wanted.dry_run
    began_s, tell_s = time.monotonic(), 0.0
    rate = None if is_dry else wanted.rate
    most = BATCH if rate is None else max(min(BATCH, int(rate / 10)), 1)

    def told() -> ActProgress:
        return ActProgress(
            **hunt.progress(),
            done=tally.done,
            gone=tally.gone,
            refused=tally.refused,
            skipped=dict(tally.skipped),
            unsafe=int(action.transfer.unsafe),
            is_dry_run=is_dry,
        )

    try:
        while not hunt.is_over and (wanted.seconds is None or time.monotonic() < began_s + wanted.seconds):
            if action.publishes and not is_dry:
                _check_alarms(request)
            async with services.turns:
                chosen: list[Candidate] = []
                while len(chosen) < (BATCH * 8 if rate is None else most):
                    candidate = await hunt.next()
                    if candidate is None:
                        break
                    chosen.append(candidate)
                for batch in _batches(chosen, most):
                    hunt.walk.check()
                    services.performer.step(functools.partial(_do, action, batch, is_dry))
                    await services.turns.rest()
            if action.transfer.waiting > UNDER_WAY:
                await _wait(request, action)
            while True:
                if time.monotonic() >= tell_s:
                    tell_s = time.monotonic() + TELL_S
                    yield line("progress", told())
                ahead_s = 0.0 if rate is None else began_s + tally.done / rate - time.monotonic()
                if ahead_s <= 0:
                    break
                await asyncio.sleep(min(ahead_s, TELL_S))
        await _wait(request, action)
        yield line("end", told())
    except (ApiError, Refusal):
        if tally.done and not is_dry:
            yield line("progress", told())
        raise
    finally:
        if tally.done and not is_dry:
            who = f"user '{request.caller.user.name}' ({request.host})"
            acts.info("%s %s", who, action.told())


def _do(action: Action, batch: list[Candidate], is_dry: bool) -> None:
    for candidate in batch:
        action.do(candidate, is_dry)


def _check_alarms(request: Request) -> None:
    """Raises: ApiError 503 while publishers are blocked."""
    reason = request.broker.alarms.reason()
    if reason:
        raise ApiError(503, "blocked", f"messages cannot be moved now: the broker is {reason}")


async def _wait(request: Request, action: Action) -> None:
    """Wait until all messages are confirmed. Raises: ApiError 503."""
    try:
        async with asyncio.timeout(DISK_S):
            await request.services.driver.until(lambda: action.transfer.waiting == 0)
    except TimeoutError:
        text = f"{action.transfer.waiting} messages were moved but are not yet written to the disk"
        raise ApiError(503, "not_durable", text) from None


OPERATIONS = [
    Operation(
        "POST",
        "/leveret/queues/{vhost}/{queue}/messages/search",
        search,
        Access.MANAGEMENT,
        "Search messages in a queue without consuming them; the answer is one JSON object per line.",
        takes=Search,
        answers=SearchLine,
        media_type="application/x-ndjson",
    ),
    Operation(
        "POST",
        "/leveret/queues/{vhost}/{queue}/messages/act",
        act,
        Access.MANAGEMENT,
        "Delete, move, copy, requeue, redrive or republish messages of a queue; a dry run only counts them.",
        takes=ActRequest,
        answers=ActLine,
        media_type="application/x-ndjson",
    ),
]
