"""Redrive: sends a dead letter back to the queue in which it died.

Its latest death in x-death names that queue, and the exchange and routing keys of the publish. Its x-death is kept
under another name; otherwise the message could count as a cycle and be dropped (core/message/deaths.py).
"""

from __future__ import annotations

from typing import Final

from leveret.core.message.deaths import X_DEATH
from leveret.core.message.message import Message, address
from leveret.wire import patch
from leveret.wire.fields import ARRAY, LONGSTR, TABLE, DecodeError, Field, Table

COUNT: Final = b"x-redrive-count"  # how often it was sent back
STORY: Final = b"x-redrive-death"  # the x-death at that time
GONE: Final = tuple(
    f"x-{which}-death-{what}".encode() for which in ("first", "last") for what in ("reason", "queue", "exchange")
)
COUNTED: Final = (b"x-acquired-count", b"x-delivery-count")  # set by the queue that the message leaves


class Origin:
    """The latest death of a message. queue: where. exchange, keys: of the publish. reason: why it died.

    redriven: how often it was sent back before.
    """

    __slots__ = ("exchange", "keys", "queue", "reason", "redriven")

    def __init__(self, queue: str, exchange: str, keys: list[str], reason: str, redriven: int) -> None:
        self.queue = queue
        self.exchange = exchange
        self.keys = keys
        self.reason = reason
        self.redriven = redriven


def origin_of(message: Message) -> Origin | None:
    """The latest death of a message; None if it names none. A client may have forged it."""
    deaths = message.header(X_DEATH)
    if deaths is None or deaths.kind != ARRAY or not isinstance(deaths.value, list) or not deaths.value:
        return None
    latest: Field = deaths.value[0]
    if latest.kind != TABLE or not isinstance(latest.value, dict):
        return None
    table: Table = latest.value
    queue = _text(table, "queue")
    if not queue:
        return None
    keys: list[str] = []
    listed = table.get("routing-keys")
    if listed is not None and listed.kind == ARRAY and isinstance(listed.value, list):
        keys = [key.text for key in listed.value if key.kind == LONGSTR]
    redriven = message.header(COUNT)
    before = redriven.value if redriven is not None and isinstance(redriven.value, int) else 0
    return Origin(queue, _text(table, "exchange"), keys or [queue], _text(table, "reason"), max(before, 0))


def sent_back(message: Message, origin: Origin) -> Message:
    """The message for its old queue: with its old exchange and keys, and marked as redriven.

    Raises: DecodeError when its headers cannot be read.
    """
    content = message.content
    start, end = patch.header_range(content)
    at = patch.find(content, start, end, X_DEATH)
    changes: dict[bytes, bytes] = dict.fromkeys(GONE, b"")
    if message.is_counted:
        for name in COUNTED:
            changes[name] = b""
    if at >= 0:
        changes[STORY] = content[at : patch.skip(content, at, end)]
    changes[X_DEATH] = b""
    changes[COUNT] = patch.long_value(min(origin.redriven + 1, 1 << 62))
    headers = patch.changed(content, start, end, changes)
    try:
        where = address(origin.exchange, origin.keys[0], tuple(origin.keys[1:]))
    except ValueError:
        raise DecodeError("its exchange or routing key is longer than 255 bytes") from None
    found = Message(where, patch.with_headers(content, headers, True), message.persistent)
    found.arrived_ms = message.arrived_ms
    return found


def _text(table: Table, name: str) -> str:
    field = table.get(name)
    return field.text if field is not None and field.kind == LONGSTR else ""
