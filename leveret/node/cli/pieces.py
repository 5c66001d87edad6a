"""Read the messages of a queue in pages, and write them in batches, through the control socket or over HTTP.

Messages are encoded as in core/message/codec.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from leveret.node.cli.target import BrokerError, Link

if TYPE_CHECKING:
    from leveret.node.cli.asking import Broker

NO_LEVERET = "this command needs a Leveret broker of a current version"
CUT = "the broker sent an incomplete page of messages"


@dataclass(frozen=True)
class Page:
    """A page of messages. told: the counts of export_messages(). count: messages in the page, None if unknown."""

    data: bytes
    told: dict[str, int]
    count: int | None
    is_last: bool


class Pieces(Protocol):
    """The messages of one queue. Raises: BrokerError; its is_gone means that the request may have been performed."""

    def page(self) -> Page:
        """The next page."""

    def put(self, data: bytes) -> dict[str, Any]:
        """Put encoded messages into the queue. Returns: the answer of import_messages().

        If it contains `refused`, the index of a message, and `reason`, nothing was stored.
        """


class LocalPieces:
    """Messages of a queue through a control socket."""

    def __init__(self, link: Link, queue: str, vhost: str) -> None:
        self._link = link
        self._queue: dict[str, object] = {"queue": queue, "vhost": vhost}
        self._place: dict[str, object] = {}

    def page(self) -> Page:
        """The next page."""
        told = cast(dict[str, int], self._link.ask("export_messages", self._queue | self._place))
        self._place = {name: told[name] for name in ("queue_id", "level", "position", "until")}
        return Page(self._link.data, told, None, bool(told["is_last"]))

    def put(self, data: bytes) -> dict[str, Any]:
        """Put encoded messages into the queue."""
        return cast(dict[str, Any], self._link.ask("import_messages", self._queue, data))


class RemotePieces:
    """Messages of a queue over HTTP."""

    def __init__(self, broker: Broker, queue: str, vhost: str) -> None:
        from leveret.node.cli.asking import path

        self._broker = broker
        self._path = path("leveret", "queues", vhost, queue, "encoded")
        self._after = ""

    def page(self) -> Page:
        """The next page."""
        query = {"after": self._after} if self._after else {}
        reply = self._broker.attempt("GET", self._path, query, missing=NO_LEVERET)
        line, _, data = reply.body.partition(b"\n")
        try:
            told = json.loads(line)
            self._after = told["next"] or ""
            return Page(data, told, told["count"], told["next"] is None)
        except (ValueError, TypeError, KeyError):
            raise BrokerError(NO_LEVERET) from None

    def put(self, data: bytes) -> dict[str, Any]:
        """Put encoded messages into the queue."""
        reply = self._broker.attempt("POST", self._path, None, data, missing=NO_LEVERET)
        try:
            told: dict[str, Any] = reply.content
            if not isinstance(told, dict) or "stored" not in told:
                raise ValueError
        except Exception:
            raise BrokerError(NO_LEVERET, bool(data)) from None
        return told
