"""Shapes: what is said of a message that was found, and how far a search or an action is."""

from __future__ import annotations

from typing import Any

import msgspec

from leveret.api.encoding import encode
from leveret.api.payloads import as_base64, readable
from leveret.api.searching.candidate import Candidate
from leveret.api.views.properties import Properties, write_properties


class Death(msgspec.Struct):
    """The latest death of a message: in which queue, why, and to which exchange it had been published there.

    redriven: how often it was sent back since its first one.
    """

    queue: str
    reason: str
    exchange: str
    routing_keys: list[str]
    redriven: int


class Holder(msgspec.Struct):
    """Who has a message. label: what its client calls the connection. since_s: for how many seconds."""

    connection: str
    label: str
    channel: int
    consumer_tag: str
    delivery_tag: int
    since_s: float


class FoundMessage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message in a queue.

    id: what actions call it. state: ready, unacked or delayed. payload_bytes: how many there are; payload is cut short
    where it is_truncated. age_s: since its first queue took it, null where that is not known. held: who has it.
    ready_in_s: how long it still waits.
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
    """How far it is. looked: at so many messages, of total, about. found: so many are as asked for.

    place: where to go on; null when there is no more. begin: where it began: whoever begins there looks at the same
    messages, and at none that came later. missing: messages that cannot be read from the disk any more.
    undecided: messages in which a pattern took too many steps, and counts as not found.
    """

    looked: int
    found: int
    total: int
    place: str | None
    begin: str
    missing: int = 0
    undecided: int = 0


class ActProgress(Progress, kw_only=True):
    """done: so many were acted on, or would be; gone: somebody had taken them meanwhile; refused: a queue had no room,
    or there was none. skipped: how many were left alone, by reason. unsafe: so many of those done could not be written
    to the disk, and are in their queues as long as the broker runs.
    """

    done: int
    gone: int
    refused: int
    skipped: dict[str, int]
    unsafe: int = 0
    is_dry_run: bool


def shown(candidate: Candidate, most: int, encoding: str, now_ms: int, wall_ms: int) -> FoundMessage:
    """What is said of a message. most: bytes of the payload. now_ms, wall_ms: the core's clock."""
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
