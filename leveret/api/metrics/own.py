"""Metrics that RabbitMQ does not have: event loop, disk, memory of messages, and routes."""

from __future__ import annotations

from collections.abc import Callable

from leveret.api.metrics.family import (
    COUNTER,
    GAUGE,
    LEVERET,
    SUMMARY,
    Family,
    Group,
    Number,
    Sample,
    samples_of,
)
from leveret.api.metrics.node import the_node
from leveret.api.metrics.scrape import Scrape
from leveret.api.metrics.text import CONTENT_TYPE, labels
from leveret.api.metrics.totals import published_of
from leveret.api.services import Services
from leveret.core.counting.disk import DiskCounters
from leveret.core.counting.shards import ShardCounters
from leveret.core.message.budget import NO_LIMIT
from leveret.core.turn.alarms import BEHIND, DISK, FULL, HELD, LETTERS, MEMORY
from leveret.core.turn.lag import MINUTE

ALARMS = {
    "memory": MEMORY,
    "disk": DISK,
    "disk_behind": BEHIND,
    "dead_letters": LETTERS,
    "messages_held": HELD,
    "messages_full": FULL,
}


def _longest_s(services: Services) -> float:
    longest_us, _ = services.broker.lag.recent(MINUTE)
    return longest_us / 1_000_000


def _limit(services: Services) -> int | None:
    limit = int(services.broker.budget.limit)
    return None if limit == NO_LIMIT else limit


def _hits(services: Services) -> int:
    published, _ = published_of(services.broker)
    return max(published - int(services.broker.intake.misses), 0)


def _of_disk(read: Callable[[DiskCounters], Number]) -> Callable[[Services], Number | None]:
    def value(services: Services) -> Number | None:
        disk = services.facts.disk
        return None if disk is None else read(disk)

    return value


def _of_shards(read: Callable[[ShardCounters], Number]) -> Callable[[Services], Number | None]:
    def value(services: Services) -> Number | None:
        counters = services.broker.ownership.counters
        return None if counters is None else read(counters)

    return value


NODE = Group(
    "leveret_node_metrics",
    the_node,
    (
        Family(
            "event_loop_longest_seconds",
            GAUGE,
            "Longest time in the last minute during which the event loop did not check its sockets",
            _longest_s,
        ),
        Family(
            "event_loop_stalls_total",
            COUNTER,
            "Number of times that the event loop did not check its sockets for more than 20 ms",
            lambda services: int(services.broker.lag.stalls),
        ),
        Family(
            "message_memory_bytes",
            GAUGE,
            "Approximate memory used by all messages",
            lambda services: int(services.broker.budget.used),
        ),
        Family(
            "message_memory_limit_bytes",
            GAUGE,
            "Memory that messages may use before they are paged out to the disk",
            _limit,
        ),
        Family(
            "route_cache_hits_total",
            COUNTER,
            "Publishes whose route was in the cache of the connection",
            _hits,
        ),
        Family(
            "route_cache_misses_total",
            COUNTER,
            "Publishes whose route had to be computed",
            lambda services: int(services.broker.intake.misses),
        ),
        Family(
            "publishers_held",
            GAUGE,
            "Publisher connections that are not read because of an alarm",
            lambda services: services.broker.alarms.blocked(),
        ),
        Family(
            "dead_letters_waiting",
            GAUGE,
            "Dead letters waiting to be published",
            lambda services: len(services.broker.worklist),
        ),
        Family(
            "commits_failed_total",
            COUNTER,
            "Commits to the data directory that failed",
            _of_disk(lambda disk: disk.failed),
        ),
        Family(
            "committed_bytes_total",
            COUNTER,
            "Bytes committed to the data directory",
            _of_disk(lambda disk: disk.written),
        ),
        Family(
            "disk_fetches_total",
            COUNTER,
            "Reads of paged-out messages from the data directory",
            _of_disk(lambda disk: disk.reads),
        ),
        Family(
            "disk_fetched_messages_total",
            COUNTER,
            "Paged-out messages read from the data directory",
            _of_disk(lambda disk: disk.read),
        ),
        Family(
            "shards",
            GAUGE,
            "Shards of a cluster that belong to this node",
            _of_shards(lambda shards: shards.owned),
        ),
        Family(
            "shards_loading",
            GAUGE,
            "Shards of this node whose messages are still being read, so that their queues do not serve yet",
            _of_shards(lambda shards: shards.loading),
        ),
        Family(
            "shards_gained_total",
            COUNTER,
            "Shards that this node has got, from nodes that have left, died or handed them over",
            _of_shards(lambda shards: shards.gained),
        ),
        Family(
            "shards_handed_over_total",
            COUNTER,
            "Shards that this node has handed to other nodes",
            _of_shards(lambda shards: shards.handed_over),
        ),
    ),
    prefix=LEVERET,
)


async def _alarms(scrape: Scrape) -> list[Sample]:
    raised = int(scrape.broker.alarms.raised)
    return [Sample(labels(alarm=name), int(raised & bit != 0)) for name, bit in ALARMS.items()]


ALARM = samples_of(
    "leveret_node_metrics", "alarm", GAUGE, "1 if publishers are blocked for this reason", _alarms, LEVERET
)


async def _commits(scrape: Scrape) -> list[Sample]:
    disk = scrape.services.facts.disk
    if disk is None:
        return []
    return [Sample("_count", int(disk.commits)), Sample("_sum", round(disk.commit_s, 6))]


COMMITS = samples_of(
    "leveret_node_metrics",
    "commit_duration_seconds",
    SUMMARY,
    "Time from handing messages to the disk until they are committed",
    _commits,
    LEVERET,
)


# -- cost of the metrics themselves


def _telemetry(metric: str, text: str, value: Callable[[Scrape, str], Number]) -> Group:
    async def find(scrape: Scrape) -> list[Sample]:
        found = []
        for page, count in scrape.scrapes.counts.items():
            tail = labels(registry=page, content_type=CONTENT_TYPE)
            found += [Sample(f"_count{tail}", count), Sample(f"_sum{tail}", value(scrape, page))]
        return found

    return samples_of("telemetry", metric, SUMMARY, text, find, "telemetry_")


TELEMETRY = (
    _telemetry(
        "scrape_duration_seconds",
        "Scrape duration",
        lambda scrape, page: round(scrape.scrapes.seconds[page], 6),
    ),
    _telemetry("scrape_size_bytes", "Scrape size, not encoded", lambda scrape, page: scrape.scrapes.bytes[page]),
)
