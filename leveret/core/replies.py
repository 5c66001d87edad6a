"""Direct reply-to: replies that go straight to a waiting channel, through no queue.

Consuming from amq.rabbitmq.reply-to opens a ReplyQueue: a queue in name only, reached through the default exchange,
whose one consumer takes every message at once or never. Nothing is kept for a requester that is gone.
Source: rabbit_volatile_queue.erl, rabbit_channel.erl (handle_method basic.consume of the pseudo queue).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.core.hints import Origin
from leveret.core.message import Message, Stored
from leveret.core.ports import Confirm
from leveret.core.queue import Queue

if TYPE_CHECKING:
    from leveret.core.consumers import Consumer
    from leveret.core.vhost import VirtualHost

REPLY_TO: Final = "amq.rabbitmq.reply-to"
REPLY_PREFIX: Final = "amq.rabbitmq.reply-to."


class ReplyQueue(Queue):
    """The way back to one channel."""

    def __init__(self, vhost: VirtualHost, name: str, owner: int) -> None:
        super().__init__(vhost, name, 0, False, owner, True, {}, Origin("", "", 0))
        self.consumer: Consumer | None = None

    def publish(self, message: Message, confirm: Confirm | None) -> None:
        """Deliver now; what cannot be delivered is dropped. Either way the publisher is confirmed."""
        if self.consumer is not None:
            try:
                self.consumer.subscriber.deliver(self.consumer, Stored(message, self, 0, False))
            except Exception as error:
                self.consumer.fail("deliver a reply", error)
        if confirm is not None:
            confirm.pay()
