"""Held: a message that somebody has and has not settled yet, and who that is."""

from __future__ import annotations

from mypy_extensions import i64

from leveret.core.queue.entry import QueueEntry


class Held:
    """One delivery that waits for its ack.

    connection: its name. label: what its client calls it. channel: number of the channel. consumer_tag: empty for
    basic.get. delivery_tag: on that channel. stored: its place in the queue.
    """

    __slots__ = ("channel", "connection", "consumer_tag", "delivery_tag", "label", "stored")

    def __init__(
        self, connection: str, label: str, channel: int, consumer_tag: str, delivery_tag: int, stored: QueueEntry
    ) -> None:
        self.connection = connection
        self.label = label
        self.channel = channel
        self.consumer_tag = consumer_tag
        self.delivery_tag = delivery_tag
        self.stored = stored

    @property
    def since_ms(self) -> i64:
        """When it was sent, on the core's clock."""
        return self.stored.sent_ms
