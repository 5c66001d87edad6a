"""Pages: what each address shows, piece by piece. Source: prometheus_rabbitmq_core_metrics_collector.erl."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from leveret.api.metrics import clients, logins, node, own, queues, totals
from leveret.api.metrics.family import CLUSTER, LEVERET, RABBITMQ, Family, Group, Number, Things
from leveret.api.metrics.scrape import AGGREGATED, DETAILED, MEMORY, PER_OBJECT, Scrape
from leveret.api.metrics.text import head, line

CHUNK = 64 << 10  # characters that are sent at once

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
"""What /metrics/detailed shows when it is asked for: each under names that no other page has."""
WITH_INFO = {"queue_coarse_metrics", "queue_consumer_count", "queue_metrics"}
DETAILED_PREFIX = {RABBITMQ: f"{RABBITMQ}detailed_", LEVERET: f"{LEVERET}detailed_", CLUSTER: CLUSTER}


def groups_of(scrape: Scrape) -> list[tuple[str, Group, tuple[Family, ...]]]:
    """What a scrape shows: prefixes of names, groups, and those of their metrics that were not shown before."""
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
    """Text that is to be sent. size: characters that wait."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.size = 0

    def add(self, text: str) -> None:
        """More of it."""
        self._parts.append(text)
        self.size += len(text)

    def take(self) -> bytes:
        """What waits."""
        found = "".join(self._parts).encode()
        self._parts.clear()
        self.size = 0
        return found


async def pieces(scrape: Scrape) -> AsyncIterator[bytes]:
    """A page, in pieces of bounded size."""
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
    """One number for each metric, over all things; None where there is nothing to add up."""
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
    """Samples of one metric, until there is enough to be sent. Returns: how many things were looked at by then."""
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
