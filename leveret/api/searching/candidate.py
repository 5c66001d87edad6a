"""Candidate: a message that is looked at, of which nothing is decoded before it is asked for, and nothing twice."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import msgspec

from leveret.core.message.redrive import Origin, origin_of
from leveret.core.queue.client import Held
from leveret.core.queue.entry import QueueEntry
from leveret.management.arguments import to_json
from leveret.wire.properties import BasicProperties

READY: Final = "ready"
UNACKED: Final = "unacked"
DELAYED: Final = "delayed"
STATES: Final[tuple[str, ...]] = (READY, UNACKED, DELAYED)

MAX_JSON: Final = 1 << 20  # bytes of a body that is read as JSON: decoding more would keep clients waiting
NO_JSON: Final = object()
UNREAD: Final = object()


class Candidate:
    """entry: its place. state: one of STATES. held: who has it. due_ms: when it is ready again, on the core's clock, if
    it is delayed. front: its number among those that were put in front of all others when it was shown, or 0.
    """

    __slots__ = ("_body", "_headers", "_json", "_origin", "_properties", "due_ms", "entry", "front", "held", "state")

    def __init__(self, entry: QueueEntry, state: str, held: Held | None = None, due_ms: int = 0) -> None:
        self.entry = entry
        self.state = state
        self.held = held
        self.due_ms = due_ms
        self.front = 0
        self._body: bytes | None = None
        self._json: Any = UNREAD
        self._properties: BasicProperties | None = None
        self._headers: dict[str, Any] | None = None
        self._origin: Origin | bool | None = False

    @property
    def id(self) -> str:
        """What names it as long as it is in its queue."""
        return f"{self.entry.queue.queue_id}-{self.entry.position}"

    @property
    def properties(self) -> BasicProperties:
        """Those that can be read."""
        if self._properties is None:
            self._properties = self.entry.message.readable_properties()
        return self._properties

    @property
    def headers(self) -> dict[str, Any]:
        """The headers, as JSON has them."""
        if self._headers is None:
            headers = self.properties.headers
            self._headers = to_json(headers) if headers else {}
        return self._headers

    @property
    def body(self) -> bytes:
        """The body as one piece."""
        if self._body is None:
            self._body = self.entry.message.body()
        return self._body

    @property
    def json(self) -> Any:
        """What the body says as JSON; NO_JSON where it is none, or too large."""
        if self._json is UNREAD:
            self._json = NO_JSON
            if self.entry.message.size <= MAX_JSON:
                with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    self._json = msgspec.json.decode(self.body)
        return self._json

    @property
    def origin(self) -> Origin | None:
        """Where it died last; None where it has not died."""
        if isinstance(self._origin, bool):
            self._origin = origin_of(self.entry.message)
        return self._origin
