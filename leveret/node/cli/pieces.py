"""Pieces: the messages of a queue, page by page out of a broker and batch by batch into one, wherever it is.

They are encoded (core/message/codec.py), and go through the control socket or over HTTP.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from leveret.node.cli.target import BrokerError, Link

if TYPE_CHECKING:
    from leveret.node.cli.asking import Broker

NO_LEVERET = "the broker there is no Leveret, or an older one; only a Leveret has messages in pieces"
CUT = "the broker has sent less of a page than it said"


@dataclass(frozen=True)
class Page:
    """A page of messages. told: the numbers of export_messages(). count: messages in it, None if nobody has counted."""

    data: bytes
    told: dict[str, int]
    count: int | None
    is_last: bool


class Pieces(Protocol):
    """The messages of one queue. Raises: BrokerError; is_gone means that nobody knows whether it was done."""

    def page(self) -> Page:
        """The next page."""

    def put(self, data: bytes) -> dict[str, Any]:
        """Put encoded messages into the queue. Returns: what import_messages() answers.

        `refused` and `reason` in it say which message may not come in, and why; nothing was stored then.
        """


class LocalPieces:
    """Through a control socket."""

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
    """Over HTTP."""

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
