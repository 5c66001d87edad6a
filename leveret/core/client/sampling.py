"""Sampling: selects the messages that a tracer sees; the others cost almost nothing.

A Sampler and a limit per second decide at the publish whether a message is traced. A traced message is a Followed, so
its deliveries are traced too. Messages from other sources (the log, dead letters) are recognized only by their header
traceparent.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from mypy_extensions import i64, mypyc_attr

from leveret.core.message import traceparent
from leveret.core.message.confirm import Confirm
from leveret.core.message.destination import Destination
from leveret.core.message.message import Followed, Message
from leveret.core.message.traceparent import TraceParent
from leveret.core.queue.client import FOLLOW, PASS, Client, Follower, Observer
from leveret.core.queue.entry import QueueEntry
from leveret.core.turn.clock import Clock

OPEN: Final = -1  # the end of a delivery whose settlement is no longer awaited
MOST_OPEN: Final = 1000  # deliveries whose settlement is awaited
BURST: Final = 5  # 1/BURST of the limit per second may be traced at once
TELL_MS: Final = 60_000  # between two reports of omitted traces
RANDOM: Final = 0x80000000  # random numbers are below this
MASK: Final = 0xFFFFFFFFFFFFFFFF  # the part of a trace id that serves as a random number


class Sampler:
    """Decides which traces are recorded. share: of the traces that begin here, from 0 to 1.

    heeds_parents: traces that began elsewhere are recorded if their parent is; otherwise the share applies to them too.
    """

    def __init__(self, share: float, heeds_parents: bool, seed: int) -> None:
        self._heeds_parents = heeds_parents
        self._bound: i64 = int(share * RANDOM)
        self._trace_bound = int(share * (MASK + 1))  # too large for a signed 64-bit number
        self._last: i64 = seed % RANDOM

    def records(self, parent: TraceParent | None) -> bool:
        """Whether to record a trace. parent: where it began; None for one that begins here."""
        if parent is None:
            self._last = (self._last * 1_103_515_245 + 12_345) & (RANDOM - 1)
            return self._last < self._bound
        if self._heeds_parents:
            return parent.is_sampled
        return parent.trace_id & MASK < self._trace_bound


class Allowance:
    """A rate limit per second with a small burst."""

    def __init__(self, per_second: int) -> None:
        self._per_second: i64 = per_second
        self._most: i64 = max(1000, per_second * 1000 // BURST)
        self._left: i64 = self._most  # thousandths
        self._at_ms: i64 = 0

    def take(self, now_ms: i64) -> bool:
        """Whether one more is allowed; it is then counted."""
        self._left = min(self._most, self._left + (now_ms - self._at_ms) * self._per_second)
        self._at_ms = now_ms
        if self._left < 1000:
            return False
        self._left -= 1000
        return True


@mypyc_attr(allow_interpreted_subclasses=True)
class Tracer:
    """Records sampled messages. Called in the middle of their processing: it may only take notes."""

    @abstractmethod
    def published(
        self, client: Client, message: Message, queues: list[Destination], mandatory: bool, parent: TraceParent | None
    ) -> Follower:
        """A message is routed to these queues. parent: the trace it belongs to. Returns: the follower of the result."""

    @abstractmethod
    def delivered(
        self,
        client: Client,
        entry: QueueEntry,
        tag: int,
        no_ack: bool,
        is_get: bool,
        parent: TraceParent | None,
        follower: object,
    ) -> object:
        """A message was sent to a client. tag, is_get: see Observer.

        follower: the result of published() for it; None if only its trace is known.
        Returns: the argument of settled(), which is not called with no_ack.
        """

    @abstractmethod
    def settled(self, delivery: object, how: int) -> None:
        """A delivery is settled. how: one of those of core/client/settling.py, or OPEN."""

    @abstractmethod
    def limited(self, count: int) -> None:
        """This number of publishes and deliveries was over the limit and not traced; reported once in TELL_MS."""


class Sampling(Observer):
    """Selects for a tracer. per_second: the limit of publishes, and that of deliveries.

    left_out: the number above the limits.
    """

    def __init__(self, tracer: Tracer, sampler: Sampler, clock: Clock, per_second: int) -> None:
        self.needs_contents = False
        self.left_out: i64 = 0
        self._tracer = tracer
        self._sampler = sampler
        self._clock = clock
        self._publishes = Allowance(per_second)
        self._deliveries = Allowance(per_second)
        self._follower: Follower | None = None
        self._open: dict[QueueEntry, object] = {}  # the oldest first
        self._tell_ms: i64 = 0  # no report before this time
        self._told: i64 = 0

    def on_publish(self, client: Client, message: Message, queues: list[Destination], mandatory: bool) -> int:
        """Decide whether the message is traced."""
        parent = traceparent.of(message)
        if not self._sampler.records(parent) or not self._may(self._publishes):
            return PASS
        self._follower = self._tracer.published(client, message, queues, mandatory, parent)
        return FOLLOW

    def follower(self) -> Follower | None:
        """The follower that the tracer has returned."""
        found = self._follower
        self._follower = None
        return found

    def on_held(self, confirm: Confirm) -> None:
        """Never called: it holds no confirms."""

    def on_delivery(self, client: Client, entry: QueueEntry, tag: i64, no_ack: bool, is_get: bool) -> None:
        """Show the delivery to the tracer if its message is traced."""
        message = entry.message
        parent: TraceParent | None = None
        follower: object = None
        if isinstance(message, Followed):
            follower = message.follower
        else:
            parent = traceparent.of(message)
            if parent is None or not self._sampler.records(parent):
                return
        if not self._may(self._deliveries):
            return
        delivery = self._tracer.delivered(client, entry, int(tag), no_ack, is_get, parent, follower)
        if no_ack:
            return
        self._open[entry] = delivery
        if len(self._open) > MOST_OPEN:
            self._tracer.settled(self._open.pop(next(iter(self._open))), OPEN)

    def on_settle(self, entry: QueueEntry, how: int) -> None:
        """Notify the tracer if it has seen the delivery."""
        if self._open and entry in self._open:
            self._tracer.settled(self._open.pop(entry), how)

    def close(self) -> None:
        """Stop waiting for settlements."""
        while self._open:
            self._tracer.settled(self._open.popitem()[1], OPEN)

    def _may(self, allowance: Allowance) -> bool:
        """Whether one more may be traced."""
        now_ms: i64 = self._clock.now_ms
        if allowance.take(now_ms):
            return True
        self.left_out += 1
        if now_ms >= self._tell_ms:
            count = self.left_out - self._told
            self._told = self.left_out
            self._tell_ms = now_ms + TELL_MS
            self._tracer.limited(int(count))
        return False
