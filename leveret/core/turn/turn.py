"""Turn: what every part of a broker needs while something is done: the time, and what is done later or in pieces."""

from __future__ import annotations

from abc import abstractmethod

from mypy_extensions import trait

from leveret.core.turn.background import Background
from leveret.core.turn.clock import Clock, Timers
from leveret.core.turn.faults import Faults
from leveret.core.turn.work import Share


@trait
class Sink:
    """A connection with something to send or to tell its socket."""

    @abstractmethod
    def on_definitions_durable(self, revision: int) -> None:
        """Replies that waited for this revision may go."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """Something that was done for it has failed: it is closed, as soon as what is going on now is through."""


@trait
class Sharer:
    """What is shared out in rounds."""

    @abstractmethod
    def share_more(self) -> bool:
        """Let the next ones have what is left. Returns: whether there were any."""


class Turn:
    """Of one broker.

    share: what may still be done at once; the driver begins it anew in each turn of the event loop.
    background: what is done in pieces. faults: what has failed; see faults.py.
    sharing: prefetch windows with room that some consumers have been woken for; others may be next.
    awake: who has bytes to send; the driver takes the list and flushes each, once a turn.
    explanations: what the operator should read in the log; the driver takes it.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.timers = Timers()
        self.share = Share()
        self.background = Background(self.share)
        self.faults = Faults()
        self.sharing: list[Sharer] = []
        self.awake: list[Sink] = []
        self.explanations: list[str] = []

    def explain(self, text: str) -> None:
        """Let the operator read this in the log."""
        self.explanations.append(text)
