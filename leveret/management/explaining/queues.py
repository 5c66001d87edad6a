"""What a queue, in its current state, would do with a message, and where it would be dead-lettered."""

from __future__ import annotations

from typing import Final

from leveret.core.message.destination import Destination
from leveret.core.policy.arguments import BY_NAME
from leveret.core.policy.checks import expiration_error
from leveret.core.policy.policy import Policy
from leveret.core.queue.dead_letter import DELIVERY_LIMIT, EXPIRED, MAXLEN, REJECTED
from leveret.core.queue.queue import Queue
from leveret.management.explaining.shapes import DeadLetterStep, QueueStep
from leveret.wire.fields import LONGSTR
from leveret.wire.properties import BasicProperties

TAKES: Final = "takes"
DROPS_HEAD: Final = "drops_head"
REFUSES: Final = "refuses"
DUPLICATE: Final = "duplicate"
REPLY: Final = "reply"


def step_of(
    destination: Destination, keys: list[str], properties: BasicProperties, size: int, is_by_chance: bool
) -> QueueStep:
    """What a queue would do with a message. keys: its own, followed by those in CC and BCC."""
    if not isinstance(destination, Queue):
        text = "the reply goes directly to the channel that waits for it"
        return QueueStep(destination.name, REPLY, TAKES, text, is_by_chance)
    queue = destination
    outcome, text = _outcome(queue, properties, size)
    found = QueueStep(
        queue.name,
        queue.settings.queue_type,
        outcome,
        text,
        is_by_chance,
        durable=queue.durable,
        policy=name_of(queue.policy),
        operator_policy=name_of(queue.operator_policy),
        ready=len(queue.ready),
        unacknowledged=int(queue.unacked),
        consumers=len(queue.consumers),
        is_paused=queue.holds > 0 or queue.settings.is_paused,
    )
    _find_ttl(queue, properties, found)
    _take_notes(queue, properties, found)
    if queue.settings.dead_letter_exchange is not None:
        found.dead_letters = _dead_letters(queue, keys, found)
    return found


def name_of(policy: Policy | None) -> str | None:
    """The name of a policy, if there is one."""
    return None if policy is None else policy.name


def said_by(queue: Queue, name: str, value: object) -> str:
    """The source of a setting: an argument, a policy or an operator policy. value: the effective value."""
    row = BY_NAME[name]
    field = queue.arguments.get(name)
    own: object = None if field is None else field.text if field.kind == LONGSTR else field.value

    def says(other: object) -> bool:
        if isinstance(other, int) and not isinstance(other, bool) and isinstance(value, int):
            return row.counts.nearest(other) == value
        return other == value

    if own is not None and says(own):
        return f"argument {name}"
    for kind, policy in (("operator policy", queue.operator_policy), ("policy", queue.policy)):
        if policy is not None and row.key in policy.definition and says(policy.definition[row.key]):
            return f"{kind} '{policy.name}'"
    return ""


def _by(queue: Queue, name: str, value: object) -> str:
    who = said_by(queue, name, value)
    return f" ({who})" if who else ""


def _outcome(queue: Queue, properties: BasicProperties, size: int) -> tuple[str, str]:
    settings = queue.settings
    detours = queue.detours
    duplicates = detours.duplicates
    value = None if duplicates is None else duplicates.value_in(properties)
    if duplicates is not None and value is not None and duplicates.knows(value):
        return (
            DUPLICATE,
            f"it already had a message with the same {duplicates.by}: this one would be dropped and confirmed",
        )
    if queue.fault:
        return REFUSES, f"it is faulty and accepts no messages: {queue.fault}"
    count = len(queue.ready) + len(queue.retries) + detours.held() + int(queue.letters)
    held = int(queue.ready.size + queue.retries.size + detours.held_bytes() + queue.letter_bytes)
    limits: list[str] = []
    if 0 <= settings.max_length < count + 1:
        by = _by(queue, "x-max-length", settings.max_length)
        limits.append(f"{count} of at most {settings.max_length} messages{by}")
    if 0 <= settings.max_length_bytes < held + size:
        by = _by(queue, "x-max-length-bytes", settings.max_length_bytes)
        limits.append(f"{held} of at most {settings.max_length_bytes} bytes{by}")
    if not limits:
        return TAKES, "it takes the message"
    full = f"it has {' and '.join(limits)}"
    if not settings.rejects:
        if settings.max_length == 0:
            return DROPS_HEAD, f"{full}: the message is dropped, unless a consumer takes it at once"
        return DROPS_HEAD, f"{full}: it takes the message and drops its oldest ones"
    if settings.rejects_dead and settings.dead_letter_exchange is not None:
        return REFUSES, f"{full}: it rejects the message, which becomes a dead letter"
    return REFUSES, f"{full}: it rejects the message"


def _find_ttl(queue: Queue, properties: BasicProperties, found: QueueStep) -> None:
    own_ms, expiration = queue.settings.message_ttl_ms, properties.expiration
    if own_ms >= 0:
        found.ttl_ms, found.ttl_said_by = own_ms, said_by(queue, "x-message-ttl", own_ms)
    if expiration is not None and expiration_error(expiration) is None:
        ttl_ms = int(expiration)
        if own_ms < 0 or ttl_ms < own_ms:
            found.ttl_ms, found.ttl_said_by = ttl_ms, "property expiration"
    if found.ttl_ms == 0:
        found.notes.append("the message expires at once, unless a consumer takes it")


def _take_notes(queue: Queue, properties: BasicProperties, found: QueueStep) -> None:
    settings, consumers = queue.settings, queue.consumers
    if queue.owner:
        found.notes.append(f"it is exclusive, {queue.origin}")
    if not found.consumers:
        found.notes.append("it has no consumers: the message waits")
    elif consumers.exclusive:
        found.notes.append("it has an exclusive consumer")
    elif settings.single_active:
        found.notes.append("only one of its consumers is active; the others wait")
    if found.is_paused:
        found.notes.append("it is paused and delivers nothing")
    if settings.delivery_rate:
        by = _by(queue, "x-delivery-rate", settings.delivery_rate)
        found.notes.append(f"it delivers at most {settings.delivery_rate:g} messages per second{by}")
    if settings.hold_until and settings.hold_until in (properties.headers or {}):
        by = _by(queue, "x-hold-until-header", settings.hold_until)
        found.notes.append(f"it holds the message until the time in its header '{settings.hold_until}'{by}")
    if settings.max_priority >= 0:
        level = min(properties.priority or 0, max(settings.max_priority, 1))
        found.notes.append(f"the message has priority {level} there")
    if settings.delivery_limit >= 0:
        by = _by(queue, "x-delivery-limit", settings.delivery_limit)
        found.notes.append(f"it drops or dead-letters messages returned more than {settings.delivery_limit} times{by}")
    if queue.durable and properties.delivery_mode != 2 and settings.queue_type != "quorum":
        found.notes.append("the message is not persistent, so a restart loses it")


def _dead_letters(queue: Queue, keys: list[str], found: QueueStep) -> DeadLetterStep:
    settings = queue.settings
    exchange, key = settings.dead_letter_exchange, settings.dead_letter_routing_key
    assert exchange is not None
    reasons = [REJECTED]
    if found.ttl_ms is not None:
        reasons.append(EXPIRED)
    if (settings.max_length >= 0 or settings.max_length_bytes >= 0) and (settings.rejects_dead or not settings.rejects):
        reasons.append(MAXLEN)
    if settings.delivery_limit >= 0:
        reasons.append(DELIVERY_LIMIT)
    who = said_by(queue, "x-dead-letter-exchange", exchange)
    return DeadLetterStep(exchange, keys if key is None else [key], who, reasons)
