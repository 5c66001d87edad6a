"""Pages: the metrics at each path, sent in pieces. Source: prometheus_rabbitmq_core_metrics_collector.erl."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from leveret.api.metrics import clients, logins, node, own, queues, totals
from leveret.api.metrics.family import CLUSTER, LEVERET, RABBITMQ, Family, Group, Number, Things
from leveret.api.metrics.scrape import AGGREGATED, DETAILED, MEMORY, PER_OBJECT, Scrape
from leveret.api.metrics.text import head, line

CHUNK = 64 << 10  # characters of one piece

OBJECTS = (
    queues.COARSE,
    queues.QUEUE,
    queues.DELIVERY,
    queues.QUEUE_EXCHANGE,
    queues.EXCHANGE,
    totals.EXCHANGE_CONFIRMS,
    clients.CHANNEL,
    clients.CHANNEL_EXCHANGE,
    clients.CHANNEL_CONFIRMS,
    clients.CHANNEL_QUEUE,
    queues.CHANNEL_QUEUE_EXCHANGE,
    clients.CONNECTION_COARSE,
    clients.CONNECTION,
    queues.OWN,
)
BROKER = (node.CHURN_GROUP, node.COARSE, node.LIMITS, logins.ATTEMPTS)
WHOLE = (totals.COUNTS, totals.GLOBAL, totals.BY_TYPE, *totals.DEAD_LETTERS, totals.MESSAGE_SIZES)
OWN = (own.NODE, own.ALARM, own.COMMITS)
INFO = (node.BUILD, node.IDENTITY)
PAGES: dict[str, tuple[Group, ...]] = {
    AGGREGATED: (*BROKER, *OBJECTS, *WHOLE, *INFO, node.ALARMS, node.START, *OWN, *own.TELEMETRY),
    PER_OBJECT: (
        *BROKER,
        logins.BY_SOURCE,
        *OBJECTS,
        queues.INFO,
        *WHOLE,
        *INFO,
        node.ALARMS,
        node.START,
        *OWN,
        *own.TELEMETRY,
    ),
    MEMORY: (node.MEMORY_BREAKDOWN, *INFO, *own.TELEMETRY),
    DETAILED: (*INFO, *own.TELEMETRY),
}
CHOICE = (
    *BROKER,
    logins.BY_SOURCE,
    *OBJECTS,
    queues.CONSUMER_COUNT,
    queues.EXCHANGE_NAMES,
    queues.EXCHANGE_BINDINGS,
    queues.VHOST_STATUS,
    *OWN,
)
"""The groups that /metrics/detailed shows on request, under names that no other page uses."""
WITH_INFO = {"queue_coarse_metrics", "queue_consumer_count", "queue_metrics"}
DETAILED_PREFIX = {RABBITMQ: f"{RABBITMQ}detailed_", LEVERET: f"{LEVERET}detailed_", CLUSTER: CLUSTER}


def groups_of(scrape: Scrape) -> list[tuple[str, Group, tuple[Family, ...]]]:
    """The contents of a scrape: prefix, group, and its metrics that no earlier group has."""
    found: list[tuple[str, Group]] = []
    if scrape.page == DETAILED:
        chosen = [group for group in CHOICE if group.name in scrape.families]
        if not WITH_INFO.isdisjoint(scrape.families):
            chosen.append(queues.INFO)
        found += [(DETAILED_PREFIX[group.prefix], group) for group in chosen]
    found += [(group.prefix, group) for group in PAGES[scrape.page]]
    shown: set[str] = set()
    result = []
    for prefix, group in found:
        families = tuple(family for family in group.families if f"{prefix}{family.name}" not in shown)
        shown.update(f"{prefix}{family.name}" for family in families)
        if families:
            result.append((prefix, group, families))
    return result


class Text:
    """A buffer of text to send. size: in characters."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.size = 0

    def add(self, text: str) -> None:
        """Append text."""
        self._parts.append(text)
        self.size += len(text)

    def take(self) -> bytes:
        """Return the buffered text as UTF-8, and clear the buffer."""
        found = "".join(self._parts).encode()
        self._parts.clear()
        self.size = 0
        return found


async def pieces(scrape: Scrape) -> AsyncIterator[bytes]:
    """A page in pieces of bounded size."""
    began_s = time.perf_counter()
    sent = 0
    text = Text()
    for prefix, group, families in groups_of(scrape):
        async with scrape.turns:
            things = await group.things(scrape)
            values = await _sums(scrape, group, families, things) if _is_summed(scrape, group) else []
        for at, family in enumerate(families):
            name = f"{prefix}{family.name}"
            text.add(head(name, family.kind, family.help))
            if _is_summed(scrape, group):
                value = values[at]
                if value is not None:
                    text.add(line(name, "", value))
                continue
            place = 0
            while place < len(things):
                async with scrape.turns:
                    place = await _lines(scrape, text, name, group, family, things, place)
                if text.size >= CHUNK:
                    piece = text.take()
                    sent += len(piece)
                    yield piece
    piece = text.take()
    scrape.scrapes.note(scrape.page, time.perf_counter() - began_s, sent + len(piece))
    yield piece


def _is_summed(scrape: Scrape, group: Group) -> bool:
    return scrape.is_aggregated and group.is_summed


async def _sums(scrape: Scrape, group: Group, families: tuple[Family, ...], things: Things) -> list[Number | None]:
    """The sum of each metric over all objects; None for metrics that are not summed."""
    found: list[Number | None] = [0 if family.is_summed else None for family in families]
    summed = [(at, family.read) for at, family in enumerate(families) if family.is_summed]
    for thing in things:
        seen = group.view(thing)
        if seen is not None:
            for at, read in summed:
                found[at] = (found[at] or 0) + (read(seen) or 0)
        await scrape.turns.rest()
    return found


async def _lines(
    scrape: Scrape, text: Text, name: str, group: Group, family: Family, things: Things, place: int
) -> int:
    """Append samples of one metric until the buffer is full. Returns: the number of objects done so far."""
    read, tail, view = family.read, group.tail, group.view
    while place < len(things) and text.size < CHUNK:
        thing = things[place]
        place += 1
        seen = view(thing)
        value = None if seen is None else read(seen)
        if value is not None:
            text.add(line(name, tail(thing), value))
        await scrape.turns.rest()
    return place
