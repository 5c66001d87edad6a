"""Requests for searches and actions."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from leveret.api.searching.candidate import READY
from leveret.api.searching.criteria import Condition

MOST_SHOWN: Final = 16 << 20  # maximum bytes of one payload
MOST_PER_SECOND: Final = 1_000_000.0
MOST_SECONDS: Final = 3_600.0

Limit = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]


class Chosen(msgspec.Struct, kw_only=True):
    """Selects messages of a queue: those that meet all conditions in `where`, and have one of `ids` if given.

    states: any of ready, unacked, delayed. newest_first: start at the end of the queue. limit: maximum number of
    messages. place: continue at the `place` of an earlier answer.
    """

    where: list[Condition] = []
    ids: list[str] | None = None
    states: list[str] = msgspec.field(default_factory=lambda: [READY])
    newest_first: bool = False
    limit: Limit | None = None
    place: str | None = None


class Search(Chosen, kw_only=True):
    """A search. truncate: maximum bytes of each payload. encoding: auto (text for UTF-8 payloads, base64 for others) or
    base64 for all. whole: return complete messages, in the format of `leveret messages import`.
    """

    limit: Limit | None = 50
    truncate: Annotated[int, msgspec.Meta(ge=0, le=MOST_SHOWN)] = 2_000
    encoding: Literal["auto", "base64"] = "auto"
    whole: bool = False


class Edit(msgspec.Struct, kw_only=True):
    """Changes to a message. properties, headers: new values by name; null removes one."""

    payload: str | None = None
    payload_encoding: Literal["string", "base64"] = "string"
    properties: dict[str, Any] = {}
    headers: dict[str, Any] = {}


class ActRequest(Chosen, kw_only=True):
    """An action on selected messages.

    action: delete; move or copy (to a queue or through an exchange); requeue (to the end of the queue; with to_front to
    its front, until they are delivered or the broker restarts); redrive (dead letters to the queues in which they
    died); republish (with an edit, to the given target or to the end of the queue).
    to_queue, to_exchange, routing_key: the target; without a routing key, each message keeps its own. all: required to
    act on all messages, without `where` and `ids`. rate: maximum messages per second. max_redrives: skip dead letters
    that were already sent back so often. seconds: approximate time limit; the answer then ends with the place to
    continue from. dry_run: only count the messages.
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
