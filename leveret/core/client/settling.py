"""Settling: acknowledges, rejects or requeues a delivery."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.client import observing
from leveret.core.counting.counters import Deliveries
from leveret.core.queue.dead_letter import REJECTED
from leveret.core.queue.detours import RETURN as PUT_BACK
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.queue import FORGET

ACK: Final = 0
REQUEUE: Final = 1
RETURN: Final = 2  # a requeue that counts for the delivery limit
DISCARD: Final = 3


def settling(entry: QueueEntry, how: int) -> i64:
    """The cost of settle(), in units of core/turn/work.py."""
    queue = entry.queue
    if how == DISCARD:
        return queue.giving_up(entry.message)
    return 1 if how == ACK else queue.returning(entry.message)


def settle(entry: QueueEntry, how: int, counters: Deliveries) -> None:
    """Ack, requeue, return or discard one delivery without a holder; if that fails, its queue keeps it.

    counters: of the receiver that held it.
    """
    queue = entry.queue
    if queue.vhost.observer is not None:
        observing.settled(entry, how)
    try:
        if how == ACK:
            counters.acked += 1
            queue.settle(entry)
        elif how == REQUEUE or how == RETURN:
            counters.requeued += 1
            queue.requeue(entry, how == RETURN)
        else:
            counters.rejected += 1
            queue.discard(entry)
    except Exception as error:
        queue.leave(entry, FORGET if how == ACK else REJECTED if how == DISCARD else PUT_BACK, error)
