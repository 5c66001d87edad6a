"""Types of answers: messages found, and the progress of a search or an action."""

from __future__ import annotations

from typing import Any

import msgspec

from leveret.api.encoding import encode
from leveret.api.payloads import as_base64, readable
from leveret.api.searching.candidate import Candidate
from leveret.api.views.properties import Properties, write_properties


class Death(msgspec.Struct):
    """The latest death of a message. queue: where it died. reason: why.

    exchange: the one to which it had been published. redriven: how often it was sent back since its first death.
    """

    queue: str
    reason: str
    exchange: str
    routing_keys: list[str]
    redriven: int


class Holder(msgspec.Struct):
    """The consumer of an unacknowledged message. label: the client's name for the connection. since_s: seconds since
    delivery.
    """

    connection: str
    label: str
    channel: int
    consumer_tag: str
    delivery_tag: int
    since_s: float


class FoundMessage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message in a queue.

    id: identifies it in actions. state: ready, unacked or delayed. payload_bytes: size of the whole payload.
    is_truncated: whether payload is cut off. age_s: seconds since the broker accepted the message; null if not known.
    held: its consumer, if it is unacknowledged. ready_in_s: seconds until a delayed message is ready.
    """

    id: str
    state: str
    exchange: str
    routing_key: str
    redelivered: bool
    priority: int
    age_s: float | None
    properties: Properties
    payload_bytes: int
    payload: str
    payload_encoding: str
    is_truncated: bool = False
    death: Death | None = None
    held: Holder | None = None
    ready_in_s: float | None = None


class Progress(msgspec.Struct, kw_only=True):
    """Progress of a search. looked: messages examined. total: approximate number of all. found: messages that match.

    place: position to continue from; null at the end. begin: position where it began: a search from there examines the
    same messages, and none that arrived later. missing: messages that cannot be read from the disk any more.
    undecided: messages that count as not matching because a pattern took too many steps.
    """

    looked: int
    found: int
    total: int
    place: str | None
    begin: str
    missing: int = 0
    undecided: int = 0


class ActProgress(Progress, kw_only=True):
    """Progress of an action. done: messages acted on, or that would be in a dry run. gone: messages consumed in the
    meantime. refused: messages that a full or missing queue did not accept. skipped: number of skipped messages, by
    reason. unsafe: messages of those done that could not be written to the disk; they are lost when the broker stops.
    """

    done: int
    gone: int
    refused: int
    skipped: dict[str, int]
    unsafe: int = 0
    is_dry_run: bool


def shown(candidate: Candidate, most: int, encoding: str, now_ms: int, wall_ms: int) -> FoundMessage:
    """A found message. most: maximum bytes of the payload. now_ms, wall_ms: the core's clock."""
    entry = candidate.entry
    message = entry.message
    body = candidate.body
    payload, kind = readable(body[:most], len(body) > most) if encoding == "auto" else as_base64(body[:most])
    found = FoundMessage(
        id=candidate.id,
        state=candidate.state,
        exchange=message.address.exchange,
        routing_key=message.address.routing_key,
        redelivered=entry.redelivered,
        priority=int(entry.level),
        age_s=max(wall_ms - int(message.arrived_ms), 0) / 1000 if message.arrived_ms else None,
        properties=write_properties(candidate.properties),
        payload_bytes=len(body),
        payload=payload,
        payload_encoding=kind,
        is_truncated=len(body) > most,
    )
    origin = candidate.origin
    if origin is not None:
        found.death = Death(origin.queue, origin.reason, origin.exchange, origin.keys, origin.redriven)
    held = candidate.held
    if held is not None:
        since_s = max(now_ms - int(held.since_ms), 0) / 1000
        names = held.connection, held.label, int(held.channel), held.consumer_tag, int(held.delivery_tag)
        found.held = Holder(*names, since_s)
    if candidate.due_ms:
        found.ready_in_s = max(candidate.due_ms - now_ms, 0) / 1000
    return found


def line(kind: str, content: Any) -> bytes:
    """One line of an answer."""
    return encode({kind: content}) + b"\n"
