"""Cost: what it takes to do something with a message, in the units of core/turn/work.py."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.message.message import Message
from leveret.core.turn.work import LETTER
from leveret.wire.content import body_start

FREED: Final = 64 << 10  # bytes that are given back in a unit
COPIED: Final = 4 << 10  # bytes that are copied in a unit
WALKED: Final = 256  # bytes of headers, which may be many small ones, that are looked through in a unit


def freeing(message: Message) -> i64:
    """To let go of a message."""
    return 1 + i64(len(message.content)) // FREED


def walking(message: Message) -> i64:
    """To look through the headers of a message, if it has them now."""
    return body_start(message.content) // WALKED if message.content else 0


def copying(message: Message) -> i64:
    """To make a copy of a message with other headers."""
    return 1 + i64(len(message.content)) // COPIED + walking(message)


def sending(message: Message) -> i64:
    """To send a copy of a message with other headers through an exchange."""
    return LETTER + copying(message)
