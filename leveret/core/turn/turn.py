"""Turn: the context that all parts of a broker share: the clock, timers, and deferred and background work."""

from __future__ import annotations

from abc import abstractmethod

from mypy_extensions import trait

from leveret.core.turn.background import Background
from leveret.core.turn.clock import Clock, Timers
from leveret.core.turn.faults import Faults
from leveret.core.turn.work import Share


@trait
class Sink:
    """A connection with something to send, or with events for its socket."""

    @abstractmethod
    def on_definitions_durable(self, revision: int) -> None:
        """Replies that waited for this revision can be sent."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """An action for the connection has failed: close it after the current call into the core."""


@trait
class Sharer:
    """A prefetch window that is shared out in rounds."""

    @abstractmethod
    def share_more(self) -> bool:
        """Give the rest to the next ones. Returns: whether there were any."""


class Turn:
    """The context of one broker.

    share: the work that may still be done at once; the driver resets it in each turn of the event loop.
    background: jobs that are done in pieces. faults: errors to handle; see faults.py.
    sharing: prefetch windows with free room, for which some consumers were woken; others may be next.
    awake: connections with bytes to send; the driver takes the list and flushes each, once a turn.
    explanations: log lines for the operator; the driver takes them.
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
        """Write a line to the log, for the operator."""
        self.explanations.append(text)
