"""The question, and the steps of the answer. Lists are flat, as a path may be longer than JSON can be nested."""

from __future__ import annotations

from typing import Any

import msgspec

from leveret.core.access.user import User
from leveret.wire.properties import BasicProperties


class Question:
    """A hypothetical message. size: of its body in bytes. user: the publisher; None to skip permission checks."""

    def __init__(self, exchange: str, key: str, properties: BasicProperties, size: int, user: User | None) -> None:
        self.exchange = exchange
        self.key = key
        self.properties = properties
        self.size = size
        self.user = user


class Check(msgspec.Struct, omit_defaults=True):
    """A check before a message is routed.

    what: permission, exchange, size, properties or topic_permission. pattern: of the deciding permission.
    """

    what: str
    is_passed: bool
    text: str
    pattern: str = ""


class Interception(msgspec.Struct, omit_defaults=True):
    """What an exchange does with a message before routing. what: delay, deduplication or history."""

    what: str
    text: str
    delay_ms: int = 0
    is_duplicate: bool = False


class BindingStep(msgspec.Struct, omit_defaults=True):
    """A binding that matches. reason: why. is_by_chance: one of several at random. was_visited: its target exchange
    was already visited, and a message passes each only once. arguments: left out if long.
    """

    destination: str
    destination_type: str
    routing_key: str
    reason: str
    arguments: dict[str, Any] = {}
    is_by_chance: bool = False
    was_visited: bool = False


class AlternateStep(msgspec.Struct):
    """The alternate exchange, for messages without a matching binding. said_by: an argument or a policy."""

    exchange: str
    said_by: str
    is_there: bool
    is_taken: bool


class ExchangeStep(msgspec.Struct, omit_defaults=True):
    """An exchange that the message reaches.

    came_from: index of the previous exchange in the list; None for the first one. came_by: publish, dead_letter,
    binding or alternate. keys: routing keys it uses. bindings: their number; matched: the number of matching ones, the
    first of which are in `matches`. text: what happens, as a sentence.
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
    """Where a queue sends dead letters. reasons: why it may dead-letter this message.

    routing_keys: of the dead letters. path: index of their path in the list; None if not followed. comes_back: the path
    returns to the same queue; a message that was not rejected on the way is dropped there.
    """

    exchange: str
    routing_keys: list[str]
    said_by: str
    reasons: list[str]
    is_there: bool = True
    path: int | None = None
    comes_back: bool = False


class QueueStep(msgspec.Struct, omit_defaults=True):
    """A queue that the message reaches.

    type: classic, quorum, or reply for direct reply-to. outcome: takes, drops_head, refuses or duplicate.
    is_by_chance: chosen at random. ttl_ms: time to live. notes: further remarks, as sentences.
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
    """One path: of the publish, or of dead letters. exchanges: in the order in which the message reaches them.

    queue_count: the number of queues it reaches, the first of which are in `queues`.
    """

    exchange: str
    routing_keys: list[str]
    exchanges: list[ExchangeStep]
    queues: list[QueueStep]
    queue_count: int


class Explanation(msgspec.Struct):
    """The route that a message would take.

    outcome: routed, unroutable or refused. conclusion: the same as a sentence. paths: of the publish, then of dead
    letters. queues: names of the queues that the publish reaches. is_complete: no step is left out. is_exact: the
    topology did not change during the check.
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
