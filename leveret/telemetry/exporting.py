"""Exporting: the thread that sends spans to a collector, and what the log says of it.

The thread is the SDK's BatchSpanProcessor: its queue has a bound, beyond which the oldest spans are lost, and whoever
fills it never waits. To make bytes of spans keeps it busy; so that the event loop has its turn in between, threads
change more often than Python lets them. Where spans go, with what headers, certificates and time limits, the standard
variables of OpenTelemetry say, which the SDK reads.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Sequence
from time import monotonic
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

TURN_S: Final = 0.0005  # for which a thread of this process goes on when another one wants to
LAST: Final = "last spans"  # the name of the thread that waits until they are sent
LAST_S: Final = 1.0  # for the last spans, at the end of the broker
QUIET_S: Final = 60.0  # between two words of the SDK about the same
PATH: Final = "/v1/traces"
OFF: Final = logging.CRITICAL + 1

log = logging.getLogger("leveret.telemetry")


class Overheard(logging.Handler):
    """Says in the broker's log what the SDK says in its own: each of its loggers once, until listen().

    A logger that has said something is turned off: for each span that finds no room, it would take longer to say what
    nobody hears than the span takes.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._turned_off: list[logging.Logger] = []
        self._told_s = 0.0  # when

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        logger = logging.getLogger(record.name)
        logger.setLevel(OFF)
        self._turned_off.append(logger)
        self._told_s = monotonic()
        reason = record.exc_info[1] if record.exc_info else None
        said = record.getMessage().rstrip(".") + (f": {reason}" if reason is not None else "")
        log.warning("OpenTelemetry: %s; there may be more of this than is told", said)

    def listen(self, at_once: bool) -> None:
        """What comes now is news; unless at_once, only when nothing was told for a while."""
        if at_once or monotonic() - self._told_s > QUIET_S:
            while self._turned_off:
                self._turned_off.pop().setLevel(logging.NOTSET)

    def mute(self) -> None:
        """Say nothing more."""
        self.setLevel(OFF)


class Telling(SpanExporter):
    """An exporter around another one. has_failed: whether the last batch could not be delivered."""

    def __init__(self, inner: SpanExporter, overheard: Overheard) -> None:
        self.has_failed = False
        self._inner = inner
        self._overheard = overheard

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch. Called in the thread."""
        had_failed = self.has_failed
        try:
            result = self._inner.export(spans)
        except Exception:
            self.has_failed = True
            raise
        self.has_failed = result is not SpanExportResult.SUCCESS
        if not self.has_failed:
            self._overheard.listen(had_failed)
            if had_failed:
                log.warning("spans arrive at the collector again")
        return result

    def shutdown(self) -> None:
        """Send nothing more; what waits to be tried again is given up."""
        self._inner.shutdown()


class Export:
    """The way of the spans of one broker. processor: takes them.

    endpoint: a URL, to which PATH is added if it does not end so; empty for what the variables say.
    Raises: Exception of any kind for what is wrong in the variables.
    """

    def __init__(self, endpoint: str) -> None:
        self._overheard = Overheard()
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(self._overheard)
        logger.propagate = False
        self._exporter = Telling(OTLPSpanExporter(endpoint=_full(endpoint) if endpoint else None), self._overheard)
        self.processor = BatchSpanProcessor(self._exporter)
        self._turn_s = sys.getswitchinterval()
        sys.setswitchinterval(TURN_S)

    def close(self) -> None:
        """Send what there is, for LAST_S at most; nothing that takes longer, and nothing where nobody takes it."""
        ending = threading.Thread(target=self.processor.shutdown, name=LAST, daemon=True)
        ending.start()
        if not self._exporter.has_failed:
            ending.join(LAST_S)
        self._overheard.mute()
        if ending.is_alive():
            self._exporter.shutdown()
        sys.setswitchinterval(self._turn_s)


def _full(endpoint: str) -> str:
    """Where traces go, at an endpoint for everything."""
    endpoint = endpoint.rstrip("/")
    return endpoint if endpoint.endswith(PATH) else endpoint + PATH
