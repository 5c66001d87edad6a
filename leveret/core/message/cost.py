"""Cost: the work of operations on a message, in the units of core/turn/work.py."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.message.message import Message
from leveret.core.turn.work import LETTER
from leveret.wire.content import body_start

FREED: Final = 64 << 10  # bytes freed per unit
COPIED: Final = 4 << 10  # bytes copied per unit
WALKED: Final = 256  # bytes of headers, which may be many small ones, scanned per unit


def freeing(message: Message) -> i64:
    """The cost of freeing a message."""
    return 1 + i64(len(message.content)) // FREED


def walking(message: Message) -> i64:
    """The cost of scanning the headers of a message; 0 if they are paged out."""
    return body_start(message.content) // WALKED if message.content else 0


def copying(message: Message) -> i64:
    """The cost of copying a message with other headers."""
    return 1 + i64(len(message.content)) // COPIED + walking(message)


def sending(message: Message) -> i64:
    """The cost of publishing a copy of a message with other headers."""
    return LETTER + copying(message)
