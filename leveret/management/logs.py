"""Verbs on the log: what is written of each area, changed while the broker runs.

An area is a logger: connection is leveret.connection. One without a level of its own follows the level of all.
"""

from __future__ import annotations

import logging
from typing import Final

from leveret.core.broker import Broker
from leveret.core.errors.administration import InvalidError
from leveret.management.errors import unknown

LEVELS: Final = ("debug", "info", "warning", "error")
ALL: Final = "all"
FOLLOW: Final = "default"
AREAS: Final = {
    "alarms": "what lets publishers wait",
    "api": "the HTTP API",
    "broker": "queues and exchanges, and what goes wrong in them",
    "connection": "clients: logins, refusals, errors",
    "control": "the control socket",
    "lag": "an event loop that is busy for long",
    "node": "start, end, ports, TLS",
    "recording": "recordings",
    "store": "the data directory",
    "testing": "a broker in a test process",
}
"""Each with what it is about."""


def logger_of(area: str) -> logging.Logger:
    """The logger of an area; ALL is that of everything."""
    return logging.getLogger() if area == ALL else logging.getLogger(f"leveret.{area}")


def show_log_levels(broker: Broker) -> list[dict[str, object]]:
    """The least that is logged, of all and of each area. own: whether an area has a level of its own."""
    found: list[dict[str, object]] = []
    for area in (ALL, *AREAS):
        logger = logger_of(area)
        level = logging.getLevelName(logger.getEffectiveLevel()).lower()
        about = AREAS.get(area, "everything without a level of its own")
        found.append({"area": area, "level": level, "own": logger.level != logging.NOTSET, "about": about})
    return found


def set_log_level(broker: Broker, area: str, level: str) -> None:
    """Log an area from a level on, until the broker ends. area: all for everything. level: default to follow all."""
    if area != ALL and area not in AREAS:
        raise unknown("area", area, (ALL, *AREAS))
    if level == FOLLOW and area != ALL:
        logger_of(area).setLevel(logging.NOTSET)
    elif level in LEVELS:
        logger_of(area).setLevel(level.upper())
    else:
        raise InvalidError(f"'{level[:40]}' is no level: it is {', '.join(LEVELS[:-1])} or {LEVELS[-1]}")
