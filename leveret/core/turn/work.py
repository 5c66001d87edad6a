"""Work: what is done at once, and what follows in pieces, is told apart by what it costs.

Costs are counted in units of about a microsecond, which is what it takes a compiled broker to throw away a small
message. They stand here, each of them: messages count, and so do the bytes that are copied or looked through for them.
The core has no clock that goes on during a call, so it counts; the driver, who has one, decides how many pieces a turn
of the event loop has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from leveret.wire.content import body_start

if TYPE_CHECKING:
    from leveret.core.message.message import Message
    from leveret.core.queue.queue import Queue

PIECE: Final = 500  # units that are done at once
TURN: Final = 1000  # units in a turn of the event loop, or of a chore, for what nobody has asked for
LETTER: Final = 8  # to send a dead letter, or to route any other message anew
HANDING_OUT: Final = 2  # to put a message into a queue
TIMER: Final = 5  # to do what is due
ENDING: Final = 25  # to delete a queue
METHOD: Final = 10  # that a method of a client stands for
FREED: Final = 64 << 10  # bytes that are given back in a unit
COPIED: Final = 4 << 10  # bytes that are copied in a unit
WALKED: Final = 256  # bytes of headers, which may be many small ones, that are looked through in a unit


class Share:
    """What may still be done at once in this turn of the event loop. left: units, below 0 when it was too much."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left: i64 = TURN

    def begin(self) -> None:
        """Another turn, or another piece of a chore."""
        self.left = TURN


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


def giving_up(queue: Queue, message: Message) -> i64:
    """To give up a message of a queue: those that become dead letters are not made faster than they can be sent."""
    return freeing(message) if queue.settings.dead_letter_exchange is None else sending(message)
