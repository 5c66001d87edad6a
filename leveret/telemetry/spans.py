"""Spans: creates finished spans and passes them to the SDK's thread, which sends them.

A span is created as a ReadableSpan at its end, from data noted at its beginning. The SDK's own tracer costs seven times
as much, and its sampling and context are not needed here.
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
LONGEST: Final = 255  # maximum characters of a value from a client
FINE: Final = Status(StatusCode.UNSET)
SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
REMOTE: Final = True


class Spans:
    """The spans of one broker. processor: receives them."""

    def __init__(self, processor: SpanProcessor, node: str) -> None:
        self._processor = processor
        self._resource = make_resource(node)
        self._scope = InstrumentationScope(SERVICE, __version__)

    def begin(self, parent: SpanContext | None) -> Begun:
        """Note the beginning of a span. parent: its parent; None for a new trace."""
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
        """End a span. error: type of the error, empty for none."""
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
    """A span that has begun. context: its trace and id. parent: context of its parent. at_ns: when it began."""

    __slots__ = ("at_ns", "context", "parent")

    def __init__(self, parent: SpanContext | None) -> None:
        self.at_ns = time_ns()
        self.parent = parent
        trace_id = random.getrandbits(128) or 1 if parent is None else parent.trace_id
        state = None if parent is None else parent.trace_state
        self.context = SpanContext(trace_id, random.getrandbits(64) or 1, False, SAMPLED, state)


def context_of(parent: TraceParent | None, state: str = "") -> SpanContext | None:
    """The trace context of a message or a request. state: its tracestate, empty for none."""
    if parent is None:
        return None
    found = TraceState.from_header([state]) if state else None
    return SpanContext(parent.trace_id, parent.span_id, REMOTE, TraceFlags(int(parent.is_sampled)), found)


def text(value: str) -> str:
    """A value from a client, shortened and valid UTF-8: otherwise the whole batch would be lost."""
    if len(value) > LONGEST:
        value = value[:LONGEST]
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def make_resource(node: str) -> Resource:
    """The resource of the spans: from OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, completed with our defaults."""
    said = Resource.create()
    name = str(said.attributes.get(SERVICE_NAME, ""))
    ours = {"service.version": __version__, "leveret.node": text(node)}
    unnamed = name.startswith("unknown_service")
    return Resource(ours).merge(said).merge(Resource({SERVICE_NAME: SERVICE} if unnamed else {}))
