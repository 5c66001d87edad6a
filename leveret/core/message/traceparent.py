"""The trace of which a message is a part, by its header traceparent. Source: W3C Trace Context, section 3.2."""

from __future__ import annotations

from typing import Final

from leveret.core.message.message import Message
from leveret.wire.fields import LONGSTR

HEADER: Final = b"traceparent"
LENGTH: Final = 55  # of version 00, 2 + 32 + 16 + 2 digits and what stands between them; later versions may have more
DIGITS: Final = "0123456789abcdef"
MOST: Final = 512  # characters that are looked at
SAMPLED: Final = 1  # among the flags


class TraceParent:
    """trace_id: 128 bits. span_id: 64 bits, of whoever has sent it. Neither is 0. is_sampled: the trace is recorded."""

    __slots__ = ("is_sampled", "span_id", "trace_id")

    def __init__(self, trace_id: int, span_id: int, is_sampled: bool) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.is_sampled = is_sampled


def of(message: Message) -> TraceParent | None:
    """The trace of a message; None without one, and for a header that is none."""
    field = message.header(HEADER)
    if field is None or field.kind != LONGSTR:
        return None
    value = field.value
    return parse(value.decode("latin-1")) if isinstance(value, bytes) and len(value) <= MOST else None


def parse(text: str) -> TraceParent | None:
    """The trace that a header names; None if it does not."""
    parts = text.split("-")
    if len(parts) < 4 or (len(text) != LENGTH if parts[0] == "00" else parts[0] == "ff"):
        return None
    version, trace, span, flags = parts[0], parts[1], parts[2], parts[3]
    if len(version) != 2 or len(trace) != 32 or len(span) != 16 or len(flags) != 2:
        return None
    for digit in version + trace + span + flags:
        if digit not in DIGITS:
            return None
    trace_id, span_id = int(trace, 16), int(span, 16)
    if not trace_id or not span_id:
        return None
    return TraceParent(trace_id, span_id, int(flags, 16) & SAMPLED != 0)
