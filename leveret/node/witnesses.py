"""Both: two witnesses of one broker."""

from __future__ import annotations

from leveret.core.message.confirm import Confirm
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message
from leveret.core.queue.client import Client, Follower, Witness
from leveret.core.queue.entry import QueueEntry


class Both(Witness):
    """One that only looks, and another one that decides."""

    def __init__(self, looking: Witness, deciding: Witness) -> None:
        self.needs_contents = looking.needs_contents or deciding.needs_contents
        self._looking = looking
        self._deciding = deciding

    def on_publish(self, client: Client, message: Message, queues: list[Destination], mandatory: bool) -> int:
        """Both see it. Raises: Refusal."""
        self._looking.on_publish(client, message, queues, mandatory)
        return self._deciding.on_publish(client, message, queues, mandatory)

    def follower(self) -> Follower | None:
        """See Witness."""
        return self._deciding.follower()

    def on_held(self, confirm: Confirm) -> None:
        """See Witness."""
        self._deciding.on_held(confirm)

    def on_delivery(self, client: Client, entry: QueueEntry, tag: int, no_ack: bool, is_get: bool) -> None:
        """Both see it."""
        self._looking.on_delivery(client, entry, tag, no_ack, is_get)
        self._deciding.on_delivery(client, entry, tag, no_ack, is_get)

    def on_settle(self, entry: QueueEntry, how: int) -> None:
        """Both see it."""
        self._looking.on_settle(entry, how)
        self._deciding.on_settle(entry, how)
