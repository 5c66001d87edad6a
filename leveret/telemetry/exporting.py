"""Exporting: the thread that sends spans to a collector, and its messages in the log.

The thread is the SDK's BatchSpanProcessor. Its queue is bounded: when it is full, the oldest spans are dropped, and the
event loop never waits. Encoding spans keeps the thread busy, so threads switch more often than Python's default, to let
the event loop run. The SDK reads the endpoint, headers, certificates and timeouts from OpenTelemetry's standard
environment variables.
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

TURN_S: Final = 0.0005  # interval in seconds at which threads switch
LAST: Final = "last spans"  # the name of the thread that sends the last spans
LAST_S: Final = 1.0  # seconds to send the last spans when the broker stops
QUIET_S: Final = 60.0  # minimum seconds between two similar log messages of the SDK
PATH: Final = "/v1/traces"
OFF: Final = logging.CRITICAL + 1

log = logging.getLogger("leveret.telemetry")


class Overheard(logging.Handler):
    """Copies messages from the SDK's loggers to the broker's log: one from each logger, until listen().

    A logger that has logged a message is turned off: otherwise it would log one for each dropped span, which takes
    longer than the span itself.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._turned_off: list[logging.Logger] = []
        self._told_s = 0.0  # time of the last message

    def emit(self, record: logging.LogRecord) -> None:
        """Log a message, and turn its logger off."""
        logger = logging.getLogger(record.name)
        logger.setLevel(OFF)
        self._turned_off.append(logger)
        self._told_s = monotonic()
        reason = record.exc_info[1] if record.exc_info else None
        said = record.getMessage().rstrip(".") + (f": {reason}" if reason is not None else "")
        log.warning("OpenTelemetry: %s; further messages of this kind may not be logged", said)

    def listen(self, immediately: bool) -> None:
        """Turn the loggers on again; unless immediately, only if no message was logged for a while."""
        if immediately or monotonic() - self._told_s > QUIET_S:
            while self._turned_off:
                self._turned_off.pop().setLevel(logging.NOTSET)

    def mute(self) -> None:
        """Log no more messages."""
        self.setLevel(OFF)


class Telling(SpanExporter):
    """Wraps an exporter and logs when it recovers. has_failed: whether the last batch could not be sent."""

    def __init__(self, inner: SpanExporter, overheard: Overheard) -> None:
        self.has_failed = False
        self._inner = inner
        self._overheard = overheard

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch. Runs in the thread."""
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
                log.warning("sending spans to the collector works again")
        return result

    def shutdown(self) -> None:
        """Stop sending; drop batches that wait for a retry."""
        self._inner.shutdown()


class Export:
    """Exports the spans of one broker. processor: accepts them.

    endpoint: a URL, to which PATH is added if it does not end with it; empty to use the environment variables.
    Raises: any kind of Exception if the environment variables are not valid.
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
        """Send the remaining spans, for at most LAST_S; drop them if the collector is unreachable."""
        ending = threading.Thread(target=self.processor.shutdown, name=LAST, daemon=True)
        ending.start()
        if not self._exporter.has_failed:
            ending.join(LAST_S)
        self._overheard.mute()
        if ending.is_alive():
            self._exporter.shutdown()
        sys.setswitchinterval(self._turn_s)


def _full(endpoint: str) -> str:
    """The URL for traces at a general endpoint."""
    endpoint = endpoint.rstrip("/")
    return endpoint if endpoint.endswith(PATH) else endpoint + PATH
