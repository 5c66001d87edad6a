"""Clustering: a node among others on one database: its membership, and the threads that bring shards and definitions.

What they tell goes to the core's thread, one piece in each turn of the event loop, so that no client waits long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from leveret.cluster.feed import Feed
from leveret.cluster.joining import Joined
from leveret.cluster.loader import Loader
from leveret.cluster.membership import Listener
from leveret.cluster.schema import SHARDS
from leveret.core.broker import Broker
from leveret.node.shards import Shards
from leveret.server.driver import Driver
from leveret.store.chunk_log import ChunkLog


class Clustering(Listener):
    """The part of a node that shares queues and definitions with other nodes. Its broker has not recovered yet."""

    def __init__(self, joined: Joined, stored: ChunkLog, broker: Broker, driver: Driver) -> None:
        self._loop = asyncio.get_running_loop()
        self._joined = joined
        self._broker = broker
        self._driver = driver
        self._shards = Shards(broker, stored, SHARDS, self._load, joined.member.owner)
        self._feed: Feed | None = None
        name, store = joined.member.name, joined.store
        self._loader = Loader(joined.connect, f"{name} loads", store.admit, self._on_batch)

    def begin(self) -> None:
        """The broker has recovered: take part from now on."""
        revision = self._joined.store.revision
        self._shards.begin(revision)
        purpose = f"{self._joined.member.name} follows"
        self._feed = Feed(self._joined.connect, purpose, revision, self._durable, self._on_news)
        self._feed.begin()
        self._joined.member.begin(self)

    def close(self) -> None:
        """End the threads, but not the membership, which ends with the store."""
        self._loader.close()
        if self._feed is not None:
            self._feed.close()

    # -- in other threads

    def on_gained(self, shards: list[tuple[int, bool]]) -> None:
        """See Listener."""
        self._loop.call_soon_threadsafe(self._gained, shards)

    def on_hand_over(self, shards: dict[int, int]) -> None:
        """See Listener."""
        self._loop.call_soon_threadsafe(self._hand_over, shards)

    def _on_batch(self) -> None:
        self._loop.call_soon_threadsafe(self._loaded)

    def _on_news(self) -> None:
        self._loop.call_soon_threadsafe(self._changed)

    def _durable(self) -> int:
        return self._broker.durable_revision

    # -- in the core's thread

    def _load(self, shards: list[int], was_clean: bool) -> None:
        self._loader.load(shards, was_clean)

    def _gained(self, shards: list[tuple[int, bool]]) -> None:
        self._turn("take shards", lambda: self._shards.gained(shards))

    def _hand_over(self, shards: dict[int, int]) -> None:
        self._turn("hand shards over", lambda: self._shards.hand_over(shards))

    def _loaded(self) -> None:
        batch = self._loader.take()
        if batch is not None:
            self._turn("take messages of shards", lambda: self._shards.loaded(batch))

    def _changed(self) -> None:
        news = None if self._feed is None else self._feed.take()
        if news is not None:
            self._turn("apply definitions", lambda: self._shards.change(news))

    def _turn(self, doing: str, step: Callable[[], None]) -> None:
        """Take a step, then give the broker its turn. A failure is reported; the node goes on."""
        self._driver.refresh_clock()
        try:
            step()
        except Exception as error:
            self._broker.faults.own(doing, error)
        self._driver.turn()
