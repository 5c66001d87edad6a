"""The log of a broker's process: one line per entry, with a limited rate.

Anyone who can reach a port can cause entries and choose part of their text. So entries about connections are short, and
their rate is limited per kind. The log reports how many were left out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from datetime import UTC, datetime
from typing import Any, Final

from leveret.core.errors.areas import ACTS, ALL, logger_name
from leveret.node.printable import printable

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
OUTSIDE: Final = ("leveret.connection", "leveret.api", "asyncio")  # loggers with entries that clients cause
PERIOD_S: Final = 10.0
MOST: Final = 100  # entries of one kind in a period
MOST_DETAILS: Final = 1000  # the same for levels below warning
FILLED_IN: Final = re.compile(r"%[a-z]")
ENTRY_FIRST: Final = 400  # characters to keep of a long entry: the start says who, the end says what
ENTRY_LAST: Final = 200


class OneLine(logging.Formatter):
    """Keeps an entry on one line, whatever text clients send; only a traceback has more lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Escape unprintable characters."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """The same for each line of a traceback, which may quote text from clients."""
        return "\n".join(map(printable, super().formatException(ei).split("\n")))


class AsJson(logging.Formatter):
    """Writes an entry as a JSON object on one line: time, level, area, logger, message; error for a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, in ASCII."""
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "area": record.name.removeprefix("leveret."),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            found["error"] = self.formatException(record.exc_info)
        return json.dumps(found)


class Limit(logging.Filter):
    """Shortens entries, and limits the number of entries of one kind per period.

    Entries with the same format string are one kind. All entries without format arguments are one kind together.
    At the end of a period, the logger reports how many were left out.
    """

    def __init__(self, logger: logging.Logger, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._logger = logger
        self._loop = loop
        self._counts: dict[tuple[int, str], int] = {}  # by level and text, in this period
        self._is_telling = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write an entry. Shortens it if so."""
        if self._is_telling:
            return True
        if not self._counts and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.call_later, PERIOD_S, self._end)
        kind = record.levelno, str(record.msg) if record.args else ""
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count > _most(record.levelno):
            return False
        record.msg, record.args = shortened(record.getMessage()), None
        return True

    def _end(self) -> None:
        counts, self._counts = self._counts, {}
        self._is_telling = True
        try:
            for (level, text), count in counts.items():
                more = count - _most(level)
                if more > 0:
                    like = f" like '{FILLED_IN.sub('...', text)}'" if text else ""
                    self._logger.log(level, "%d more entries%s were left out in %d s", more, like, PERIOD_S)
        finally:
            self._is_telling = False


def _most(level: int) -> int:
    return MOST if level >= logging.WARNING else MOST_DETAILS


def shortened(text: str) -> str:
    """A text of bounded length; the middle of a long one is left out."""
    if len(text) > ENTRY_FIRST + ENTRY_LAST:  # before escaping, which is slow
        text = f"{text[:ENTRY_FIRST]} [{len(text) - ENTRY_FIRST - ENTRY_LAST} characters] {text[-ENTRY_LAST:]}"
    text = printable(text)
    if len(text) > 2 * (ENTRY_FIRST + ENTRY_LAST):
        text = f"{text[: 2 * ENTRY_FIRST]} [...] {text[-2 * ENTRY_LAST :]}"
    return text


def begin(levels: str, shape: str) -> None:
    """Write entries to standard error. levels: in the format of the setting log-level.

    shape: text or json. Administrative acts are always logged, unless levels contains one for their area.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(AsJson() if shape == "json" else OneLine(FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger(logger_name(ACTS)).setLevel(logging.INFO)
    for part in levels.split(","):
        area, _, level = part.rpartition("=")
        logging.getLogger(logger_name(area or ALL)).setLevel(level.upper())


def limit(loop: asyncio.AbstractEventLoop) -> None:
    """Limit the entries that clients can cause. loop: runs as long as the process."""
    for name in OUTSIDE:
        logger = logging.getLogger(name)
        logger.addFilter(Limit(logger, loop))
