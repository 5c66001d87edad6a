"""Direct reply-to: replies that go straight to a waiting channel, without a queue.

Consuming from amq.rabbitmq.reply-to opens a ReplyQueue: a queue in name only, reached through the default exchange,
whose one consumer takes each message as soon as its socket has room. Waiting replies have a share of the memory
budget; further replies are refused. Replies to a disconnected requester are dropped. It has no counters of its own: its
messages count with the deleted queues of its virtual host.
Source: rabbit_volatile_queue.erl, rabbit_channel.erl (handle_method basic.consume of the pseudo queue).
"""

from __future__ import annotations

from typing import Final

from leveret.core.message.confirm import FULL, Confirm
from leveret.core.message.message import Message
from leveret.core.message.refused import QUEUE_FULL
from leveret.core.queue.consumers import Consumer
from leveret.core.queue.discard import Discard
from leveret.core.queue.entry import EntryOwner, Home, QueueEntry
from leveret.core.queue.ready import Ready
from leveret.core.queue.surroundings import Surroundings

REPLY_TO: Final = "amq.rabbitmq.reply-to"
REPLY_PREFIX: Final = "amq.rabbitmq.reply-to."


class ReplyQueue(EntryOwner):
    """The reply queue of one channel. owner: number of its connection."""

    def __init__(self, vhost: Home, broker: Surroundings, name: str, owner: int) -> None:
        super().__init__(vhost, name, 0)
        self.owner = owner
        self.consumer: Consumer | None = None
        self._broker = broker
        self._waiting = Ready(broker.budget)

    def publish(self, message: Message, confirm: Confirm | None) -> None:
        """Deliver now, or when the requester has room. An undeliverable reply is dropped and confirmed.

        Replies are refused while the requester does not read those that wait for it.
        """
        consumer = self.consumer
        if consumer is not None:
            entry = QueueEntry(message, self, 0, 0)
            past = self.vhost.past.queues
            if len(self._waiting) or not consumer.subscriber.can_take():
                if self._waiting.resident > self._broker.budget.part():
                    past.refused += 1
                    self._note_refused(message)
                    if confirm is not None:
                        confirm.refuse(FULL)
                    return
                self._waiting.push(entry)
            else:
                self._deliver_to(consumer, entry)
            past.published += 1
            past.bytes_in += message.size
        if confirm is not None:
            confirm.pay()

    def _note_refused(self, message: Message) -> None:
        """Record a refused reply."""
        entry = self._broker.refused.add(self.vhost.name, message.address, QUEUE_FULL, self.name, message.size)
        if entry is not None:
            entry.say(QUEUE_FULL, "the requester does not read its replies", message)

    def not_taken(self, error: Exception) -> None:
        """Taking a reply failed."""
        self._broker.refusals += 1
        self._broker.faults.own("deliver a reply", error)

    def wake(self, consumer: Consumer) -> None:
        """The requester has room again."""
        try:
            while len(self._waiting) and self.consumer is not None and consumer.subscriber.can_take():
                self._deliver_to(consumer, self._waiting.pop())
        except Exception as error:
            consumer.fail("deliver a reply", error)

    def wake_all(self, consumers: list[Consumer]) -> None:
        """The requester has room again."""
        for consumer in consumers:
            self.wake(consumer)

    def settle(self, entry: QueueEntry) -> None:
        """Does nothing: replies are not acknowledged."""

    def requeue(self, entry: QueueEntry, failed: bool) -> None:
        """Does nothing: replies are not acknowledged."""

    def discard(self, entry: QueueEntry) -> None:
        """Does nothing: replies are not acknowledged."""

    def leave_content(self, entry: QueueEntry) -> bool:
        """Does nothing: replies cannot be paged out."""
        return True

    def close(self) -> None:
        """The requester has ended: drop the replies that wait for it."""
        self.consumer = None
        line, self._waiting = self._waiting, Ready(self._broker.budget)
        self.vhost.past.queues.removed += len(line)
        self._broker.background.begin(Discard(self._broker, None, line, [], None))

    def _deliver_to(self, consumer: Consumer, entry: QueueEntry) -> None:
        size = entry.message.size
        consumer.counts.delivered += 1
        consumer.counts.bytes_out += size
        past = self.vhost.past.queues
        past.delivered_no_ack += 1
        past.bytes_out += size
        try:
            consumer.subscriber.deliver(consumer, entry)
        except Exception as error:
            consumer.fail("deliver a reply", error)
