"""AckTimeout: closes a channel that does not acknowledge a delivery in time.

Outstanding deliveries of a channel are in sending order, so only the oldest is checked, as rabbit_channel.erl
evaluate_consumer_timeout does. If consumers have their own timeouts, all deliveries older than the shortest one are
checked. A consumer's timeout takes precedence over its queue's, and that over the broker's default. A delivery costs
only the note of its time. The timer fires when the oldest is due, and at least every CHECK_MS, since a policy may have
shortened the timeout; without deliveries at most every IDLE_MS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.core.client.unacked import Unacked
from leveret.core.errors.bounds import MAX_MS
from leveret.core.turn.clock import Timed, Timer
from leveret.session.base.errors import AmqpError
from leveret.session.base.lane import Lane
from leveret.wire.constants import PRECONDITION_FAILED

if TYPE_CHECKING:
    from leveret.core.queue.consumers import Consumer
    from leveret.core.queue.entry import EntryOwner

CHECK_MS: Final = 60_000
IDLE_MS: Final = 100


class AckTimeout(Timed):
    """The timeout of one channel. unacked: its outstanding deliveries; consumers: its consumers, by tag."""

    __slots__ = ("_channel", "_consumers", "_due_ms", "_least_ms", "_timer", "_unacked")

    def __init__(self, channel: Lane, unacked: Unacked, consumers: dict[str, Consumer]) -> None:
        self._channel = channel
        self._unacked = unacked
        self._consumers = consumers
        self._timer: Timer | None = None
        self._due_ms = 0  # when the timer is due, 0 when there is none
        self._least_ms = -1  # the shortest of the consumers' own timeouts

    def stop(self) -> None:
        """The channel ends: cancel the timer."""
        self._channel.connection.broker.timers.cancel(self._timer)

    def watch(self, queue: EntryOwner, consumer: Consumer | None) -> None:
        """Watch deliveries of this queue, by a consumer or by basic.get (None)."""
        if consumer is not None and consumer.timeout_ms >= 0:
            own_ms = consumer.timeout_ms
            self._least_ms = own_ms if self._least_ms < 0 else min(self._least_ms, own_ms)
        self._call_at(self._channel.connection.broker.clock.now_ms + self._allowed_ms(queue, consumer))

    def fail(self, doing: str, error: Exception) -> None:
        """Close the connection with an internal error."""
        self._channel.connection.fail(doing, error)

    def on_timer(self, token: int) -> None:
        """Check the deliveries that may be late."""
        now_ms = self._channel.connection.broker.clock.now_ms
        self._due_ms = 0
        looked_at_ms = now_ms - self._least_ms if self._least_ms >= 0 else -1  # deliveries sent before may be late
        for entry in self._unacked.sent_by(looked_at_ms):
            allowed_ms = self._allowed_ms(entry.queue, entry.consumer)
            if entry.sent_ms + allowed_ms <= now_ms:
                self._fail(allowed_ms)
                return
            self._call_at(int(entry.sent_ms) + allowed_ms)
            if self._least_ms >= 0 and entry.sent_ms > looked_at_ms:
                self._call_at(int(entry.sent_ms) + self._least_ms)
        for consumer in self._consumers.values():
            if not consumer.no_ack:
                self._call_at(now_ms + max(self._allowed_ms(consumer.queue, consumer), IDLE_MS))

    def _fail(self, allowed_ms: int) -> None:
        number = self._channel.number
        text = (
            f"delivery acknowledgement on channel {number} timed out. Timeout value used: {allowed_ms} "
            "ms. This timeout value can be configured, see consumers doc guide to learn more"
        )
        self._channel.connection.fail_channel(number, AmqpError(PRECONDITION_FAILED, text))

    def _call_at(self, due_ms: int) -> None:
        broker = self._channel.connection.broker
        due_ms = min(due_ms, broker.clock.now_ms + CHECK_MS)
        if not self._due_ms or due_ms < self._due_ms:
            self._due_ms = due_ms
            broker.timers.cancel(self._timer)
            self._timer = broker.timers.call_at(due_ms, self)

    def _allowed_ms(self, queue: EntryOwner, consumer: Consumer | None) -> int:
        """The timeout of a delivery in milliseconds."""
        own_ms = -1 if consumer is None else consumer.timeout_ms
        if own_ms < 0:
            own_ms = queue.consumer_timeout_ms()
        return min(own_ms if own_ms >= 0 else self._channel.connection.broker.consumer_timeout_ms or MAX_MS, MAX_MS)
