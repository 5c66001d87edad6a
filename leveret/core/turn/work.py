"""Work: the costs that decide what is done at once and what is done in pieces.

A unit is about a microsecond: the time that a compiled broker needs to drop a small message. All costs are defined
here: messages count, and so do the bytes that are copied or scanned for them. The core cannot measure time during a
call, so it counts units; the driver, which has a clock, decides how many pieces fit into a turn of the event loop.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

PIECE: Final = 500  # units that are done at once
TURN: Final = 1000  # units in a turn of the event loop, or of a job, for work that no client has requested
LETTER: Final = 8  # to publish a dead letter, or to route any other message again
HANDING_OUT: Final = 2  # to put a message into a queue
TIMER: Final = 5  # to run a timer
ENDING: Final = 25  # to delete a queue
METHOD: Final = 10  # to process a method of a client


class Share:
    """The work that may still be done at once in this turn. left: units; below 0 after too much work."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left: i64 = TURN

    def begin(self) -> None:
        """Start another turn, or another piece of a job."""
        self.left = TURN
