"""Requests: what a search or an action is asked for."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from leveret.api.searching.candidate import READY
from leveret.api.searching.criteria import Condition

MOST_SHOWN: Final = 16 << 20  # bytes of one payload
MOST_PER_SECOND: Final = 1_000_000.0
MOST_SECONDS: Final = 3_600.0

Limit = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]


class Chosen(msgspec.Struct, kw_only=True):
    """Which messages of a queue are meant: those for which all conditions hold, or those with these ids.

    states: ready, unacked, delayed. newest_first: from the end of the queue. limit: so many at most. place: where an
    earlier answer says that it goes on.
    """

    where: list[Condition] = []
    ids: list[str] | None = None
    states: list[str] = msgspec.field(default_factory=lambda: [READY])
    newest_first: bool = False
    limit: Limit | None = None
    place: str | None = None


class Search(Chosen, kw_only=True):
    """What is looked for. truncate: bytes of a payload that are shown at most. encoding: auto for payloads as they are
    where they are UTF-8, or base64 for all. whole: messages as `leveret messages import` reads them, with nothing lost.
    """

    limit: Limit | None = 50
    truncate: Annotated[int, msgspec.Meta(ge=0, le=MOST_SHOWN)] = 2_000
    encoding: Literal["auto", "base64"] = "auto"
    whole: bool = False


class Edit(msgspec.Struct, kw_only=True):
    """What is changed of a message. properties, headers: those that are named; null takes one away."""

    payload: str | None = None
    payload_encoding: Literal["string", "base64"] = "string"
    properties: dict[str, Any] = {}
    headers: dict[str, Any] = {}


class ActRequest(Chosen, kw_only=True):
    """What is to be done with which messages.

    action: delete; move or copy, to a queue or through an exchange; requeue, to the end of the queue, or with to_front
    in front of all others, until they are delivered or the broker restarts; redrive, dead letters to the
    queues in which they died; republish, with an edit, to where it says or to the end of the queue.
    to_queue, to_exchange, routing_key: where they go; without a key, each keeps its own. all: that all messages are
    meant, where neither conditions nor ids say which. rate: so many in a second at most. max_redrives: letters that
    were sent back so often are left alone. seconds: for so long, about; then the answer ends, and says where to go on.
    dry_run: only count.
    """

    action: Literal["delete", "move", "copy", "requeue", "redrive", "republish"]
    to_queue: str | None = None
    to_exchange: str | None = None
    routing_key: str | None = None
    to_front: bool = False
    all: bool = False
    rate: Annotated[float, msgspec.Meta(gt=0, le=MOST_PER_SECOND)] | None = None
    max_redrives: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 3
    edit: Edit | None = None
    seconds: Annotated[float, msgspec.Meta(gt=0, le=MOST_SECONDS)] | None = None
    dry_run: bool = False
