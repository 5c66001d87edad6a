"""The trace context of a message, from its header traceparent. Source: W3C Trace Context, section 3.2."""

from __future__ import annotations

from typing import Final

from leveret.core.message.message import Message
from leveret.wire.fields import LONGSTR

HEADER: Final = b"traceparent"
LENGTH: Final = 55  # of version 00, 2 + 32 + 16 + 2 digits and separators; later versions may be longer
DIGITS: Final = "0123456789abcdef"
MOST: Final = 512  # longest header that is parsed, in characters
SAMPLED: Final = 1  # bit of the flags


class TraceParent:
    """trace_id: 128 bits. span_id: 64 bits, of the sender. Neither is 0. is_sampled: the trace is recorded."""

    __slots__ = ("is_sampled", "span_id", "trace_id")

    def __init__(self, trace_id: int, span_id: int, is_sampled: bool) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.is_sampled = is_sampled


def of(message: Message) -> TraceParent | None:
    """The trace context of a message; None without a valid header."""
    field = message.header(HEADER)
    if field is None or field.kind != LONGSTR:
        return None
    value = field.value
    return parse(value.decode("latin-1")) if isinstance(value, bytes) and len(value) <= MOST else None


def parse(text: str) -> TraceParent | None:
    """The trace context in a header; None if it is invalid."""
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
