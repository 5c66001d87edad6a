"""Telemetry: creates and exports the spans of one broker."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp

from leveret.core.broker import Broker
from leveret.core.client.sampling import Sampling
from leveret.telemetry.exporting import Export
from leveret.telemetry.messages import MessageTracer
from leveret.telemetry.requests import RequestTracer
from leveret.telemetry.spans import Spans
from leveret.telemetry.variables import make_sampler


class Telemetry:
    """The telemetry of one broker. observer: observes messages, and selects those to trace.

    endpoint: a URL; empty to use the environment variables. share: fraction of the traces that begin here to record;
    None to use the variables. per_second: maximum spans per second, each for publishes, deliveries and requests.
    Raises: as Export.
    """

    def __init__(
        self, broker: Broker, endpoint: str, share: float | None, per_second: int, variables: Mapping[str, str]
    ) -> None:
        self._clock = broker.clock
        self._per_second = per_second
        self._sampler = make_sampler(share, variables)
        self._export = Export(endpoint)
        self._spans = Spans(self._export.processor, broker.node)
        tracer = MessageTracer(self._spans, self._clock)
        self.observer = Sampling(tracer, self._sampler, self._clock, per_second)

    def around(self, app: ASGIApp) -> ASGIApp:
        """An application with a span for each request."""
        return RequestTracer(app, self._spans, self._sampler, self._clock, self._per_second)

    def close(self) -> None:
        """Send the remaining spans, and stop."""
        self.observer.close()
        self._export.close()
