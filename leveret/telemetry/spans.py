"""Spans: makes spans that are over, and leaves them to the SDK's thread, which sends them.

A span is made at its end, of what was noted at its beginning, as a ReadableSpan: what the SDK's own tracer does costs
seven times as much, and its sampling and its context are not needed here.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from time import time_ns
from typing import Final

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from leveret import __version__
from leveret.core.message.traceparent import TraceParent

Value = str | int | bool
Attributes = Mapping[str, Value]

SERVICE: Final = "leveret"
LONGEST: Final = 255  # characters of a value that a client has chosen
FINE: Final = Status(StatusCode.UNSET)
SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
REMOTE: Final = True


class Spans:
    """Of one broker. processor: gets them."""

    def __init__(self, processor: SpanProcessor, node: str) -> None:
        self._processor = processor
        self._resource = make_resource(node)
        self._scope = InstrumentationScope(SERVICE, __version__)

    def begin(self, parent: SpanContext | None) -> Begun:
        """Note that something begins now. parent: what it is a part of; None for a trace of its own."""
        return Begun(parent)

    def end(
        self,
        begun: Begun,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        links: Sequence[Link] = (),
        error: str = "",
    ) -> None:
        """It is over. error: what went wrong, empty for nothing."""
        span = ReadableSpan(
            name,
            begun.context,
            begun.parent,
            self._resource,
            {**attributes, "error.type": error} if error else attributes,
            (),
            links,
            kind,
            None,
            Status(StatusCode.ERROR) if error else FINE,
            begun.at_ns,
            max(begun.at_ns, time_ns()),
            self._scope,
        )
        self._processor.on_end(span)


class Begun:
    """Something that has begun. context: its trace and its id. parent: what it is a part of. at_ns: when it began."""

    __slots__ = ("at_ns", "context", "parent")

    def __init__(self, parent: SpanContext | None) -> None:
        self.at_ns = time_ns()
        self.parent = parent
        trace_id = random.getrandbits(128) or 1 if parent is None else parent.trace_id
        state = None if parent is None else parent.trace_state
        self.context = SpanContext(trace_id, random.getrandbits(64) or 1, False, SAMPLED, state)


def context_of(parent: TraceParent | None, state: str = "") -> SpanContext | None:
    """The context that came with a message or a request. state: its tracestate, empty for none."""
    if parent is None:
        return None
    found = TraceState.from_header([state]) if state else None
    return SpanContext(parent.trace_id, parent.span_id, REMOTE, TraceFlags(int(parent.is_sampled)), found)


def text(value: str) -> str:
    """What a client has chosen, as a value that can be sent: one that is no UTF-8 would cost a whole batch."""
    if len(value) > LONGEST:
        value = value[:LONGEST]
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def make_resource(node: str) -> Resource:
    """What the spans are of: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, and what they do not say."""
    said = Resource.create()
    name = str(said.attributes.get(SERVICE_NAME, ""))
    ours = {"service.version": __version__, "leveret.node": text(node)}
    unnamed = name.startswith("unknown_service")
    return Resource(ours).merge(said).merge(Resource({SERVICE_NAME: SERVICE} if unnamed else {}))
