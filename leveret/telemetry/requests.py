"""Requests: a span for each traced request of the HTTP API, from its headers until the whole answer is sent."""

from __future__ import annotations

import re
from typing import Final

from opentelemetry.trace import SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leveret.core.client.sampling import Allowance, Sampler
from leveret.core.message import traceparent
from leveret.core.turn.clock import Clock
from leveret.telemetry.spans import LONGEST, Spans, Value, context_of, text

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY")
OTHER: Final = "_OTHER"  # name of unknown methods in the conventions
CONVERTOR: Final = re.compile(r":\w+\}")
FAILURES: Final = 500  # statuses from here on are errors of the broker


class RequestTracer:
    """Wraps an application, with a span for each request."""

    def __init__(self, app: ASGIApp, spans: Spans, sampler: Sampler, clock: Clock, per_second: int) -> None:
        self._app = app
        self._spans = spans
        self._sampler = sampler
        self._clock = clock
        self._allowance = Allowance(per_second)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application, with a span if it is sampled."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        parent = traceparent.parse(headers.get(b"traceparent", "")[: traceparent.MOST])
        if not self._sampler.records(parent) or not self._allowance.take(self._clock.now_ms):
            await self._app(scope, receive, send)
            return
        begun = self._spans.begin(context_of(parent, headers.get(b"tracestate", "")[: 2 * LONGEST]))
        status = 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        error = ""
        try:
            await self._app(scope, receive, note)
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            attributes = _attributes(scope, headers)
            if status:
                attributes["http.response.status_code"] = status
            if status >= FAILURES:
                error = str(status)
            method, route = attributes["http.request.method"], attributes.get("http.route", "")
            name = f"{'HTTP' if method == OTHER else method} {route}".rstrip()
            self._spans.end(begun, name, SpanKind.SERVER, attributes, error=error)


def _headers(scope: Scope) -> dict[bytes, str]:
    """The headers by name; the first of repeated headers."""
    return {name: value.decode("latin-1") for name, value in reversed(scope["headers"])}


def _attributes(scope: Scope, headers: dict[bytes, str]) -> dict[str, Value]:
    """The attributes of a request after it was answered, when the router has set the route in the scope."""
    method = scope["method"]
    found: dict[str, Value] = {
        "http.request.method": method if method in METHODS else OTHER,
        "url.path": text(scope["path"]),
        "url.scheme": scope["scheme"],
        "network.protocol.version": scope["http_version"],
    }
    if method not in METHODS:
        found["http.request.method_original"] = text(method)
    route = getattr(scope.get("route"), "path", "")
    if route:
        found["http.route"] = CONVERTOR.sub("}", route)
    if scope.get("client"):
        found["client.address"] = scope["client"][0]
    if scope.get("server"):
        found["server.address"], found["server.port"] = scope["server"][0], scope["server"][1] or 0
    if b"user-agent" in headers:
        found["user_agent.original"] = text(headers[b"user-agent"])
    return found
