"""Handing out: the one way by which a message gets into the queues that it was routed to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.core.message.message import Message
from leveret.core.ports import Confirm

if TYPE_CHECKING:
    from leveret.core.queue.queue import Queue


def hand_out(message: Message, queues: list[Queue], confirm: Confirm | None) -> None:
    """Put a message into queues. One that fails is faulty from then on and refuses it; the others get it."""
    for queue in queues:
        try:
            queue.publish(message, confirm)
        except Exception as error:
            not_taken(queue, confirm, error)


def not_taken(queue: Queue, confirm: Confirm | None, error: Exception) -> None:
    """A queue has failed to take a message."""
    queue.fail("take a message", error)
    queue.broker.refusals += 1
    if confirm is not None:
        confirm.refuse()
