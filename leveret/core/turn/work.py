"""Work: what is done at once, and what follows in pieces, is told apart by what it costs.

Costs are counted in units of about a microsecond, which is what it takes a compiled broker to throw away a small
message. They stand here, each of them: messages count, and so do the bytes that are copied or looked through for them.
The core has no clock that goes on during a call, so it counts; the driver, who has one, decides how many pieces a turn
of the event loop has.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

PIECE: Final = 500  # units that are done at once
TURN: Final = 1000  # units in a turn of the event loop, or of a job, for what nobody has asked for
LETTER: Final = 8  # to send a dead letter, or to route any other message anew
HANDING_OUT: Final = 2  # to put a message into a queue
TIMER: Final = 5  # to do what is due
ENDING: Final = 25  # to delete a queue
METHOD: Final = 10  # that a method of a client stands for


class Share:
    """What may still be done at once in this turn of the event loop. left: units, below 0 when it was too much."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left: i64 = TURN

    def begin(self) -> None:
        """Another turn, or another piece of a job."""
        self.left = TURN
