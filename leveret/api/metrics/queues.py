"""Metrics of queues, of exchanges, and of messages from exchanges to queues.

Source: prometheus_rabbitmq_core_metrics_collector.erl.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from leveret.api.metrics.family import CLUSTER, COUNTER, DROPPED, GAUGE, LEVERET, RETURNED, Family, Group
from leveret.api.metrics.scrape import Scrape
from leveret.api.metrics.text import labels
from leveret.api.services import Services
from leveret.api.views.queues import OBJECT, head_timestamp, utilisation
from leveret.core.counting.counters import ExchangeCounters, Outflow, QueueCounters
from leveret.core.exchange.exchange import Exchange
from leveret.core.message.budget import COST
from leveret.core.queue.queue import Queue
from leveret.core.vhost import VirtualHost


class QueueView:
    """A queue, as input for its metrics. Computes expensive values once, when needed."""

    __slots__ = ("_resting", "_total", "queue", "services")

    def __init__(self, queue: Queue, services: Services) -> None:
        self.queue = queue
        self.services = services
        self._total: QueueCounters | None = None
        self._resting: tuple[int, int] | None = None

    @property
    def ready(self) -> int:
        """Messages that wait for a consumer or for redelivery."""
        return len(self.queue.ready) + len(self.queue.retries)

    @property
    def unacked(self) -> int:
        """Unacknowledged messages."""
        return int(self.queue.unacked)

    @property
    def ready_bytes(self) -> int:
        """Bytes of the bodies of ready messages."""
        return int(self.queue.ready.size)

    @property
    def unacked_bytes(self) -> int:
        """Bytes of the bodies of unacknowledged messages."""
        return int(self.queue.unacked_bytes)

    @property
    def resting(self) -> tuple[int, int]:
        """Numbers of messages that are only on disk, and bytes of their bodies."""
        if self._resting is None:
            count, size = self.queue.ready.at_rest()
            self._resting = int(count), int(size)
        return self._resting

    @property
    def total(self) -> QueueCounters:
        """The totals of its counters."""
        if self._total is None:
            self._total = self.queue.total()
        return self._total

    @property
    def delivered(self) -> int:
        """Messages delivered to clients by any method."""
        total = self.total
        return int(total.delivered + total.delivered_no_ack + total.got + total.got_no_ack)

    @property
    def used(self) -> float:
        """The fraction of the last minute in which no message waited for a consumer."""
        return utilisation(self.queue, self.services.history.find(self.queue))

    @property
    def memory(self) -> int:
        """Approximate bytes of memory that the queue uses."""
        return OBJECT + int(self.queue.resident()) + self.unacked_bytes + self.unacked * COST


@dataclass(frozen=True)
class Seen:
    """A queue in a scrape."""

    queue: Queue
    services: Services


async def _queues(scrape: Scrape) -> list[Seen]:
    services = scrape.services
    return [Seen(queue, services) for vhost in scrape.vhosts() for queue in vhost.queues.values()]


def _view(seen: Seen) -> QueueView | None:
    queue = seen.queue
    return None if queue.deleted and not queue.fault else QueueView(queue, seen.services)


def _queue_labels(seen: Seen) -> str:
    return labels(vhost=seen.queue.vhost.name, queue=seen.queue.name)


def _info_labels(seen: Seen) -> str:
    queue = seen.queue
    kind = f"rabbit_{queue.settings.queue_type}_queue"
    return labels(vhost=queue.vhost.name, queue=queue.name, queue_type=kind, membership="leader")


def _of_queues(name: str, *families: Family, prefix: str = "rabbitmq_") -> Group:
    return Group(name, _queues, families, _queue_labels, _view, is_summed=True, prefix=prefix)


CONSUMERS = Family("queue_consumers", GAUGE, "Consumers on a queue", lambda view: len(view.queue.consumers))

COARSE = _of_queues(
    "queue_coarse_metrics",
    Family("queue_messages_ready", GAUGE, "Messages ready to be delivered to consumers", lambda view: view.ready),
    Family(
        "queue_messages_unacked",
        GAUGE,
        "Messages delivered to consumers but not yet acknowledged",
        lambda view: view.unacked,
    ),
    Family(
        "queue_messages",
        GAUGE,
        "Sum of ready and unacknowledged messages - total queue depth",
        lambda view: view.ready + view.unacked,
    ),
)

CONSUMER_COUNT = _of_queues("queue_consumer_count", CONSUMERS)

QUEUE = _of_queues(
    "queue_metrics",
    CONSUMERS,
    Family("queue_consumer_capacity", GAUGE, "Consumer capacity", lambda view: view.used, is_summed=False),
    Family("queue_consumer_utilisation", GAUGE, "Same as consumer capacity", lambda view: view.used, is_summed=False),
    Family(
        "queue_process_memory_bytes",
        GAUGE,
        "Memory in bytes used by the Erlang queue process",
        lambda view: view.memory,
    ),
    Family(
        "queue_messages_ram",
        GAUGE,
        "Ready and unacknowledged messages stored in memory",
        lambda view: view.ready + view.unacked - view.resting[0],
    ),
    Family(
        "queue_messages_ram_bytes",
        GAUGE,
        "Size of ready and unacknowledged messages stored in memory",
        lambda view: view.ready_bytes + view.unacked_bytes - view.resting[1],
    ),
    Family(
        "queue_messages_ready_ram",
        GAUGE,
        "Ready messages stored in memory",
        lambda view: view.ready - view.resting[0],
    ),
    Family("queue_messages_unacked_ram", GAUGE, "Unacknowledged messages stored in memory", lambda view: view.unacked),
    Family(
        "queue_messages_persistent",
        GAUGE,
        "Persistent messages",
        lambda view: view.ready + view.unacked if view.queue.durable else 0,
    ),
    Family(
        "queue_messages_persistent_bytes",
        GAUGE,
        "Size in bytes of persistent messages",
        lambda view: view.ready_bytes + view.unacked_bytes if view.queue.durable else 0,
    ),
    Family(
        "queue_messages_bytes",
        GAUGE,
        "Size in bytes of ready and unacknowledged messages",
        lambda view: view.ready_bytes + view.unacked_bytes,
    ),
    Family("queue_messages_ready_bytes", GAUGE, "Size in bytes of ready messages", lambda view: view.ready_bytes),
    Family(
        "queue_messages_unacked_bytes",
        GAUGE,
        "Size in bytes of all unacknowledged messages",
        lambda view: view.unacked_bytes,
    ),
    Family(
        "queue_head_message_timestamp",
        GAUGE,
        "Timestamp of the first message in the queue, if any",
        lambda view: head_timestamp(view.queue),
        is_summed=False,
    ),
)

DELIVERY = _of_queues(
    "queue_delivery_metrics",
    Family(
        "queue_get_ack_total",
        COUNTER,
        "Total number of messages fetched from a queue with basic.get in manual acknowledgement mode",
        lambda view: view.total.got,
    ),
    Family(
        "queue_get_total",
        COUNTER,
        "Total number of messages fetched from a queue with basic.get in automatic acknowledgement mode",
        lambda view: view.total.got_no_ack,
    ),
    Family(
        "queue_messages_delivered_ack_total",
        COUNTER,
        "Total number of messages delivered from a queue to consumers in manual acknowledgement mode",
        lambda view: view.total.delivered,
    ),
    Family(
        "queue_messages_delivered_total",
        COUNTER,
        "Total number of messages delivered from a queue to consumers in automatic acknowledgement mode",
        lambda view: view.total.delivered_no_ack,
    ),
    Family(
        "queue_messages_redelivered_total",
        COUNTER,
        "Total number of messages redelivered from a queue to consumers",
        lambda view: view.total.redelivered,
    ),
    Family(
        "queue_messages_acked_total",
        COUNTER,
        "Total number of messages acknowledged by consumers on a queue",
        lambda view: view.total.acked,
    ),
    Family(
        "queue_get_empty_total",
        COUNTER,
        "Total number of times basic.get operations fetched no message on a queue",
        lambda view: view.total.get_empty,
    ),
)

INFO = Group(
    "queue_info",
    _queues,
    (
        Family(
            "queue_info",
            GAUGE,
            "A metric with a constant '1' value and labels that provide some queue details",
            lambda view: 1,
        ),
    ),
    _info_labels,
    _view,
)

OWN = _of_queues(
    "leveret_queue_metrics",
    Family(
        "queue_messages_published_total", COUNTER, "Messages accepted by a queue", lambda view: view.total.published
    ),
    Family(
        "queue_messages_delivered_total",
        COUNTER,
        "Messages delivered from a queue, by basic.deliver or basic.get, with acknowledgement or without",
        lambda view: view.delivered,
    ),
    Family("queue_messages_acked_total", COUNTER, "Messages acknowledged on a queue", lambda view: view.total.acked),
    Family(
        "queue_messages_requeued_total",
        COUNTER,
        "Messages requeued to a queue",
        lambda view: view.total.requeued,
    ),
    Family("queue_messages_rejected_total", COUNTER, "Messages rejected on a queue", lambda view: view.total.rejected),
    Family(
        "queue_messages_refused_total",
        COUNTER,
        "Messages refused by a queue because it is full or faulty",
        lambda view: view.total.refused,
    ),
    Family("queue_messages_expired_total", COUNTER, "Messages expired by their TTL", lambda view: view.total.expired),
    Family(
        "queue_messages_dropped_total",
        COUNTER,
        "Messages dropped by the length limit of a queue",
        lambda view: view.total.dropped,
    ),
    Family(
        "queue_messages_dead_lettered_total",
        COUNTER,
        "Messages published to a dead letter exchange",
        lambda view: view.total.dead_lettered,
    ),
    Family(
        "queue_published_bytes_total", COUNTER, "Bytes of bodies accepted by a queue", lambda view: view.total.bytes_in
    ),
    Family(
        "queue_delivered_bytes_total",
        COUNTER,
        "Bytes of bodies delivered from a queue",
        lambda view: view.total.bytes_out,
    ),
    Family("queue_messages_at_rest", GAUGE, "Ready messages that are only on disk", lambda view: view.resting[0]),
    Family(
        "queue_messages_at_rest_bytes",
        GAUGE,
        "Size in bytes of ready messages that are only on disk",
        lambda view: view.resting[1],
    ),
    Family(
        "queue_messages_retrying",
        GAUGE,
        "Requeued messages waiting for redelivery",
        lambda view: len(view.queue.retries),
    ),
    Family(
        "queue_messages_held",
        GAUGE,
        "Messages held until the time in a header",
        lambda view: view.queue.detours.held(),
    ),
    Family(
        "queue_messages_unreadable_total",
        COUNTER,
        "Messages that were not held because the time in their header is not valid",
        lambda view: view.total.unreadable,
    ),
    Family(
        "queue_messages_duplicate_total",
        COUNTER,
        "Messages discarded by a queue as duplicates",
        lambda view: view.total.duplicates,
    ),
    Family("queue_paused", GAUGE, "1 if a queue is paused", lambda view: int(view.queue.settings.is_paused)),
    prefix=LEVERET,
)


# -- exchanges


async def _exchanges(scrape: Scrape) -> list[Exchange]:
    await scrape.once(count_routes)
    return [exchange for vhost in scrape.vhosts() for exchange in vhost.exchanges.values()]


async def _named_exchanges(scrape: Scrape) -> list[Exchange]:
    return [exchange for vhost in scrape.vhosts() for exchange in vhost.exchanges.values() if exchange.name]


async def count_routes(scrape: Scrape) -> None:
    """Add counts that connections still hold to the counters of exchanges."""
    for client in list(scrape.broker.connections.values()):
        client.count_routes()
        await scrape.turns.rest()


def _exchange_view(exchange: Exchange) -> ExchangeCounters:
    return exchange.counters.total()


def _exchange_labels(exchange: Exchange) -> str:
    return labels(vhost=exchange.vhost.name, exchange=exchange.name)


def _typed_labels(exchange: Exchange) -> str:
    return labels(vhost=exchange.vhost.name, exchange=exchange.name, type=exchange.kind)


EXCHANGE = Group(
    "exchange_metrics",
    _exchanges,
    (
        Family(
            "exchange_messages_published_total",
            COUNTER,
            "Total number of messages published into an exchange",
            lambda total: total.published,
        ),
        Family(
            "exchange_messages_unroutable_returned_total",
            COUNTER,
            RETURNED,
            lambda total: total.returned,
        ),
        Family(
            "exchange_messages_unroutable_dropped_total",
            COUNTER,
            DROPPED,
            lambda total: total.unroutable - total.returned,
        ),
    ),
    _exchange_labels,
    _exchange_view,
    is_summed=True,
)

EXCHANGE_NAMES = Group(
    "exchange_names",
    _named_exchanges,
    (
        Family(
            "exchange_name",
            GAUGE,
            "Enumerates exchanges without any additional info. This value is cluster-wide. A cheaper alternative to "
            "`exchange_bindings`",
            lambda exchange: 1,
        ),
    ),
    _typed_labels,
    prefix=CLUSTER,
)

EXCHANGE_BINDINGS = Group(
    "exchange_bindings",
    _named_exchanges,
    (
        Family(
            "exchange_bindings",
            GAUGE,
            "Number of bindings for an exchange. This value is cluster-wide.",
            lambda exchange: len(exchange.bindings),
        ),
    ),
    _typed_labels,
    prefix=CLUSTER,
)


async def _vhosts(scrape: Scrape) -> list[VirtualHost]:
    return scrape.vhosts()


VHOST_STATUS = Group(
    "vhost_status",
    _vhosts,
    (Family("vhost_status", GAUGE, "Whether a given vhost is running", lambda vhost: 1),),
    lambda vhost: labels(vhost=vhost.name),
    prefix=CLUSTER,
)


# -- from exchanges to queues


@dataclass(frozen=True)
class Flow:
    """The messages from one exchange to one queue."""

    vhost: str
    outflow: Outflow


async def _flows(scrape: Scrape) -> list[Flow]:
    found = []
    for exchange in await _exchanges(scrape):
        found += [Flow(exchange.vhost.name, outflow) for outflow in exchange.counters.outflows.values()]
        await scrape.turns.rest()
    return found


def _flow_labels(flow: Flow) -> str:
    outflow = flow.outflow
    return labels(vhost=flow.vhost, exchange=outflow.exchange.name, queue=outflow.queue.name)


def _full_flow_labels(flow: Flow) -> str:
    outflow = flow.outflow
    return labels(
        queue_vhost=flow.vhost, queue=outflow.queue.name, exchange_vhost=flow.vhost, exchange=outflow.exchange.name
    )


def _routed(flow: Any) -> int:
    return int(flow.outflow.routed)


QUEUE_EXCHANGE = Group(
    "queue_exchange_metrics",
    _flows,
    (
        Family(
            "queue_exchange_messages_published_total",
            COUNTER,
            "Total number of messages published into a queue through an exchange",
            _routed,
        ),
    ),
    _flow_labels,
    is_summed=True,
)

CHANNEL_QUEUE_EXCHANGE = Group(
    "channel_queue_exchange_metrics",
    _flows,
    (
        Family(
            "queue_messages_published_total",
            COUNTER,
            "Total number of messages published into a queue through an exchange on a channel",
            _routed,
        ),
    ),
    _full_flow_labels,
    is_summed=True,
)
