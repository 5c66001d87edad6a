"""The areas of the log. Each is a logger: the area connection is the logger leveret.connection."""

from __future__ import annotations

from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error")
ALL: Final = "all"
ACTS: Final = "acts"
AREAS: Final = {
    ACTS: "who changed or discarded what with the tools for queues",
    "alarms": "alarms, which block publishers",
    "api": "the HTTP API",
    "broker": "queues and exchanges, and failures in them",
    "cluster": "the database of a cluster, and the nodes that use it",
    "connection": "clients: logins, refusals, errors",
    "control": "the control socket",
    "lag": "turns of the event loop that take long",
    "node": "start, end, ports, TLS",
    "recording": "recordings",
    "store": "the data directory",
    "telemetry": "spans for OpenTelemetry",
    "testing": "a broker in a test process",
}
"""Each area with its subject."""


def logger_name(area: str) -> str:
    """The name of an area's logger; empty for all areas (the root logger)."""
    return "" if area == ALL else f"leveret.{area}"
