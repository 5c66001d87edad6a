"""Recording: the events of a broker as lines of JSON, to read, replay and compare.

    {"event": "publish", "at_ms": 12, "vhost": "/", "connection": "shop", "queues": ["orders"], "outcome": "routed",
     "message": 1, "exchange": "", "routing_key": "orders", "properties": {}, "text": "Hello"}
    {"event": "deliver", "at_ms": 13, "vhost": "/", "connection": "worker", "queue": "orders", "message": 1}
    {"event": "ack", "at_ms": 20, "vhost": "/", "queue": "orders", "message": 1}

`message` is the number of the publish; null if no longer known. A body that is not text is in `body`, in base64. All
other parts of a message are as in lines.py.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
from collections import OrderedDict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from leveret.core.broker import Broker
from leveret.core.client.party import Party
from leveret.core.client.settling import ACK, DISCARD, REQUEUE, RETURN
from leveret.core.message.codec import Item, unframed
from leveret.core.message.confirm import Confirm
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message
from leveret.core.queue.client import PASS, Client, Observer
from leveret.core.queue.entry import QueueEntry
from leveret.management import lines
from leveret.management.lines import LineError
from leveret.store.files import make_anew

KNOWN: Final = 10_000  # latest messages whose numbers are remembered
KNOWN_SIZE: Final = 64 << 20  # maximum total size of their bodies in bytes
VOLATILE: Final = ("message_id", "timestamp", "correlation_id", "reply_to")  # properties that differ in each run
ENDS: Final = {ACK: "ack", REQUEUE: "requeue", RETURN: "return", DISCARD: "discard"}
EVENT: Final = (
    "event",
    "at_ms",
    "vhost",
    "connection",
    "queues",
    "outcome",
    "message",
)  # keys besides those of a message

log = logging.getLogger("leveret.recording")


class RecordingError(Exception):
    """The file is not a valid recording. The text says where and why."""


class Recording(Observer):
    """Records the events of a broker. Each line is written at once; a failed write ends the recording.

    vhost: record only this virtual host; None for all.

    Raises: OSError, from the constructor.
    """

    def __init__(self, path: Path, broker: Broker, vhost: str | None = None) -> None:
        self._path = path
        self._vhost = vhost
        self._file: TextIO = os.fdopen(
            make_anew(path),
            "w",
            encoding="utf-8",
            errors="backslashreplace",
            buffering=1,
        )
        self._broker = broker
        self._began_ms = broker.clock.now_ms
        self._count = 0
        self._numbers: OrderedDict[int, tuple[int, Message]] = OrderedDict()  # by the id of the message
        self._size = 0  # of their bodies

    def close(self) -> None:
        """End the recording."""
        self._numbers.clear()
        with contextlib.suppress(OSError):  # of a failed write
            self._file.close()

    def follow(self, broker: Broker) -> None:
        """Continue with another broker."""
        self._broker = broker

    def published(self, connection: str, vhost: str, message: Message, queues: list[str], outcome: str) -> None:
        """Record a publish."""
        if self._file.closed or self._vhost not in (None, vhost):
            return
        self._count += 1
        self._numbers[id(message)] = (self._count, message)
        self._size += message.size
        while len(self._numbers) > KNOWN or self._size > KNOWN_SIZE:
            _, (_, oldest) = self._numbers.popitem(last=False)
            self._size -= oldest.size
        line = lines.to_json(unframed(message, False))
        try:
            line["text"] = message.body().decode()
            del line["body"]
        except UnicodeDecodeError:
            pass
        about = {"connection": connection, "queues": queues, "outcome": outcome, "message": self._count}
        self._write("publish", vhost, {**about, **line})

    def delivered(self, connection: str, entry: QueueEntry, no_ack: bool) -> None:
        """Record a delivery."""
        queue = entry.queue
        about: dict[str, object] = {"connection": connection, "queue": queue.name, **self._number(entry)}
        if entry.redelivered:
            about["redelivered"] = True
        if no_ack:
            about["no_ack"] = True
        self._write("deliver", queue.vhost.name, about)

    def settled(self, entry: QueueEntry, how: int) -> None:
        """Record a settlement."""
        self._write(ENDS[how], entry.queue.vhost.name, {"queue": entry.queue.name, **self._number(entry)})

    def _number(self, entry: QueueEntry) -> dict[str, object]:
        known = self._numbers.get(id(entry.message))
        return {"message": None if known is None else known[0]}

    def _write(self, event: str, vhost: str, about: dict[str, object]) -> None:
        if self._file.closed or self._vhost not in (None, vhost):
            return
        at_ms = self._broker.clock.now_ms - self._began_ms
        line = {"event": event, "at_ms": at_ms, "vhost": vhost, **about}
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError as error:
            log.error("cannot write %s: %s; nothing more is recorded", self._path, error.strerror)
            self.close()

    # -- Observer, for a broker without other observers

    def on_publish(self, client: Client, message: Message, queues: list[Destination], mandatory: bool) -> int:
        """Record the event."""
        assert isinstance(client, Party)
        outcome = "routed" if queues else "returned" if mandatory else "unroutable"
        self.published(
            client.label, client.vhost.name, message, [queue.name for queue in queues if queue.name], outcome
        )
        return PASS

    def on_held(self, confirm: Confirm) -> None:
        """Not used: nothing is held."""

    def on_delivery(self, client: Client, entry: QueueEntry, tag: int, no_ack: bool, is_get: bool) -> None:
        """Record the event."""
        assert isinstance(client, Party)
        self.delivered(client.label, entry, no_ack)

    def on_settle(self, entry: QueueEntry, how: int) -> None:
        """Record the event."""
        self.settled(entry, how)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a recording, in order. Raises: RecordingError, OSError."""
    for _, event in _numbered(path):
        yield event


def publishes(path: Path) -> Iterator[tuple[dict[str, Any], Item]]:
    """The publishes of a recording with their messages, in order. Raises: RecordingError, OSError."""
    for number, event in _numbered(path):
        if event["event"] != "publish":
            continue
        content = {key: value for key, value in event.items() if key not in EVENT}
        if "text" in content:
            content["body"] = base64.b64encode(content.pop("text").encode("utf-8", "surrogatepass")).decode()
        try:
            yield event, lines.from_json(content, "")
        except LineError as error:
            raise _wrong(path, number, error) from None


def _numbered(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The events with their line numbers."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                event = lines.parse(line)
                _check(event)
            except LineError as error:
                raise _wrong(path, number, error) from None
            yield number, event


def _check(event: dict[str, Any]) -> None:
    """Validate an event. Raises: LineError."""
    if not isinstance(event.get("event"), str) or type(event.get("at_ms")) is not int:
        raise LineError("not an event of a recording")
    queues = event.get("queues", [])
    if not isinstance(queues, list) or not all(isinstance(name, str) for name in queues):
        raise LineError("queues: expected an array of names")
    if not isinstance(event.get("text", ""), str):
        raise LineError("text: expected text")


def _wrong(path: Path, number: int, error: LineError) -> RecordingError:
    return RecordingError(f"{path}, line {number}: {error}")


def shown(event: dict[str, Any]) -> str:
    """The body of a publish as readable text."""
    return repr(event["text"]) if "text" in event else f"base64 {event.get('body')}"


def compare(one: Path, other: Path, *, ordered: bool = True, ignore: Collection[str] = VOLATILE) -> list[str]:
    """The differences between the publishes of two recordings, as lines of a diff; empty if they are equal.

    Ignores times, connections and the properties in `ignore`, and without `ordered` also the order.
    Raises: RecordingError, OSError.
    """
    import difflib  # not needed for recording

    first, second = (_shown(path, ignore) for path in (one, other))
    if not ordered:
        first, second = sorted(first), sorted(second)
    return list(difflib.unified_diff(first, second, str(one), str(other), lineterm="", n=1))


def _shown(path: Path, ignore: Collection[str]) -> list[str]:
    found = []
    for event, _ in publishes(path):
        properties = {name: value for name, value in event.get("properties", {}).items() if name not in ignore}
        where = f"{event.get('vhost')} {event.get('exchange')!r} {event.get('routing_key')!r}"
        if "bcc" in event:  # no longer in the headers
            where += f" bcc {event['bcc']}"
        found.append(f"{where} {event.get('outcome')} {json.dumps(properties, sort_keys=True)} {shown(event)}")
    return found
