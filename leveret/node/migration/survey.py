"""Survey: the queues of the source, their messages, and what will be different in the target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from leveret.node.migration.side import Side
from leveret.node.migration.sink import PREFIX, room_of
from leveret.node.migration.source import Place

COLUMNS: Final = (
    "name,vhost,type,durable,auto_delete,exclusive,owner_pid_details,state,arguments,effective_policy_definition,"
    "messages,messages_ready,messages_unacknowledged,message_bytes,consumers"
)
KINDS: Final = ("classic", "quorum")
WORKING: Final = ("", "running", "flow", "idle")  # states in which a queue delivers messages
EXCLUSIVE: Final = "it is exclusive to one connection, whose client will declare it again in the target"
DELAYED: Final = "x-delayed-message"
DELIVERY_LIMIT: Final = 20  # default of quorum queues
SPOKEN: Final = {"amqp", "amqp/ssl", "http", "https", "http/prometheus", "https/prometheus", "clustering"}


@dataclass
class QueueFacts:
    """A queue of the source. remarks: notes for the user. obstacle: why it is not moved; empty if it is."""

    place: Place
    ready: int = 0
    unacked: int = 0
    size: int = 0
    consumers: int = 0
    remarks: list[str] = field(default_factory=list)
    obstacle: str = ""


def survey(source: Side, target: Side, vhosts: list[str], patterns: list[str]) -> list[QueueFacts]:
    """The selected queues, sorted by virtual host and name. Raises: SideError."""
    found = [
        _facts(queue, target)
        for queue in _queues(source, vhosts)
        if not queue["name"].startswith(PREFIX)
        and (not patterns or any(fnmatchcase(queue["name"], pattern) for pattern in patterns))
    ]
    return sorted(found, key=lambda facts: (facts.place.vhost, facts.place.name))


def _queues(source: Side, vhosts: list[str]) -> Iterator[dict[str, Any]]:
    for queue in source.items("/queues", COLUMNS):
        if not vhosts or queue["vhost"] in vhosts:
            yield queue


def _facts(queue: dict[str, Any], target: Side) -> QueueFacts:
    arguments = queue.get("arguments") or {}
    policy = queue.get("effective_policy_definition") or {}
    if isinstance(policy, list):
        policy = {}
    kind = str(queue.get("type", "classic")).removeprefix("rabbit_").removesuffix("_queue")
    count = _number(queue, "messages")
    size = _number(queue, "message_bytes")
    asked = (arguments.get("x-delivery-limit"), policy.get("delivery-limit"))
    limits = [each for each in asked if isinstance(each, int)]
    limit = min(limits, default=DELIVERY_LIMIT) if kind == "quorum" else None
    place = Place(
        str(queue["vhost"]),
        str(queue["name"]),
        kind,
        bool(queue.get("auto_delete")),
        size // count if count else 0,
        None if limit is not None and limit < 0 else limit,
    )
    facts = QueueFacts(
        place,
        _number(queue, "messages_ready"),
        _number(queue, "messages_unacknowledged"),
        size,
        _number(queue, "consumers"),
    )
    facts.obstacle = _obstacle(queue, kind)
    if not facts.obstacle:
        facts.remarks = list(_remarks(facts, queue, arguments, policy, target))
    return facts


def _obstacle(queue: dict[str, Any], kind: str) -> str:
    if queue.get("exclusive") or queue.get("owner_pid_details"):
        return EXCLUSIVE
    if kind == "stream":
        return "it is a stream; its messages are not moved"
    if kind not in KINDS:
        return f"it is of the unknown type {kind}; its messages are not moved"
    if queue.get("state", "") not in WORKING:
        return f"its state is '{queue['state']}', in which it delivers no messages"
    return ""


def _remarks(
    facts: QueueFacts, queue: dict[str, Any], arguments: dict[str, Any], policy: dict[str, Any], target: Side
) -> Iterator[str]:
    ttl = arguments.get("x-message-ttl", policy.get("message-ttl"))
    expires = arguments.get("x-expires", policy.get("expires"))
    room = room_of(queue)
    if not queue.get("durable", True):
        yield "it is not durable: its messages are lost when its broker stops"
    if facts.place.kind == "quorum" and target.is_leveret:
        yield "it is a quorum queue, but in the target it is on one node and not replicated"
    if _is_number(ttl):
        yield f"its messages expire after {ttl} ms, counted anew in the target"
    if _is_number(expires):
        yield f"it is deleted after {expires} ms without a consumer, in the target as well"
    if room.rejects and room.max_length is not None:
        yield f"it rejects messages above {room.max_length}, in the target as well: it is filled up to that number"
    elif room.rejects and room.counts_bytes:
        yield "it rejects messages when full, in the target as well: its messages are moved one by one"
    elif room.max_length is not None:
        yield f"it drops its oldest messages above {room.max_length}, in the target as well"
    elif room.counts_bytes:
        yield "it drops its oldest messages above its size limit, in the target as well"
    if arguments.get("x-single-active-consumer") and facts.consumers:
        yield "it has a single active consumer, which must stop first"
    waiting = _number(queue, "messages") - facts.ready - facts.unacked
    if waiting > 0:
        yield f"{waiting} of its messages are waiting for redelivery, and are moved after that"
    if facts.unacked:
        yield f"{facts.unacked} of its messages are unacknowledged, and are moved if the consumers return them"
    elif facts.consumers:
        yield f"its consumers ({facts.consumers}) take messages during the migration"


def differences(source: Side, target: Side, facts: list[QueueFacts]) -> Iterator[tuple[str, str]]:
    """What will be different, apart from definitions: pairs of subject and text."""
    for each in facts:
        name = f"queue '{each.place.name}' in virtual host '{each.place.vhost}'"
        if each.obstacle:
            yield name, f"not moved: {each.obstacle}"
        for remark in each.remarks:
            yield name, remark
    for exchange in source.items("/exchanges", "name,vhost,type"):
        if exchange.get("type") == DELAYED:
            name = f"exchange '{exchange['name']}' in virtual host '{exchange['vhost']}'"
            yield name, "its delayed messages reach their queues when due, and can be moved after that"
    spoken = {str(listener.get("protocol", "")) for listener in source.overview.get("listeners", [])}
    spoken_there = {str(listener.get("protocol", "")) for listener in target.overview.get("listeners", [])}
    for protocol in sorted(spoken - spoken_there - SPOKEN):
        yield "clients", f"the target does not speak {protocol}, the source does"
    yield (
        "messages",
        "those published through an exchange show an exchange of the migration in the target; routing keys stay",
    )
    yield "messages", "redelivery flags, death counts and expirations start anew"
    yield "messages", "those that are not persistent are lost when a broker stops, as always"


def _number(queue: dict[str, Any], key: str) -> int:
    value = queue.get(key, 0)
    return value if _is_number(value) else 0


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
