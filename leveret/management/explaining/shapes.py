"""Shapes: what is asked, and the steps of the answer, in flat lists: a way may be longer than JSON is deep."""

from __future__ import annotations

from typing import Any

import msgspec

from leveret.core.access.user import User
from leveret.wire.properties import BasicProperties


class Question:
    """A message that nobody has published. size: bytes of its body. user: who would; None for anybody."""

    def __init__(self, exchange: str, key: str, properties: BasicProperties, size: int, user: User | None) -> None:
        self.exchange = exchange
        self.key = key
        self.properties = properties
        self.size = size
        self.user = user


class Check(msgspec.Struct, omit_defaults=True):
    """Something that is looked at before a message is routed.

    what: permission, exchange, size, properties or topic_permission. pattern: of the permission that decides.
    """

    what: str
    is_passed: bool
    text: str
    pattern: str = ""


class Interception(msgspec.Struct, omit_defaults=True):
    """What an exchange does with a message before it routes it. what: delay, deduplication or history."""

    what: str
    text: str
    delay_ms: int = 0
    is_duplicate: bool = False


class BindingStep(msgspec.Struct, omit_defaults=True):
    """A binding that the message takes. reason: why. is_by_chance: or another one. was_visited: the message has been in
    the exchange that it leads to, and goes through each only once. arguments: left out where they are long.
    """

    destination: str
    destination_type: str
    routing_key: str
    reason: str
    arguments: dict[str, Any] = {}
    is_by_chance: bool = False
    was_visited: bool = False


class AlternateStep(msgspec.Struct):
    """The exchange that takes what finds no binding. said_by: an argument or a policy."""

    exchange: str
    said_by: str
    is_there: bool
    is_taken: bool


class ExchangeStep(msgspec.Struct, omit_defaults=True):
    """An exchange that the message comes to.

    came_from: the place of the exchange before it in the list; None for the first one. came_by: publish, dead_letter,
    binding or alternate. keys: those that it looks up. bindings: how many it has; matched: how many of these are taken,
    of which `matches` has the first ones. text: what happens, in a sentence.
    """

    name: str
    type: str
    text: str
    came_by: str
    came_from: int | None = None
    durable: bool = False
    internal: bool = False
    policy: str | None = None
    operator_policy: str | None = None
    keys: list[str] = []
    interceptions: list[Interception] = []
    bindings: int = 0
    matched: int = 0
    matches: list[BindingStep] = []
    alternate: AlternateStep | None = None


class DeadLetterStep(msgspec.Struct, omit_defaults=True):
    """Where messages go that a queue gives up. reasons: why it may give up this one.

    routing_keys: with which they are published. path: the place of that way in the list; None where it is not followed
    any further. comes_back: it leads to the same queue again, which ends it unless it was rejected.
    """

    exchange: str
    routing_keys: list[str]
    said_by: str
    reasons: list[str]
    is_there: bool = True
    path: int | None = None
    comes_back: bool = False


class QueueStep(msgspec.Struct, omit_defaults=True):
    """A queue that the message comes to.

    type: classic, quorum, or reply for the way back of direct reply-to. outcome: takes, drops_head, refuses or
    duplicate. is_by_chance: the message comes to this one or to another. ttl_ms: after which it expires.
    notes: what else there is to say, in sentences.
    """

    name: str
    type: str
    outcome: str
    text: str
    is_by_chance: bool = False
    durable: bool = False
    policy: str | None = None
    operator_policy: str | None = None
    ready: int = 0
    unacknowledged: int = 0
    consumers: int = 0
    is_paused: bool = False
    ttl_ms: int | None = None
    ttl_said_by: str = ""
    notes: list[str] = []
    dead_letters: DeadLetterStep | None = None


class Path(msgspec.Struct, omit_defaults=True):
    """One way: of the publish, or of dead letters. exchanges: in the order in which the message comes to them.

    queue_count: how many queues it leads to, of which `queues` has the first ones.
    """

    exchange: str
    routing_keys: list[str]
    exchanges: list[ExchangeStep]
    queues: list[QueueStep]
    queue_count: int


class Explanation(msgspec.Struct):
    """Which way a message would take. Nothing has happened.

    outcome: routed, unroutable or refused. conclusion: the same in a sentence. paths: of the publish, then those of
    dead letters. queues: names of those that the publish leads to. is_complete: no step is left out. is_exact: nothing
    has changed while it was looked at.
    """

    outcome: str
    conclusion: str
    hints: list[str]
    checks: list[Check]
    queues: list[str]
    queue_count: int
    paths: list[Path]
    is_complete: bool
    is_exact: bool
