"""Direct reply-to: replies that go straight to a waiting channel, through no queue.

Consuming from amq.rabbitmq.reply-to opens a ReplyQueue: a queue in name only, reached through the default exchange,
whose one consumer takes every message as soon as its socket has room. What waits for that has a part of the memory
budget; beyond it replies are refused. Nothing is kept for a requester that is gone.
Source: rabbit_volatile_queue.erl, rabbit_channel.erl (handle_method basic.consume of the pseudo queue).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.core.errors.hints import Origin
from leveret.core.message.message import Message, Stored
from leveret.core.ports import Confirm
from leveret.core.queue.discard import Litter
from leveret.core.queue.queue import Queue

if TYPE_CHECKING:
    from leveret.core.queue.consumers import Consumer
    from leveret.core.vhost import VirtualHost

REPLY_TO: Final = "amq.rabbitmq.reply-to"
REPLY_PREFIX: Final = "amq.rabbitmq.reply-to."


class ReplyQueue(Queue):
    """The way back to one channel."""

    def __init__(self, vhost: VirtualHost, name: str, owner: int) -> None:
        super().__init__(vhost, name, 0, False, owner, True, {}, Origin("", "", 0))
        self.consumer: Consumer | None = None

    def publish(self, message: Message, confirm: Confirm | None) -> None:
        """Deliver now, or when the requester takes more. What cannot be delivered is dropped, and confirmed.

        A requester that does not read what it has asked for gets no more: such a reply is refused.
        """
        consumer = self.consumer
        if consumer is not None:
            stored = Stored(message, self, 0, 0)
            if len(self.ready) or not consumer.subscriber.can_take():
                if self.ready.resident > self.broker.budget.part():
                    if confirm is not None:
                        confirm.refuse()
                    return
                self.ready.push(stored)
            else:
                self._deliver_to(consumer, stored)
        if confirm is not None:
            confirm.pay()

    def wake(self, consumer: Consumer) -> None:
        """The requester has room again."""
        try:
            while len(self.ready) and self.consumer is not None and consumer.subscriber.can_take():
                self._deliver_to(consumer, self.ready.pop())
        except Exception as error:
            consumer.fail("deliver a reply", error)

    def close(self) -> None:
        """The requester is gone, and what waits for it with it."""
        self.consumer = None
        line, self.ready = self.ready, self._line()
        self.broker.chores.begin(Litter(self, line, []))
        self.stop()

    @staticmethod
    def _deliver_to(consumer: Consumer, stored: Stored) -> None:
        try:
            consumer.subscriber.deliver(consumer, stored)
        except Exception as error:
            consumer.fail("deliver a reply", error)
