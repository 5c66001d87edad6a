"""The factory of queues."""

from __future__ import annotations

from leveret.core.errors.diagnostics import Origin
from leveret.core.queue.entry import Home
from leveret.core.queue.queue import Queue
from leveret.core.queue.surroundings import Surroundings
from leveret.wire.fields import Table


def new_queue(
    vhost: Home,
    broker: Surroundings,
    name: str,
    queue_id: int,
    durable: bool,
    owner: int,
    auto_delete: bool,
    arguments: Table,
    origin: Origin,
) -> Queue:
    """A queue of the type that its arguments ask for; there is one class for all."""
    return Queue(vhost, broker, name, queue_id, durable, owner, auto_delete, arguments, origin)
