"""A collector of OpenTelemetry, as small as one can be: it gets spans over HTTP, and keeps them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as RawSpan


@dataclass(frozen=True)
class Span:
    """One span. kind: as the protocol calls it. links: the ids of the spans that it links to. error: it has failed."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    attributes: dict[str, Any]
    error: bool
    begin_ns: int
    end_ns: int
    resource: dict[str, Any]
    state: str

    @property
    def outcome(self) -> object:
        """How what it stands for has ended."""
        return self.attributes.get("leveret.outcome")


class Collector:
    """Listens on a port of its own. status: what it answers. hold: it answers nobody while this is set."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: list[dict[str, str]] = []
        self._spans: list[Span] = []
        self._news = threading.Condition()
        self._answering = threading.Event()
        self._answering.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector._take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                collector._answering.wait()
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A broker that has ended does not hear the answer."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def hold(self) -> None:
        """Answer nobody from now on."""
        self._answering.clear()

    def go_on(self) -> None:
        """Answer again."""
        self._answering.set()

    def close(self) -> None:
        """Be gone."""
        self._answering.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        assert path == "/v1/traces"
        found = [
            _span(raw, _attributes(each.resource.attributes))
            for each in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in each.scope_spans
            for raw in scope.spans
        ]
        with self._news:
            self.headers.append(headers)
            self._spans += found
            self._news.notify_all()

    def spans(self, count: int) -> list[Span]:
        """All spans so far, as they began, once there are so many."""
        with self._news:
            assert self._news.wait_for(lambda: len(self._spans) >= count, 60), self._spans
            return sorted(self._spans, key=lambda span: span.begin_ns)

    def requests(self, count: int) -> None:
        """Wait until it was asked so often."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.headers) >= count, 60)


def _span(raw: RawSpan, resource: dict[str, Any]) -> Span:
    return Span(
        raw.name,
        RawSpan.SpanKind.Name(raw.kind).removeprefix("SPAN_KIND_"),
        raw.trace_id.hex(),
        raw.span_id.hex(),
        raw.parent_span_id.hex(),
        tuple(link.span_id.hex() for link in raw.links),
        _attributes(raw.attributes),
        raw.status.code == raw.status.STATUS_CODE_ERROR,
        raw.start_time_unix_nano,
        raw.end_time_unix_nano,
        resource,
        raw.trace_state,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    pair: KeyValue
    for pair in pairs:
        found[pair.key] = getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
    return found
