"""Verbs on queues."""

from __future__ import annotations

from leveret.core.broker import Broker
from leveret.core.errors.administration import AdministrationError
from leveret.core.queue.queue import Queue
from leveret.management.errors import unknown
from leveret.management.vhosts import find_vhost


def faulty_queues(broker: Broker) -> list[Queue]:
    """Faulty queues, those with an internal error, sorted by virtual host and name."""
    found = [queue for queue in broker.queues() if queue.fault and not queue.deleted]
    return sorted(found, key=lambda queue: (queue.vhost.name, queue.name))


def repair_queue(broker: Broker, name: str, vhost: str = "/") -> None:
    """Retry the failed operation of a faulty queue and resume it. Has no effect on other queues."""
    queues = find_vhost(broker, vhost).queues
    queue = queues.get(name)
    if queue is None:
        raise unknown("queue", name, queues)
    if queue.deleted:
        raise AdministrationError(f"{queue} no longer exists: {queue.fault}; it cannot be repaired")
    queue.repair()
    if queue.fault:
        raise AdministrationError(f"{queue} is still faulty: {queue.fault}; see the broker's log")
