"""The areas of the log, which administrators know by name; an area is a logger: connection is leveret.connection."""

from __future__ import annotations

from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error")
ALL: Final = "all"
ACTS: Final = "acts"
AREAS: Final = {
    ACTS: "who has changed or thrown away what with the tools for queues",
    "alarms": "what lets publishers wait",
    "api": "the HTTP API",
    "broker": "queues and exchanges, and what goes wrong in them",
    "connection": "clients: logins, refusals, errors",
    "control": "the control socket",
    "lag": "an event loop that is busy for long",
    "node": "start, end, ports, TLS",
    "recording": "recordings",
    "store": "the data directory",
    "telemetry": "spans for OpenTelemetry",
    "testing": "a broker in a test process",
}
"""Each with what it is about."""


def logger_name(area: str) -> str:
    """What the logger of an area is called; that of everything has no name."""
    return "" if area == ALL else f"leveret.{area}"
