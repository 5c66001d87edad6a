"""Shards: what a node of a cluster does when shards come and go, and when other nodes change definitions.

Without IO: a queue of a shard of another node is lost here. When the node gains the shard, its messages come in
batches, and once the last one and the definitions up to then are there, its queues are renewed and serve. When it hands
the shard over, its queues are lost, and the log passes it on behind everything that it has still to write for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from leveret.store.shards import shard_of_queue

if TYPE_CHECKING:
    from leveret.cluster.feed import News
    from leveret.cluster.loader import Batch
    from leveret.core.broker import Broker
    from leveret.core.message.log import Recovered, Resting
    from leveret.store.chunk_log import ChunkLog


class Shards:
    """The shards of one node. All calls are in the core's thread; the caller gives the broker its turn afterwards.

    load: begins to load shards; was_clean says whether their last owner has given them up properly.
    """

    def __init__(self, broker: Broker, log: ChunkLog, count: int, load: Callable[[list[int], bool], None]) -> None:
        self._broker = broker
        self._log = log
        self._count = count
        self._load = load
        self._loading: set[int] = set()
        self._found: dict[int, list[Recovered | Resting]] = {}  # by queue id
        self._ready: list[Batch] = []  # the last ones of shards that wait for definitions
        self._revision = 0

    def begin(self, revision: int) -> None:
        """The node knows the definitions up to this revision."""
        self._revision = revision

    def gained(self, shards: list[tuple[int, bool]]) -> None:
        """These shards belong to this node from now on: number, and whether the last owner has left properly."""
        for was_clean in (True, False):
            wanted = [shard for shard, clean in shards if clean == was_clean]
            if wanted:
                self._log.gain(wanted)
                self._loading.update(wanted)
                self._load(wanted, was_clean)

    def loaded(self, batch: Batch) -> None:
        """A part of the content of shards has arrived."""
        for found in self._log.absorb(batch.found, batch.marks, batch.was_clean):
            self._found.setdefault(found.queue_id, []).append(found)
        if batch.is_last:
            self._ready.append(batch)
            self._serve()

    def change(self, news: News) -> None:
        """Definitions have changed."""
        sharing = self._broker.sharing
        assert sharing is not None
        for kind, key, value in news.changes:
            sharing.apply(kind, key, value)
        self._revision = news.revision
        self._serve()

    def hand_over(self, wanted: dict[int, int]) -> None:
        """Give shards to other nodes: by shard, the id of the node. Those that are still being loaded stay."""
        by_node: dict[int, list[int]] = {}
        for shard, node in wanted.items():
            if shard not in self._loading:
                by_node.setdefault(node, []).append(shard)
        for node, shards in by_node.items():
            self._broker.lose(self._queues(set(shards)), "another node has it")
            self._log.release(shards, node)

    def _serve(self) -> None:
        """Renew the queues of shards whose content and definitions are all there."""
        waiting: list[Batch] = []
        for batch in self._ready:
            if batch.revision > self._revision:
                waiting.append(batch)
                continue
            shards = set(batch.shards)
            self._loading -= shards
            self._log.absorbed(batch.shards)
            queues = self._queues(shards)
            found = {queue: self._found.pop(queue, []) for queue in queues}
            self._broker.renew(found)
            for queue_id in [each for each in self._found if self._shard(each) in shards]:
                del self._found[queue_id]
                self._log.drop(queue_id)  # its queue was deleted, or it was transient
        self._ready = waiting

    def _queues(self, shards: set[int]) -> list[int]:
        """The ids of all queues in shards."""
        return [each for each in self._broker.logged if self._shard(each) in shards]

    def _shard(self, queue_id: int) -> int:
        return int(shard_of_queue(queue_id, self._count))
