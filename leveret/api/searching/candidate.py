"""Candidate: a message that a search examines. It decodes each part once, when it is needed."""

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

MAX_JSON: Final = 1 << 20  # maximum bytes of a body that is read as JSON: decoding more would delay clients
NO_JSON: Final = object()
UNREAD: Final = object()


class Candidate:
    """A message. entry: its entry in the queue. state: one of STATES. held: its consumer, if it is unacknowledged.
    due_ms: when a delayed message is ready again, on the core's clock. front: the number of a message that was moved to
    the front of the queue; 0 for other messages.
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
        """An id that identifies the message while it is in its queue."""
        return f"{self.entry.queue.queue_id}-{self.entry.position}"

    @property
    def properties(self) -> BasicProperties:
        """The properties; only a few of them if the headers cannot be decoded."""
        if self._properties is None:
            self._properties = self.entry.message.readable_properties()
        return self._properties

    @property
    def headers(self) -> dict[str, Any]:
        """The headers, converted to the types of JSON."""
        if self._headers is None:
            headers = self.properties.headers
            self._headers = to_json(headers) if headers else {}
        return self._headers

    @property
    def body(self) -> bytes:
        """The whole body."""
        if self._body is None:
            self._body = self.entry.message.body()
        return self._body

    @property
    def json(self) -> Any:
        """The body decoded as JSON; NO_JSON if it is not JSON or too large."""
        if self._json is UNREAD:
            self._json = NO_JSON
            if self.entry.message.size <= MAX_JSON:
                with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    self._json = msgspec.json.decode(self.body)
        return self._json

    @property
    def origin(self) -> Origin | None:
        """Where and why the message was last dead-lettered; None if it is not a dead letter."""
        if isinstance(self._origin, bool):
            self._origin = origin_of(self.entry.message)
        return self._origin
