"""Metrics of the whole broker. They never decrease while it runs: deleted objects still count.

Source: rabbit_global_counters.erl, rabbit_msg_size_metrics.erl.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leveret.api.metrics.clients import is_there
from leveret.api.metrics.family import COUNTER, DROPPED, GAUGE, HISTOGRAM, RETURNED, Family, Group, Sample, samples_of
from leveret.api.metrics.queues import count_routes
from leveret.api.metrics.scrape import Scrape
from leveret.api.metrics.text import labels
from leveret.core.broker import Broker
from leveret.core.client.party import Party
from leveret.core.counting.counters import QueueCounters, VirtualHostCounters
from leveret.core.counting.intake import BOUNDS
from leveret.core.policy.arguments import CLASSIC, QUORUM
from leveret.core.queue.dead_letter import DELIVERY_LIMIT, EXPIRED, MAXLEN, REJECTED
from leveret.core.vhost import VirtualHost

AMQP = "amqp091"
VOLATILE = "volatile"  # RabbitMQ's queue type for direct reply-to
TYPES = (CLASSIC, QUORUM, VOLATILE)


class Totals:
    """Totals since the start. to_confirm: publishes in confirm mode.

    Current numbers: connections, channels, consumers, queues, and publishers: channels that have published.
    """

    def __init__(self) -> None:
        self.counters = VirtualHostCounters()
        self.to_confirm = 0
        self.connections = 0
        self.channels = 0
        self.consumers = 0
        self.publishers = 0
        self.queues = 0


def _all_vhosts(scrape: Scrape) -> list[VirtualHost]:
    broker = scrape.broker
    return [*broker.vhosts.values(), *(clearing.vhost for clearing in broker.leaving.values())]


async def count(scrape: Scrape) -> Totals:
    """Compute the totals. Cost: proportional to the number of connections, channels, exchanges and queues."""
    await scrape.once(count_routes)
    found = Totals()
    counters = found.counters
    vhosts = _all_vhosts(scrape)
    counters.add(scrape.broker.past)  # first, so that objects that end meanwhile are not counted twice
    for vhost in vhosts:
        counters.add(vhost.past)
    for queue_type in TYPES:
        counters.of_type(queue_type)
    volatile = counters.of_type(VOLATILE)
    volatile.add(counters.queues)
    for queue_type in (CLASSIC, QUORUM):
        _subtract(volatile, counters.of_type(queue_type))
    for client in list(scrape.broker.connections.values()):
        counters.connections.add_connection(client.total())
        await scrape.turns.rest()
    found.to_confirm = int(counters.connections.to_confirm)
    for connection in scrape.connections():
        found.connections += 1
        for channel in list(connection.channels.values()):
            if not is_there(channel):
                continue
            found.channels += 1
            found.consumers += len(channel.consuming.consumers)
            found.to_confirm += int(channel.publishing.last_tag)
            found.publishers += channel.counters.total().published > 0
        await scrape.turns.rest()
    for vhost in vhosts:
        for exchange in list(vhost.exchanges.values()):
            counters.exchanges.add(exchange.counters.total())
            await scrape.turns.rest()
        for queue in list(vhost.queues.values()):
            found.queues += 1
            counters.of_type(queue.settings.queue_type).add(queue.total())
            await scrape.turns.rest()
    return found


def _subtract(counters: QueueCounters, other: QueueCounters) -> None:
    """Subtract deliveries from queues, which leaves those of direct reply-to."""
    counters.delivered -= other.delivered
    counters.delivered_no_ack -= other.delivered_no_ack
    counters.got -= other.got
    counters.got_no_ack -= other.got_no_ack
    counters.get_empty -= other.get_empty
    counters.redelivered -= other.redelivered
    counters.acked -= other.acked


@dataclass(frozen=True)
class Kept:
    """Totals with their scrape."""

    totals: Totals
    scrape: Scrape


async def _totals(scrape: Scrape) -> list[Kept]:
    return [Kept(await scrape.once(count), scrape)]


Read = Callable[[Totals], int]


def _by_protocol(name: str, text: str, read: Read) -> Family:
    def value(kept: Kept) -> int:
        return kept.scrape.scrapes.never_less(name, int(read(kept.totals)))

    return Family(name, COUNTER, text, value)


def _now(name: str, text: str, read: Read) -> Family:
    return Family(name, GAUGE, text, lambda kept: read(kept.totals))


def _protocol_labels(kept: Kept) -> str:
    return labels(protocol=AMQP)


GLOBAL = Group(
    "global",
    _totals,
    (
        _now("global_consumers", "Current number of consumers", lambda totals: totals.consumers),
        _now("global_publishers", "Current number of publishers", lambda totals: totals.publishers),
        _by_protocol(
            "global_messages_received_total",
            "Total number of messages received from publishers",
            lambda totals: totals.counters.connections.published,
        ),
        _by_protocol(
            "global_messages_received_confirm_total",
            "Total number of messages received from publishers expecting confirmations",
            lambda totals: totals.to_confirm,
        ),
        _by_protocol(
            "global_messages_confirmed_total",
            "Total number of messages confirmed to publishers",
            lambda totals: totals.counters.connections.confirmed,
        ),
        _by_protocol(
            "global_messages_routed_total",
            "Total number of messages routed to queues or streams",
            lambda totals: totals.counters.exchanges.routed,
        ),
        _by_protocol(
            "global_messages_unroutable_returned_total",
            RETURNED,
            lambda totals: totals.counters.connections.returned,
        ),
        _by_protocol(
            "global_messages_unroutable_dropped_total",
            DROPPED,
            lambda totals: totals.counters.connections.unroutable - totals.counters.connections.returned,
        ),
    ),
    _protocol_labels,
)


# -- by queue type


@dataclass(frozen=True)
class OfType:
    """The counters of all queues of one type."""

    queue_type: str
    counters: QueueCounters
    scrape: Scrape


async def _types(scrape: Scrape) -> list[OfType]:
    counters = (await scrape.once(count)).counters
    return [OfType(queue_type, counters.of_type(queue_type), scrape) for queue_type in TYPES]


def _by_type(name: str, text: str, read: Callable[[QueueCounters], int]) -> Family:
    def value(kept: OfType) -> int:
        return kept.scrape.scrapes.never_less(f"{name} {kept.queue_type}", int(read(kept.counters)))

    return Family(name, COUNTER, text, value)


def _type_labels(kept: OfType) -> str:
    return labels(protocol=AMQP, queue_type=f"rabbit_{kept.queue_type}_queue")


def _delivered(counters: QueueCounters) -> int:
    return int(counters.delivered + counters.delivered_no_ack + counters.got + counters.got_no_ack)


BY_TYPE = Group(
    "global",
    _types,
    (
        _by_type(
            "global_messages_acknowledged_total",
            "Total number of messages acknowledged by consumers",
            lambda counters: counters.acked,
        ),
        _by_type("global_messages_delivered_total", "Total number of messages delivered to consumers", _delivered),
        _by_type(
            "global_messages_delivered_consume_auto_ack_total",
            "Total number of messages delivered to consumers using basic.consume with automatic acknowledgment",
            lambda counters: counters.delivered_no_ack,
        ),
        _by_type(
            "global_messages_delivered_consume_manual_ack_total",
            "Total number of messages delivered to consumers using basic.consume with manual acknowledgment",
            lambda counters: counters.delivered,
        ),
        _by_type(
            "global_messages_delivered_get_auto_ack_total",
            "Total number of messages delivered to consumers using basic.get with automatic acknowledgment",
            lambda counters: counters.got_no_ack,
        ),
        _by_type(
            "global_messages_delivered_get_manual_ack_total",
            "Total number of messages delivered to consumers using basic.get with manual acknowledgment",
            lambda counters: counters.got,
        ),
        _by_type(
            "global_messages_get_empty_total",
            "Total number of times basic.get operations fetched no message",
            lambda counters: counters.get_empty,
        ),
        _by_type(
            "global_messages_redelivered_total",
            "Total number of messages redelivered to consumers",
            lambda counters: counters.redelivered,
        ),
    ),
    _type_labels,
)


# -- dead letters

AT_MOST_ONCE = "at_most_once"
AT_LEAST_ONCE = "at_least_once"
NO_LETTER = "disabled"


@dataclass(frozen=True)
class Ended:
    """Messages that ended in queues of one type with one dead-letter strategy."""

    queue_type: str
    strategy: str
    counters: QueueCounters
    scrape: Scrape

    def count(self, reason: str, all_of_them: int) -> int:
        """The number of messages for a reason. all_of_them: the number with any strategy."""
        letters = self.counters.letters
        if self.strategy == NO_LETTER:
            value = all_of_them - letters.get((reason, False), 0) - letters.get((reason, True), 0)
        else:
            value = letters.get((reason, self.strategy == AT_LEAST_ONCE), 0)
        return self.scrape.scrapes.never_less(f"{reason} {self.queue_type} {self.strategy}", value)


def _ended(
    metric: str,
    reason: str,
    text: str,
    all_of_them: Callable[[QueueCounters], int],
    strategies: Sequence[tuple[str, str]],
) -> Group:
    async def find(scrape: Scrape) -> list[Ended]:
        counters = (await scrape.once(count)).counters
        return [Ended(kind, strategy, counters.of_type(kind), scrape) for kind, strategy in strategies]

    def value(ended: Ended) -> int:
        return ended.count(reason, int(all_of_them(ended.counters)))

    family = Family(f"global_messages_dead_lettered_{metric}_total", COUNTER, text, value)
    return Group("global", find, (family,), _strategy_labels)


def _strategy_labels(ended: Ended) -> str:
    return labels(queue_type=f"rabbit_{ended.queue_type}_queue", dead_letter_strategy=ended.strategy)


ANY_QUORUM = ((QUORUM, AT_LEAST_ONCE), (QUORUM, AT_MOST_ONCE), (QUORUM, NO_LETTER))
ANY_CLASSIC = ((CLASSIC, AT_MOST_ONCE), (CLASSIC, NO_LETTER))

DEAD_LETTERS = (
    _ended(
        "delivery_limit",
        DELIVERY_LIMIT,
        "Total number of messages dead-lettered due to delivery-limit exceeded",
        lambda counters: counters.exhausted,
        ANY_QUORUM,
    ),
    _ended(
        "expired",
        EXPIRED,
        "Total number of messages dead-lettered due to message TTL exceeded",
        lambda counters: counters.expired,
        (*ANY_CLASSIC, *ANY_QUORUM),
    ),
    _ended(
        "maxlen",
        MAXLEN,
        "Total number of messages dead-lettered due to overflow drop-head or reject-publish-dlx",
        lambda counters: counters.dropped,
        (*ANY_CLASSIC, *ANY_QUORUM[1:]),
    ),
    _ended(
        "rejected",
        REJECTED,
        "Total number of messages dead-lettered due to basic.reject or basic.nack",
        lambda counters: counters.rejected,
        (*ANY_CLASSIC, *ANY_QUORUM),
    ),
)


# -- numbers of objects, and sizes of messages


async def _counted(scrape: Scrape) -> list[Totals]:
    return [await scrape.once(count)]


COUNTS = Group(
    "totals",
    _counted,
    (
        Family("connections", GAUGE, "Connections currently open", lambda totals: totals.connections),
        Family("channels", GAUGE, "Channels currently open", lambda totals: totals.channels),
        Family("consumers", GAUGE, "Consumers currently connected", lambda totals: totals.consumers),
        Family("queues", GAUGE, "Queues available", lambda totals: totals.queues),
    ),
)


async def _aggregated_confirms(scrape: Scrape) -> list[Totals]:
    return [await scrape.once(count)] if scrape.is_aggregated else []


EXCHANGE_CONFIRMS = Group(
    "exchange_metrics",
    _aggregated_confirms,
    (
        Family(
            "exchange_messages_confirmed_total",
            COUNTER,
            "Total number of messages published into an exchange and confirmed",
            lambda totals: totals.counters.connections.confirmed,
        ),
    ),
)


def bound(size: int) -> str:
    """A size in the format of Prometheus, so that queries for this label text find it."""
    return f"{float(size):g}" if size >= 1_000_000 else f"{size}.0"


def published_of(broker: Broker) -> tuple[int, int]:
    """Messages published since the start, and bytes of their bodies. Cost: proportional to the number of clients."""
    published, size = int(broker.intake.published), int(broker.intake.bytes)
    for client in broker.connections.values():
        if isinstance(client, Party):
            published += client.published
            size += client.published_bytes
    return published, size


async def _sizes(scrape: Scrape) -> list[Sample]:
    published, size = published_of(scrape.broker)
    found = [
        Sample("_bucket" + labels(protocol=AMQP, le=bound(most)), published - larger)
        for most, larger in zip(BOUNDS, scrape.broker.intake.over(), strict=True)
    ]
    tail = labels(protocol=AMQP)
    return [
        *found,
        Sample("_bucket" + labels(protocol=AMQP, le="+Inf"), published),
        Sample("_count" + tail, published),
        Sample("_sum" + tail, size),
    ]


MESSAGE_SIZES = samples_of(
    "message_size", "message_size_bytes", HISTOGRAM, "Size of messages received from publishers", _sizes
)
