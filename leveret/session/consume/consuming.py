"""basic.consume and what follows: deliveries, acknowledgements, prefetch, basic.get, direct reply-to.

Delivery tags count everything sent on the channel, from 1. A message is in `unacked` from its delivery until the
client settles it or the channel ends. Order of checks as rabbit_channel.erl.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.access import user as access
from leveret.core.errors import amqp as errors
from leveret.core.errors.amqp import AmqpError
from leveret.core.policy.arguments import QUORUM, check_consumer_arguments
from leveret.core.policy.matching import Patience
from leveret.core.queue.client import Held
from leveret.core.queue.consumers import Consumer, Prefetch, SharedPrefetch, Subscriber
from leveret.core.queue.entry import EntryOwner, QueueEntry
from leveret.core.queue.queue import Queue
from leveret.core.queue.replies import REPLY_TO
from leveret.core.turn.clock import Timed, Timer
from leveret.core.turn.work import METHOD, PIECE
from leveret.session.base.carrier import Wait
from leveret.session.base.lane import OPEN, Lane
from leveret.session.consume.ack_timeout import AckTimeout
from leveret.session.settle.settling import ACK, DISCARD, REQUEUE, RETURN, settle, settling
from leveret.session.settle.sweep import Sweep
from leveret.session.settle.transaction import Transaction
from leveret.session.settle.unacked import Unacked
from leveret.session.watch import witnessing
from leveret.wire.constants import NOT_ALLOWED, NOT_IMPLEMENTED, PRECONDITION_FAILED
from leveret.wire.fields import Table
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

MOMENT_MS: Final = 5  # in which a client looks behind basic.qos-ok, and is to find nothing


class Consuming(Subscriber):
    """The consuming half of a channel.

    shared: the window of basic.qos with global. transaction: None outside of tx mode.
    """

    __slots__ = (
        "_held_cancels",
        "_prefetch",
        "_sweeper",
        "_tag",
        "_timeout",
        "_widening",
        "channel",
        "connection",
        "consumers",
        "shared",
        "transaction",
        "unacked",
    )

    def __init__(self, channel: Lane) -> None:
        self.channel = channel
        self.connection = channel.connection
        self.consumers: dict[str, Consumer] = {}
        self.unacked = Unacked()
        self.shared = SharedPrefetch(self.connection.broker)
        self._prefetch = 0
        self._tag: i64 = 0
        self.transaction: Transaction | None = None
        self._timeout = AckTimeout(channel, self.unacked, self.consumers)
        self._widening = Widening(channel, self.shared)
        self._sweeper: Sweep | None = None  # made when it is needed
        self._held_cancels: list[str] | None = None  # tags of consumers whose client is told behind an answer

    # -- Subscriber: what queues call

    def deliver(self, consumer: Consumer, stored: QueueEntry) -> None:
        """Write a basic.deliver."""
        tag = self._tag + 1
        self._tag = tag
        message = stored.message
        connection = self.connection
        if not consumer.no_ack:
            stored.sent_ms = connection.broker.clock.now_ms
            self.unacked.add(tag, stored)  # first: whatever fails, the end of the channel gives it back
        connection.writer.delivery(consumer.head, tag, stored.redelivered, message.address.encoded, message.content)
        if connection.vhost.is_watched:
            witnessing.delivered(self.channel, stored, consumer.no_ack)
        connection.wake()

    def can_take(self) -> bool:
        """Whether the connection has room for more."""
        return self.connection.can_take()

    def cancelled(self, consumer: Consumer) -> None:
        """The queue is gone: tell the client, if it understands. Source: 0-9-1 extension consumer_cancel_notify."""
        self.consumers.pop(consumer.tag, None)
        self.channel.counters.end_consumer(consumer.counts)
        if self._held_cancels is not None:
            self._held_cancels.append(consumer.tag)
        elif "consumer_cancel_notify" in self.connection.capabilities and self.channel.state == OPEN:
            self.channel.send(BasicCancel(consumer.tag, True))

    def hold_cancels(self) -> None:
        """The client is about to delete a queue, and hears of that before it hears of its consumers."""
        self._held_cancels = []

    def send_cancels(self) -> None:
        """Tell the client which consumers are gone."""
        tags, self._held_cancels = self._held_cancels or [], None
        if "consumer_cancel_notify" in self.connection.capabilities:
            for tag in tags:
                self.channel.send(BasicCancel(tag, True))

    def fail(self, doing: str, error: Exception) -> None:
        """The connection has failed."""
        self.connection.fail(doing, error)

    # -- methods

    def qos(self, method: BasicQos) -> None:
        """Set a window: the shared one, or the one that consumers from now on start with."""
        if method.prefetch_size:
            raise AmqpError(NOT_IMPLEMENTED, f"prefetch_size!=0 ({method.prefetch_size})")
        if method.global_:
            limit = method.prefetch_count
            if self.consumers and self.shared.limit and (limit == 0 or limit > self.shared.limit):
                self._widening.begin(limit)
            else:
                self._widening.stop()
                self.shared.resize(limit)
        else:
            self._prefetch = method.prefetch_count
        self.channel.send(BasicQosOk())

    def consume(self, method: BasicConsume) -> None:
        """Start a consumer. Raises: AmqpError 404, 530, 403, 405, 406."""
        name = self.channel.queue_name(method.queue)
        if method.consumer_tag in self.consumers:
            raise AmqpError(NOT_ALLOWED, f"attempt to reuse consumer tag '{method.consumer_tag}'")
        tag = method.consumer_tag or f"amq.ctag-{self.connection.broker.random_name()}"
        if method.queue == REPLY_TO:
            self._consume_replies(method, tag)
            return
        connection = self.connection
        vhost = connection.vhost
        connection.user.check(access.READ, "queue", name, vhost.name)
        queue = vhost.queue(name, connection.number)
        what = errors.resource("queue", name, vhost.name)
        if method.arguments:
            check_consumer_arguments(method.arguments, queue.settings.queue_type, what)
        priority = method.arguments.get("x-priority")
        others = queue.consumers
        exclusive = method.exclusive and queue.settings.queue_type != QUORUM  # which take it for nothing
        if others.exclusive or (exclusive and (len(others) or others.single_active)):
            raise errors.queue_in_exclusive_use(name, vhost.name)
        level = 0 if priority is None else priority.integer
        consumer = self._add(queue, tag, method.no_ack, exclusive, level, method.arguments)
        if not method.nowait:
            self.channel.send(BasicConsumeOk(tag))
        if not method.no_ack:
            self._timeout.watch(queue)
        queue.subscribe(consumer)

    def _add(
        self, queue: EntryOwner, tag: str, no_ack: bool, exclusive: bool, priority: int, arguments: Table
    ) -> Consumer:
        head = DeliveryHead(self.channel.number, tag)
        window = Prefetch(self._prefetch)
        consumer = Consumer(self, queue, tag, head, no_ack, exclusive, priority, arguments, window, self.shared)
        self.consumers[tag] = consumer
        self.channel.counters.consumers[consumer.counts] = None
        return consumer

    def cancel(self, method: BasicCancel) -> None:
        """End a consumer; what it holds stays outstanding. One that does not exist is fine."""
        consumer = self.consumers.pop(method.consumer_tag, None)
        if consumer is not None:
            self._end(consumer)
            self.channel.counters.end_consumer(consumer.counts)
        if not method.nowait:
            self.channel.send(BasicCancelOk(method.consumer_tag))

    def cancel_refused(self, patience: Patience) -> None:
        """End the consumers whose queues may not be read any more, and tell the client."""
        user, vhost = self.connection.user, self.connection.vhost.name
        for consumer in list(self.consumers.values()):
            name = consumer.queue.name
            if consumer.queue is not self.channel.replies and not user.may(access.READ, "queue", name, vhost, patience):
                self._end(consumer)
                self.cancelled(consumer)

    def get(self, method: BasicGet) -> None:
        """Fetch the head of a queue. Raises: AmqpError 403, 404, 405."""
        connection = self.connection
        vhost = connection.vhost
        name = self.channel.queue_name(method.queue)
        connection.user.check(access.READ, "queue", name, vhost.name)
        queue = vhost.queue(name, connection.number)
        if queue.consumers.single_active and queue.settings.queue_type == QUORUM:
            raise errors.no_get_with_single_active(name, vhost.name)
        if queue.clear_head():
            self.take(queue, method.no_ack)
        else:
            Getting(self, queue, method.no_ack).start(connection)

    def take(self, queue: Queue, no_ack: bool) -> None:
        """Send the head of a queue, which has not expired, or say that there is none."""
        counters = self.channel.counters
        stored = queue.get(no_ack)
        if stored is None:
            counters.get_empty += 1
            self.channel.send(BasicGetEmpty())
            return
        self._tag += 1
        if stored.redelivered:
            counters.redelivered += 1
        if no_ack:
            counters.got_no_ack += 1
            try:
                self._answer_get(stored, True)
            except Exception:
                queue.counters.keep_got()
                queue.requeue(stored, False)
                raise
            queue.settle(stored)
        else:
            counters.got += 1
            stored.sent_ms = self.connection.broker.clock.now_ms
            self._timeout.watch(queue)
            self.unacked.add(self._tag, stored)
            self._answer_get(stored, False)

    def _answer_get(self, stored: QueueEntry, no_ack: bool) -> None:
        connection = self.connection
        message = stored.message
        address = message.address
        left = stored.queue.waiting()
        self.channel.send(BasicGetOk(int(self._tag), stored.redelivered, address.exchange, address.routing_key, left))
        connection.writer.content(self.channel.number, message.content)
        if connection.vhost.is_watched:
            witnessing.delivered(self.channel, stored, no_ack)
        connection.check_output()  # now: many of these fit into one read

    def ack(self, tag: i64, multiple: bool) -> None:
        """Deliveries are done with, also those that flow only now. Raises: AmqpError 406 for a tag that is none."""
        if not multiple and self.transaction is None:
            try:
                stored = self.unacked.take(tag)
            except AmqpError:
                self.connection.broker.flow()
                stored = self.unacked.take(tag)
            settle(stored, ACK, self.channel.counters)
        else:
            self.connection.broker.flow()
            self._settle(tag, multiple, ACK)

    def nack(self, method: BasicNack) -> None:
        """Deliveries are refused. Raises: AmqpError 406."""
        self._settle(_narrow(method.delivery_tag), method.multiple, REQUEUE if method.requeue else DISCARD)

    def reject(self, method: BasicReject) -> None:
        """One delivery is refused; unlike nack, this counts for the delivery limit. Raises: AmqpError 406."""
        self._settle(_narrow(method.delivery_tag), False, RETURN if method.requeue else DISCARD)

    def recover(self, requeue: bool, answer: bool) -> None:
        """Requeue everything outstanding. Raises: AmqpError 540 without requeue."""
        if not requeue:
            raise AmqpError(NOT_IMPLEMENTED, "requeue=false")
        self._sweeping().begin(self._tag, REQUEUE, answer)

    def shut(self) -> None:
        """The channel ends: consumers stop, and what they held goes back to its queues."""
        self._timeout.stop()
        self._widening.stop()
        consumers = list(self.consumers.values())
        self.consumers.clear()
        for consumer in consumers:
            consumer.active = False  # none of them takes what is put back now
        if len(self.unacked):
            self._sweeping().begin(self._tag, RETURN)
        if self._sweeper is not None:
            self._sweeper.leave()
        for consumer in consumers:
            self._end(consumer)

    def resume(self) -> None:
        """The connection has room again."""
        for consumer in self.consumers.values():
            consumer.queue.wake(consumer)

    def held(self, queue: EntryOwner | None) -> list[Held]:
        """What the client has of a queue, or of all, and has not settled; what waits for a commit is not."""
        found = self.unacked.outstanding()
        if self.transaction is not None:
            found = sorted([*found, *self.transaction.settlements()], key=_tag)
        connection, number = self.connection, self.channel.number
        name, label = connection.name, connection.label
        return [
            Held(name, label, number, stored.consumer.tag if stored.consumer is not None else "", tag, stored)
            for tag, stored in found
            if queue is None or stored.queue is queue
        ]

    # -- inside

    def _settle(self, tag: i64, multiple: bool, how: int) -> None:
        transaction = self.transaction
        if multiple and transaction is None and (how != ACK or len(self.unacked) > PIECE):
            self.unacked.check(tag)
            self._sweeping().begin(tag or self._tag, how)
            return
        taken = self.unacked.take_up_to(tag) if multiple else [(tag, self.unacked.take(tag))]
        if transaction is not None:
            transaction.settle(taken, how)
            return
        for _, stored in taken:
            if how != ACK:
                self.connection.count_method(settling(stored, how) // METHOD)
            settle(stored, how, self.channel.counters)

    def _sweeping(self) -> Sweep:
        if self._sweeper is None:
            self._sweeper = Sweep(self.channel, self.unacked)
        return self._sweeper

    def _end(self, consumer: Consumer) -> None:
        queue = consumer.queue
        replies = self.channel.replies
        if replies is not None and queue is replies:
            self.connection.vhost.close_replies(replies)
            self.channel.replies = None
        elif not queue.deleted:
            queue.unsubscribe(consumer)

    # -- direct reply-to

    def _consume_replies(self, method: BasicConsume, tag: str) -> None:
        if self.channel.replies is not None:
            raise AmqpError(PRECONDITION_FAILED, "reply consumer already set")
        if not method.no_ack:
            raise AmqpError(PRECONDITION_FAILED, "reply consumer cannot acknowledge")
        replies = self.connection.vhost.open_replies(self.connection.number)
        replies.consumer = self._add(replies, tag, True, False, 0, method.arguments)
        self.channel.replies = replies
        if not method.nowait:
            self.channel.send(BasicConsumeOk(tag))


class Getting(Wait):
    """A basic.get from a queue at whose head more messages have expired than one turn may throw away.

    Throws them away in pieces, and takes what comes then.
    """

    def __init__(self, consuming: Consuming, queue: Queue, no_ack: bool) -> None:
        self._consuming = consuming
        self._channel = consuming.channel
        self._connection = consuming.connection
        self._queue = queue
        self._no_ack = no_ack
        self._is_over = False

    def work(self) -> bool:
        """Throw some away. Returns: whether the client has its answer, or does not want it any more."""
        if self._is_over or self._channel.state != OPEN:
            self.end(self._connection)
            return True
        try:
            if not self._queue.deleted and not self._queue.clear_head():
                return False
            self._consuming.take(self._queue, self._no_ack)
        except AmqpError as error:
            self._connection.fail_channel(self._channel.number, error)
        self.end(self._connection)
        return True

    def finish(self) -> None:
        """Take nothing: nobody would get it."""
        self._is_over = True
        self.end(self._connection)

    def fail(self, doing: str, error: Exception) -> None:
        """The connection has failed."""
        self._connection.fail(doing, error)

    def give_up(self) -> None:
        """Whoever waits for it goes on."""
        self.finish()


class Widening(Timed):
    """Lets a channel use a wider shared window (basic.qos with global) a moment after basic.qos-ok.

    RabbitMQ up to 3.13 answers basic.qos before its queues hear of the wider window, so what it lets through comes a
    moment after the answer. Celery relies on that: it asks for a window wider by one for each task that has to wait for
    its time, and a task that it finds directly behind basic.qos-ok does not make it ask again before it sleeps, often
    for seconds, with all other tasks outside the window. A window that gets narrower does so at once.
    """

    __slots__ = ("_channel", "_limit", "_shared", "_timer")

    def __init__(self, channel: Lane, shared: SharedPrefetch) -> None:
        self._channel = channel
        self._shared = shared
        self._limit = 0
        self._timer: Timer | None = None

    def stop(self) -> None:
        """The channel ends, or its window is set otherwise."""
        self._channel.connection.broker.timers.cancel(self._timer)

    def begin(self, limit: int) -> None:
        """Have the window this wide in a moment."""
        self.stop()
        self._limit = limit
        broker = self._channel.connection.broker
        self._timer = broker.timers.call_at(broker.clock.now_ms + MOMENT_MS, self)

    def fail(self, doing: str, error: Exception) -> None:
        """The connection has failed."""
        self._channel.connection.fail(doing, error)

    def on_timer(self, token: int) -> None:
        """The moment is over."""
        self._shared.resize(self._limit)


def _tag(entry: tuple[int, QueueEntry]) -> int:
    return entry[0]


def _narrow(tag: int) -> i64:
    """A delivery tag in 64 bits with a sign: those that come out negative are never outstanding."""
    return i64(tag if tag < 1 << 63 else tag - (1 << 64))
