"""basic.consume and what follows: deliveries, acknowledgements, prefetch, basic.get.

core/client/receiver.py decides who may consume, and what a delivery is.
"""

from __future__ import annotations

from typing import Final, cast

from mypy_extensions import i64

from leveret.core.client.receiver import Receiver
from leveret.core.client.settling import ACK, DISCARD, REQUEUE, RETURN, settle, settling
from leveret.core.client.transaction import Transaction
from leveret.core.errors.refusals import Refusal, lost_queue
from leveret.core.message.log import NotHereYet
from leveret.core.policy.matching import Patience
from leveret.core.queue.consumers import Consumer, SharedPrefetch
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.queue import Queue
from leveret.core.queue.replies import REPLY_TO
from leveret.core.turn.clock import Timed, Timer
from leveret.core.turn.work import METHOD, PIECE
from leveret.session.base.carrier import Wait
from leveret.session.base.errors import AmqpError
from leveret.session.base.lane import OPEN, Lane
from leveret.session.consume.ack_timeout import AckTimeout
from leveret.session.consume.bulk_settle import BulkSettle
from leveret.wire.constants import NOT_IMPLEMENTED
from leveret.wire.methods import (
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicQos,
    BasicQosOk,
    BasicReject,
)
from leveret.wire.writer import DeliveryHead

PATIENCE_MS: Final = 5_000  # for the log to read the head of a queue
MOMENT_MS: Final = 5  # time without deliveries after basic.qos-ok


class Consuming(Receiver):
    """The consuming half of a channel.

    transaction: None outside of tx mode.
    """

    __slots__ = (
        "_bulk",
        "_global_prefetch",
        "_held_cancels",
        "_timeout",
        "channel",
        "connection",
        "transaction",
    )

    def __init__(self, channel: Lane) -> None:
        super().__init__(channel.connection, channel.counters)
        self.channel = channel
        self.connection = channel.connection
        self.transaction: Transaction | None = None
        self._timeout = AckTimeout(channel, self.unacked, self.consumers)
        self._global_prefetch = GlobalPrefetch(channel, self.shared)
        self._bulk: BulkSettle | None = None  # created on demand
        self._held_cancels: list[str] | None = None  # tags of consumers to report after a reply

    # -- called by the core

    def make_head(self, tag: str) -> DeliveryHead:
        """The constant head of every basic.deliver to a consumer."""
        return DeliveryHead(self.number, tag)

    def deliver(self, consumer: Consumer, entry: QueueEntry) -> None:
        """Write a basic.deliver."""
        tag = self.hold(consumer, entry)
        message = entry.message
        connection = self.connection
        head = cast(DeliveryHead, consumer.head)
        connection.writer.delivery(head, tag, entry.redelivered, message.address.encoded, message.content)
        if connection.vhost.is_watched:
            self.show(entry, consumer.no_ack)
        connection.wake()

    def answer_get(self, tag: i64, entry: QueueEntry, no_ack: bool) -> None:
        """Write a basic.get-ok."""
        address = entry.message.address
        left = entry.queue.waiting()
        if not no_ack:
            self._timeout.watch(entry.queue, None)
        self.channel.send(BasicGetOk(int(tag), entry.redelivered, address.exchange, address.routing_key, left))
        self.connection.writer.content(self.channel.number, entry.message.content)
        self.connection.check_output()  # at once: many basic.get fit into one read

    def can_take(self) -> bool:
        """Whether the connection has room for more."""
        return self.connection.can_take()

    def cancelled(self, consumer: Consumer) -> None:
        """The queue is gone: notify the client, if it supports that. Source: 0-9-1 extension consumer_cancel_notify."""
        self.forget(consumer)
        if self._held_cancels is not None:
            self._held_cancels.append(consumer.tag)
        elif "consumer_cancel_notify" in self.connection.capabilities and self.channel.state == OPEN:
            self.channel.send(BasicCancel(consumer.tag, True))

    def hold_cancels(self) -> None:
        """Before the client deletes a queue: hold notifications of cancelled consumers until after the reply."""
        self._held_cancels = []

    def send_cancels(self) -> None:
        """Notify the client of the held cancelled consumers."""
        tags, self._held_cancels = self._held_cancels or [], None
        if "consumer_cancel_notify" in self.connection.capabilities:
            for tag in tags:
                self.channel.send(BasicCancel(tag, True))

    # -- methods

    def qos(self, method: BasicQos) -> None:
        """Set the prefetch: of the shared window, or of future consumers."""
        if method.prefetch_size:
            raise AmqpError(NOT_IMPLEMENTED, f"prefetch_size!=0 ({method.prefetch_size})")
        if method.global_:
            limit = method.prefetch_count
            if self.consumers and self.shared.limit and (limit == 0 or limit > self.shared.limit):
                self._global_prefetch.begin(limit)
            else:
                self._global_prefetch.stop()
                self.shared.resize(limit)
        else:
            self.prefetch = method.prefetch_count
        self.channel.send(BasicQosOk())

    def basic_consume(self, method: BasicConsume) -> None:
        """Start a consumer. Raises: AmqpError 404, 530, 403, 405, 406."""
        name = self.channel.queue_name(method.queue)
        if method.queue == REPLY_TO:
            consumer = self.consume_replies(method.consumer_tag, method.no_ack, method.arguments)
        else:
            consumer = self.consume(name, method.consumer_tag, method.no_ack, method.exclusive, method.arguments)
        if not method.nowait:
            self.channel.send(BasicConsumeOk(consumer.tag))
        if not consumer.no_ack:
            self._timeout.watch(consumer.queue, consumer)
        self.start(consumer)

    def basic_cancel(self, method: BasicCancel) -> None:
        """End a consumer."""
        self.cancel(method.consumer_tag)
        if not method.nowait:
            self.channel.send(BasicCancelOk(method.consumer_tag))

    def cancel_refused(self, patience: Patience) -> None:
        """Cancel the consumers that have lost the permission to read their queues, and notify the client."""
        for consumer in self.refused(patience):
            self.end(consumer)
            self.cancelled(consumer)

    def basic_get(self, method: BasicGet) -> None:
        """Fetch the head of a queue. Raises: AmqpError 403, 404, 405."""
        queue = self.queue_to_get(self.channel.queue_name(method.queue))
        try:
            if queue.clear_head():
                self.answer(queue, method.no_ack)
                return
        except NotHereYet:
            pass
        Getting(self, queue, method.no_ack).start(self.connection)

    def answer(self, queue: Queue, no_ack: bool) -> None:
        """Send the head of a queue, which has not expired, or basic.get-empty."""
        if not self.take(queue, no_ack):
            self.channel.send(BasicGetEmpty())

    def ack(self, tag: i64, multiple: bool) -> None:
        """Acknowledge deliveries, including those pumped only now. Raises: AmqpError 406 for an unknown tag."""
        if not multiple and self.transaction is None:
            try:
                entry = self.unacked.take(tag)
            except Refusal:
                self.connection.broker.flow()
                entry = self.unacked.take(tag)
            settle(entry, ACK, self.counters)
        else:
            self.connection.broker.flow()
            self._settle(tag, multiple, ACK)

    def nack(self, method: BasicNack) -> None:
        """Reject deliveries. Raises: AmqpError 406."""
        self._settle(_narrow(method.delivery_tag), method.multiple, REQUEUE if method.requeue else DISCARD)

    def reject(self, method: BasicReject) -> None:
        """Reject one delivery; unlike nack, this counts for the delivery limit. Raises: AmqpError 406."""
        self._settle(_narrow(method.delivery_tag), False, RETURN if method.requeue else DISCARD)

    def recover(self, requeue: bool, answer: bool) -> None:
        """Requeue everything outstanding. Raises: AmqpError 540 without requeue."""
        if not requeue:
            raise AmqpError(NOT_IMPLEMENTED, "requeue=false")
        self._bulk_settle().begin(self.last_tag, REQUEUE, answer)

    def shut(self) -> None:
        """The channel ends: stop consumers, and return their deliveries to the queues."""
        self._timeout.stop()
        self._global_prefetch.stop()
        consumers = list(self.consumers.values())
        self.consumers.clear()
        for consumer in consumers:
            consumer.active = False  # must not receive the returned messages
        if len(self.unacked):
            self._bulk_settle().begin(self.last_tag, RETURN)
        if self._bulk is not None:
            self._bulk.leave()
        for consumer in consumers:
            self.end(consumer)

    # -- inside

    def _settle(self, tag: i64, multiple: bool, how: int) -> None:
        transaction = self.transaction
        if multiple and transaction is None and (how != ACK or len(self.unacked) > PIECE):
            self.unacked.check(tag)
            self._bulk_settle().begin(tag or self.last_tag, how)
            return
        taken = self.unacked.take_up_to(tag) if multiple else [(tag, self.unacked.take(tag))]
        if transaction is not None:
            transaction.settle(taken, how)
            return
        for _, entry in taken:
            if how != ACK:
                self.connection.count_method(settling(entry, how) // METHOD)
            settle(entry, how, self.counters)

    def _bulk_settle(self) -> BulkSettle:
        if self._bulk is None:
            self._bulk = BulkSettle(self.channel, self.unacked)
        return self._bulk


class Getting(Wait):
    """A basic.get from a queue whose head is not in memory yet, or begins with too many expired messages for one turn.

    Drops these in pieces, then takes the head. If the log does not deliver the head within PATIENCE_MS, the client gets
    the error for a queue whose node is down.
    """

    def __init__(self, consuming: Consuming, queue: Queue, no_ack: bool) -> None:
        self._consuming = consuming
        self._channel = consuming.channel
        self._connection = consuming.connection
        self._queue = queue
        self._no_ack = no_ack
        self._is_over = False
        self._timer: Timer | None = None  # since the first request to the log

    def work(self) -> bool:
        """Drop some expired messages. Returns: whether the client has its reply, or the channel is closed."""
        if self._is_over or self._channel.state != OPEN:
            self.finish()
            return True
        try:
            self._queue.check_fault()
            if not self._queue.deleted and not self._queue.clear_head():
                return False
            self._consuming.answer(self._queue, self._no_ack)
        except NotHereYet:
            self.hold(self._connection)
            self._queue.wait_for_log(self)
            if self._timer is None:
                broker = self._connection.broker
                self._timer = broker.timers.call_at(broker.clock.now_ms + PATIENCE_MS, TimeLimit(self))
            return True
        except Refusal as refusal:
            self._connection.fail_channel(self._channel.number, refusal)
        self.finish()
        return True

    def refuse(self) -> None:
        """The log took too long: close the channel."""
        if not self._is_over and self._channel.state == OPEN:
            queue = self._queue
            why = f"its log has not returned the head of the queue for {PATIENCE_MS} ms"
            self._connection.fail_channel(self._channel.number, lost_queue(queue.name, queue.vhost.name, "", why))
        self.finish()

    def finish(self) -> None:
        """End the request: take nothing from now on."""
        self._is_over = True
        self._connection.broker.timers.cancel(self._timer)
        self._timer = None
        self._queue.stop_waiting(self)
        self.end(self._connection)

    def fail(self, doing: str, error: Exception) -> None:
        """Close the connection with an internal error."""
        self._connection.fail(doing, error)

    def give_up(self) -> None:
        """End the request, and let the connection continue."""
        self.finish()


class TimeLimit(Timed):
    """Ends a basic.get that waits for the log."""

    def __init__(self, getting: Getting) -> None:
        self._getting = getting

    def on_timer(self, token: int) -> None:
        """End the request."""
        self._getting.refuse()

    def fail(self, doing: str, error: Exception) -> None:
        """Close the connection with an internal error."""
        self._getting.fail(doing, error)


class GlobalPrefetch(Timed):
    """Delays a wider shared window (basic.qos with global) until MOMENT_MS after basic.qos-ok.

    RabbitMQ up to 3.13 answers basic.qos before its queues learn of the wider window, so the additional deliveries come
    a moment after the reply. Celery relies on that. It widens the window by one for each task with a later ETA. If a
    delivery directly follows basic.qos-ok, Celery does not widen the window again before it sleeps, often for seconds,
    while all other tasks stay outside the window. A narrower window takes effect at once.
    """

    __slots__ = ("_channel", "_limit", "_shared", "_timer")

    def __init__(self, channel: Lane, shared: SharedPrefetch) -> None:
        self._channel = channel
        self._shared = shared
        self._limit = 0
        self._timer: Timer | None = None

    def stop(self) -> None:
        """Cancel: the channel ends, or the window is set again."""
        self._channel.connection.broker.timers.cancel(self._timer)

    def begin(self, limit: int) -> None:
        """Set the window after MOMENT_MS."""
        self.stop()
        self._limit = limit
        broker = self._channel.connection.broker
        self._timer = broker.timers.call_at(broker.clock.now_ms + MOMENT_MS, self)

    def fail(self, doing: str, error: Exception) -> None:
        """Close the connection with an internal error."""
        self._channel.connection.fail(doing, error)

    def on_timer(self, token: int) -> None:
        """Set the window."""
        self._shared.resize(self._limit)


def _narrow(tag: int) -> i64:
    """A delivery tag as a signed 64-bit number: a negative one is never outstanding."""
    return i64(tag if tag < 1 << 63 else tag - (1 << 64))
