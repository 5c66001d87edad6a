"""Receiver: consuming and getting, whatever the protocol.

Delivery tags count all messages sent to a receiver, from 1. A message is in `unacked` from its delivery until the
client settles it or the receiver ends. Order of checks as rabbit_channel.erl.
"""

from __future__ import annotations

from abc import abstractmethod

from mypy_extensions import i64

from leveret.core.access import user as access
from leveret.core.client import observing
from leveret.core.client.party import Party
from leveret.core.client.transaction import Transaction
from leveret.core.client.unacked import Unacked
from leveret.core.counting.counters import ChannelCounters
from leveret.core.errors import refusals as errors
from leveret.core.errors.refusals import NOT_ALLOWED, UNFIT, Refusal
from leveret.core.policy.arguments import QUORUM, check_consumer_arguments
from leveret.core.policy.matching import Patience
from leveret.core.queue.client import Held
from leveret.core.queue.consumers import Consumer, Prefetch, SharedPrefetch, Subscriber
from leveret.core.queue.entry import EntryOwner, QueueEntry
from leveret.core.queue.queue import Queue
from leveret.core.queue.replies import ReplyQueue
from leveret.wire.fields import Table


class Receiver(Subscriber):
    """The consuming half of a channel, or of its equivalent in another protocol.

    A subclass knows the protocol: it reports whether there is room for messages, and sends them. Its deliver() sends
    between hold() and, in a watched virtual host, show().

    counters: see ChannelCounters.total(). number: of the channel, for traces. consumers: by tag. shared: the prefetch
    window of all of them. prefetch: the window of new consumers; 0 for no limit. unacked: outstanding deliveries.
    last_tag: of the latest message sent. replies: the queue of replies to requests, if it consumes them (direct
    reply-to).
    """

    __slots__ = ("consumers", "counters", "last_tag", "number", "party", "prefetch", "replies", "shared", "unacked")

    def __init__(self, party: Party, counters: ChannelCounters) -> None:
        self.party = party
        self.counters = counters
        self.number = counters.number
        self.consumers: dict[str, Consumer] = {}
        self.unacked = Unacked()
        self.shared = SharedPrefetch(party.broker)
        self.prefetch = 0
        self.last_tag: i64 = 0
        self.replies: ReplyQueue | None = None

    # -- for the protocol to implement

    @abstractmethod
    def answer_get(self, tag: i64, entry: QueueEntry, no_ack: bool) -> None:
        """Send a message requested with take(). It is already outstanding, unless no_ack."""

    def make_head(self, tag: str) -> object:
        """The data that the protocol keeps with a consumer (Consumer.head)."""
        return None

    # -- deliveries

    def hold(self, consumer: Consumer, entry: QueueEntry) -> i64:
        """Count a message that deliver() sends next; it becomes outstanding, unless its consumer is no-ack.

        Returns: its delivery tag.
        """
        tag = self.last_tag + 1
        self.last_tag = tag
        if not consumer.no_ack:
            entry.sent_ms = self.party.broker.clock.now_ms
            self.unacked.add(tag, entry)  # first: if sending fails, the end of the receiver requeues it
        return tag

    def show(self, entry: QueueEntry, no_ack: bool) -> None:
        """Show observers a message that was sent under the last tag."""
        observing.delivered(self.party, self.number, entry, self.last_tag, no_ack, False)

    def held(self, queue: EntryOwner | None, transaction: Transaction | None) -> list[Held]:
        """The unsettled deliveries of a queue, or of all queues, including those settled but not committed."""
        found = self.unacked.outstanding()
        if transaction is not None:
            found = sorted([*found, *transaction.settlements()], key=_tag)
        name, label = self.party.name, self.party.label
        return [
            Held(name, label, self.number, entry.consumer.tag if entry.consumer is not None else "", tag, entry)
            for tag, entry in found
            if queue is None or entry.queue is queue
        ]

    def fail(self, doing: str, error: Exception) -> None:
        """Report the fault to the client."""
        self.party.fail(doing, error)

    def resume(self) -> None:
        """The connection has room again."""
        for consumer in self.consumers.values():
            consumer.queue.wake(consumer)

    # -- consumers

    def consume(self, name: str, tag: str, no_ack: bool, exclusive: bool, arguments: Table) -> Consumer:
        """Create a consumer, which gets no messages before start(). tag: empty for a generated one.

        Raises: Refusal NOT_ALLOWED for a tag in use or too many consumers, FORBIDDEN, UNKNOWN, LOCKED, UNFIT.
        """
        tag = self._new_tag(tag)
        party = self.party
        most = party.broker.max_consumers_per_channel
        if 0 < most <= len(self.consumers):
            raise Refusal(NOT_ALLOWED, f"reached maximum ({most}) of consumers per channel")
        vhost = party.vhost
        party.user.check(access.READ, "queue", name, vhost.name)
        queue = vhost.queue(name, party.number)
        if arguments:
            what = errors.resource("queue", name, vhost.name)
            check_consumer_arguments(arguments, queue.settings.queue_type, what)
        priority = arguments.get("x-priority")
        others = queue.consumers
        exclusive = exclusive and queue.settings.queue_type != QUORUM  # quorum queues ignore it
        if others.exclusive or (exclusive and (len(others) or others.single_active)):
            raise errors.queue_in_exclusive_use(name, vhost.name)
        vhost.check_consumers(name)
        return self._add(queue, tag, no_ack, exclusive, 0 if priority is None else priority.integer, arguments)

    def consume_replies(self, tag: str, no_ack: bool, arguments: Table) -> Consumer:
        """Create the consumer of direct reply-to, which gets replies from now on. tag: as for consume().

        Raises: Refusal NOT_ALLOWED for a tag in use, UNFIT for a second such consumer, and without no_ack.
        """
        tag = self._new_tag(tag)
        if self.replies is not None:
            raise Refusal(UNFIT, "reply consumer already set")
        if not no_ack:
            raise Refusal(UNFIT, "reply consumer cannot acknowledge")
        replies = self.party.vhost.open_replies(self.party.number)
        replies.consumer = consumer = self._add(replies, tag, True, False, 0, arguments)
        self.replies = replies
        return consumer

    @staticmethod
    def start(consumer: Consumer) -> None:
        """Start the deliveries to a consumer."""
        queue = consumer.queue
        if isinstance(queue, Queue):
            queue.subscribe(consumer)

    def cancel(self, tag: str) -> None:
        """End a consumer; its deliveries stay outstanding. An unknown tag is ignored."""
        consumer = self.consumers.pop(tag, None)
        if consumer is not None:
            self.end(consumer)

    def end(self, consumer: Consumer) -> None:
        """End a consumer that is already removed from `consumers`."""
        queue = consumer.queue
        replies = self.replies
        if replies is not None and queue is replies:
            self.party.vhost.close_replies(replies)
            self.replies = None
        elif not queue.deleted:
            queue.unsubscribe(consumer)
        self.counters.end_consumer(consumer.counts)

    def forget(self, consumer: Consumer) -> None:
        """Remove an ended consumer: cancelled() begins with this."""
        self.consumers.pop(consumer.tag, None)
        self.counters.end_consumer(consumer.counts)

    def refused(self, patience: Patience) -> list[Consumer]:
        """The consumers whose queues the user may no longer read."""
        user, vhost = self.party.user, self.party.vhost.name
        return [
            consumer
            for consumer in self.consumers.values()
            if consumer.queue is not self.replies
            and not user.may(access.READ, "queue", consumer.queue.name, vhost, patience)
        ]

    def _new_tag(self, tag: str) -> str:
        if tag in self.consumers:
            raise Refusal(NOT_ALLOWED, f"attempt to reuse consumer tag '{tag}'")
        return tag or f"amq.ctag-{self.party.broker.random_name()}"

    def _add(
        self, queue: EntryOwner, tag: str, no_ack: bool, exclusive: bool, priority: int, arguments: Table
    ) -> Consumer:
        window = Prefetch(self.prefetch)
        consumer = Consumer(self, queue, tag, no_ack, exclusive, priority, arguments, window, self.shared)
        consumer.head = self.make_head(tag)
        self.consumers[tag] = consumer
        self.counters.consumers[consumer.counts] = None
        return consumer

    # -- get

    def queue_to_get(self, name: str) -> Queue:
        """The queue for a basic.get. Raises: Refusal FORBIDDEN, UNKNOWN, LOCKED."""
        party = self.party
        vhost = party.vhost
        party.user.check(access.READ, "queue", name, vhost.name)
        queue = vhost.queue(name, party.number)
        if queue.consumers.single_active and queue.settings.queue_type == QUORUM:
            raise errors.no_get_with_single_active(name, vhost.name)
        return queue

    def take(self, queue: Queue, no_ack: bool) -> bool:
        """Send the head of a queue, after Queue.clear_head() has returned True.

        Returns: whether there is one. Raises: NotHereYet; Queue.wait_for_log() tells when to retry.
        """
        counters = self.counters
        entry = queue.get(no_ack)
        if entry is None:
            counters.get_empty += 1
            return False
        if entry.redelivered:
            counters.redelivered += 1
        tag = self.last_tag + 1
        self.last_tag = tag
        if no_ack:
            counters.got_no_ack += 1
            try:
                self._answer(tag, entry, True)
            except Exception:
                queue.counters.keep_got()
                queue.requeue(entry, False)
                raise
            queue.settle(entry)
        else:
            counters.got += 1
            entry.sent_ms = self.party.broker.clock.now_ms
            self.unacked.add(tag, entry)
            self._answer(tag, entry, False)
        return True

    def _answer(self, tag: i64, entry: QueueEntry, no_ack: bool) -> None:
        self.answer_get(tag, entry, no_ack)
        if self.party.vhost.is_watched:
            observing.delivered(self.party, self.number, entry, tag, no_ack, True)


def _tag(entry: tuple[int, QueueEntry]) -> int:
    return entry[0]
