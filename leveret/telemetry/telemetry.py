"""Telemetry: all that makes spans for one broker, from its start to its end."""

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
    """Of one broker. observer: sees what passes through it, and chooses.

    endpoint: a URL; empty for what the variables say. share: of the traces that begin here; None for the same.
    per_second: how many publishes, deliveries and requests get a span, of each kind. Raises: as Export.
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
        """Send what there is."""
        self.observer.close()
        self._export.close()
