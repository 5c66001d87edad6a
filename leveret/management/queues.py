"""Verbs on queues."""

from __future__ import annotations

from leveret.core.broker import Broker
from leveret.core.errors.administration import AdministrationError
from leveret.core.queue.queue import Queue
from leveret.management.errors import unknown
from leveret.management.vhosts import find_vhost


def faulty_queues(broker: Broker) -> list[Queue]:
    """The queues whose own work has failed, by virtual host and name."""
    found = [queue for queue in broker.queues() if queue.fault and not queue.deleted]
    return sorted(found, key=lambda queue: (queue.vhost.name, queue.name))


def repair_queue(broker: Broker, name: str, vhost: str = "/") -> None:
    """Let a faulty queue try again what has failed, and go on; nothing happens to one that is not faulty."""
    queues = find_vhost(broker, vhost).queues
    queue = queues.get(name)
    if queue is None:
        raise unknown("queue", name, queues)
    if queue.deleted:
        raise AdministrationError(f"{queue} is not here any more: {queue.fault}; nothing can be repaired here")
    queue.repair()
    if queue.fault:
        raise AdministrationError(f"{queue} is still faulty: {queue.fault}; the broker's log says more")
