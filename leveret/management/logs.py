"""Verbs on the log: the level of each area, which can change while the broker runs.

An area without its own level follows the level of all.
"""

from __future__ import annotations

import logging
from typing import Final

from leveret.core.broker import Broker
from leveret.core.errors.administration import InvalidError
from leveret.core.errors.areas import ALL, AREAS, LEVELS, logger_name
from leveret.management.errors import unknown

FOLLOW: Final = "default"


def show_log_levels(broker: Broker) -> list[dict[str, object]]:
    """The log level of all and of each area. own: whether the area has its own level."""
    found: list[dict[str, object]] = []
    for area in (ALL, *AREAS):
        logger = logging.getLogger(logger_name(area))
        level = logging.getLevelName(logger.getEffectiveLevel()).lower()
        about = AREAS.get(area, "everything without its own level")
        found.append({"area": area, "level": level, "own": logger.level != logging.NOTSET, "about": about})
    return found


def set_log_level(broker: Broker, area: str, level: str) -> None:
    """Set the log level of an area until the broker stops. area: all for everything. level: default to follow all."""
    if area != ALL and area not in AREAS:
        raise unknown("area", area, (ALL, *AREAS))
    if level == FOLLOW and area != ALL:
        logging.getLogger(logger_name(area)).setLevel(logging.NOTSET)
    elif level in LEVELS:
        logging.getLogger(logger_name(area)).setLevel(level.upper())
    else:
        raise InvalidError(f"'{level[:40]}' is not a level; choose {', '.join(LEVELS[:-1])} or {LEVELS[-1]}")
