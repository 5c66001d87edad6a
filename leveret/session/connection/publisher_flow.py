"""PublisherFlow: credit and pauses of a publisher whose queues lag behind; see core/turn/flow_control.py."""

from __future__ import annotations

from mypy_extensions import i64

from leveret.core.queue.base import BaseQueue
from leveret.core.turn.flow_control import CREDIT, LAG, MAX_PATIENCE_MS, PATIENCE_MS, PROGRESS, FlowControlled
from leveret.session.connection.life import Life


class PublisherFlow(FlowControlled):
    """Of one connection."""

    __slots__ = ("_connection", "_credit", "_delivered", "_look_again_ms", "_queue", "_since_ms")

    def __init__(self, connection: Life) -> None:
        self._connection: Life | None = connection
        self._credit: i64 = CREDIT
        self._queue: BaseQueue | None = None  # the queue that a pause waits for
        self._since_ms = 0
        self._look_again_ms = 0
        self._delivered: i64 = 0  # by the queue, at the last check

    def spend(self, count: i64) -> None:
        """Charge count messages, published in this read. Called before the queues are pumped."""
        self._credit -= count
        if self._credit > 0:
            return
        self._credit = CREDIT
        connection = self._connection
        if connection is None:
            return
        broker = connection.broker
        for queue in broker.dirty:
            if len(queue.ready) > LAG and len(queue.consumers) and not queue.is_held_back():
                self._queue = queue
                self._since_ms = broker.clock.now_ms
                self._credit = queue.flow_control.wait(self, queue.delivered, count)
                self._be_patient(queue)
                connection.set_in_flow(True)
                return

    def resume(self) -> None:
        """The queue has delivered enough: resume reading."""
        self._queue = None
        if self._connection is not None:
            self._connection.set_in_flow(False)

    def stop(self) -> None:
        """The connection ends: end the pause, to read the answer to connection.close."""
        if self._queue is not None:
            self._queue.flow_control.leave(self)
            self.resume()

    def forget(self) -> None:
        """The connection has ended: drop the reference to it."""
        self._connection = None

    def fail(self, doing: str, error: Exception) -> None:
        """Close the connection with an internal error."""
        if self._connection is not None:
            self._connection.fail(doing, error)

    def on_timer(self, token: int) -> None:
        """Resume reading, unless the queue is being emptied quickly and the pause is not too long yet."""
        queue = self._queue
        if queue is None:
            return
        now_ms = queue.broker.clock.now_ms
        if now_ms < self._look_again_ms:
            return
        is_quick = queue.delivered - self._delivered >= PROGRESS
        if is_quick and not queue.deleted and now_ms - self._since_ms < MAX_PATIENCE_MS:
            self._be_patient(queue)
        else:
            queue.flow_control.leave(self)
            self.resume()

    def _be_patient(self, queue: BaseQueue) -> None:
        broker = queue.broker
        self._delivered = queue.delivered
        self._look_again_ms = broker.clock.now_ms + PATIENCE_MS
        broker.timers.call_at(self._look_again_ms, self)
