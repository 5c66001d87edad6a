"""Shards: what a node of a cluster does when shards come and go, and when other nodes change definitions.

Without IO: a queue of a shard of another node is lost here. When the node gains the shard, its messages come in
batches, and once the last one and the definitions up to then are there, its queues are renewed and serve. When it hands
the shard over, its queues are lost, and the log passes it on behind everything that it has still to write for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from leveret.core.counting.shards import ShardCounters
from leveret.core.queue.ownership import Ownership
from leveret.core.shared.definitions import share
from leveret.core.shared.renewal import Renewals
from leveret.core.vhost import ELSEWHERE
from leveret.store.shards import shard_of_queue

if TYPE_CHECKING:
    from leveret.cluster.feed import News
    from leveret.cluster.loader import Batch
    from leveret.core.broker import Broker
    from leveret.core.message.log import Recovered, Resting
    from leveret.store.chunk_log import ChunkLog


class Shards(Ownership):
    """The shards of one node, whose broker has not recovered yet.

    All calls are in the core's thread; the caller gives the broker its turn afterwards.
    count: of all shards. load: begins to load shards; was_clean says whether their last owner has left properly.
    owner: the name of the node that owns a shard, empty if there is none.
    """

    def __init__(
        self,
        broker: Broker,
        log: ChunkLog,
        count: int,
        load: Callable[[list[int], bool], None],
        owner: Callable[[int], str],
    ) -> None:
        self._counters = ShardCounters()
        super().__init__(self._counters)
        self._broker = broker
        self._log = log
        self._count = count
        self._load = load
        self._owner = owner
        self._definitions = share(broker)
        self._renewals = Renewals(broker)
        self._loading: set[int] = set()
        self._found: dict[int, list[Recovered | Resting]] = {}  # by queue id
        self._ready: list[Batch] = []  # the last ones of shards, whose definitions may not be there yet
        self._demanded: dict[int, int] = {}  # nodes that shall get shards which are being loaded
        self._revision = 0
        broker.ownership = self

    def owns(self, queue_id: int) -> bool:
        """See Ownership."""
        return self._log.owns(queue_id) and self._shard(queue_id) not in self._loading

    def home(self, queue_id: int) -> str:
        """See Ownership. Named as a node names itself."""
        name = self._owner(self._shard(queue_id))
        return f"leveret@{name}" if name else ""

    def begin(self, revision: int) -> None:
        """The broker has recovered the definitions up to this revision, and all messages of the first shards."""
        self._revision = revision
        self._counters.owned = self._counters.gained = len(self._log.shards())

    def gained(self, shards: list[tuple[int, bool]]) -> None:
        """These shards belong to this node from now on: number, and whether the last owner has left properly."""
        for was_clean in (True, False):
            wanted = [shard for shard, clean in shards if clean == was_clean]
            if wanted:
                self._log.gain(wanted)
                self._loading.update(wanted)
                self._load(wanted, was_clean)
                self._counters.gained += len(wanted)
        self._count_shards()

    def loaded(self, batch: Batch) -> None:
        """A part of the content of shards has arrived."""
        for found in self._log.absorb(batch.found, batch.marks, batch.was_clean):
            self._found.setdefault(found.queue_id, []).append(found)
        if batch.is_last:
            self._ready.append(batch)
            self._serve()

    def change(self, news: News) -> None:
        """Definitions have changed, here or on other nodes."""
        if news.is_complete:
            self._definitions.limit({(kind, key) for kind, key, _ in news.changes})
        for kind, key, value in news.changes:
            self._definitions.apply(kind, key, value)
        if news.durable is not None:
            self._definitions.caught_up(news.durable)
        self._revision = news.revision
        self._serve()

    def hand_over(self, wanted: dict[int, int]) -> None:
        """Give shards to other nodes: by shard, the id of the node. Those that are being loaded follow later."""
        by_node: dict[int, list[int]] = {}
        for shard, node in wanted.items():
            if shard in self._loading:
                self._demanded[shard] = node
            else:
                by_node.setdefault(node, []).append(shard)
        for node, shards in by_node.items():
            self._renewals.lose(self._queues(set(shards)), ELSEWHERE)
            self._log.release(shards, node)
            self._counters.handed_over += len(shards)
        self._count_shards()

    def _serve(self) -> None:
        """Renew the queues of shards whose content and definitions are all there."""
        ready = [batch for batch in self._ready if batch.revision <= self._revision]
        self._ready = [batch for batch in self._ready if batch.revision > self._revision]
        for batch in ready:
            shards = set(batch.shards)
            self._loading -= shards
            self._log.absorbed(batch.shards)
            queues = self._queues(shards)
            self._renewals.renew(queues)
            for queue_id in [each for each in self._found if self._shard(each) in shards]:
                if self._renewals.take(self._found.pop(queue_id)):
                    self._log.drop(queue_id)  # the queue was deleted, or its messages were transient
            self._renewals.serve(queues)
            self.hand_over({shard: self._demanded.pop(shard) for shard in batch.shards if shard in self._demanded})
        self._count_shards()

    def _count_shards(self) -> None:
        self._counters.owned = len(self._log.shards())
        self._counters.loading = len(self._loading)

    def _queues(self, shards: set[int]) -> list[int]:
        """The ids of all queues in shards."""
        return [each for each in self._broker.logged if self._shard(each) in shards]

    def _shard(self, queue_id: int) -> int:
        return int(shard_of_queue(queue_id, self._count))
