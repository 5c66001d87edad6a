"""Commit: what a group changes in the tables of a cluster, as rows."""

from __future__ import annotations

from leveret.cluster.schema import SHARDS
from leveret.store.chunk import Counts, Place, pack
from leveret.store.group import Group
from leveret.store.rows import pack_counts, pack_places
from leveret.store.shards import shard_of_queue

Identity = tuple[str, str]  # kind and key of a definition


class Commit:
    """The rows of a group.

    number: of the commit, unique in the cluster. counts: all counts of the chunks in group.counts.
    rewritten: head and data of the chunks in group.sparse that exist, without what is gone.
    aside: the chunks that are set aside, which are never deleted.

    written: new chunks: id, head and data. removed: packed places by chunk. counted: packed counts by chunk.
    kept: chunks to set aside: id, reason, and whether nothing in them is needed any more. emptied: chunks to delete.
    forgotten: chunks whose removals and counts are no longer needed. bytes: of the new chunks.
    changed: definitions to write in any case. created: those to write only if nobody else has made them.
    moves: new owners by shard. marks: shard, queue and highest delivered position.
    is_contested: whether others may have made some of `created`.
    """

    def __init__(
        self,
        group: Group,
        number: int,
        counts: dict[int, Counts],
        rewritten: dict[int, tuple[bytes, bytes]],
        aside: set[int],
    ) -> None:
        self.number = number
        self.is_contested = False
        self.written = [(chunk_id, *pack(entries)) for chunk_id, entries in group.written]
        self.bytes = sum(len(head) + len(data) for _, head, data in self.written)
        self.removed = {chunk: pack_places(places) for chunk, places in group.gone.items() if chunk not in rewritten}
        self.counted = {chunk: pack_counts(counts[chunk]) for chunk in group.counts if chunk not in rewritten}
        spent = aside.intersection(group.emptied)
        kept = dict.fromkeys(spent, "") | group.aside
        self.kept = [(chunk, _text(reason), chunk in spent) for chunk, reason in kept.items()]
        self.rewritten = [(chunk, head, data) for chunk, (head, data) in rewritten.items()]
        self.emptied = [chunk for chunk in group.emptied if chunk not in spent]
        self.forgotten = [*self.emptied, *spent, *rewritten]
        self.changed: dict[Identity, bytes | None] = {}
        self.created: dict[Identity, bytes] = {}
        self._define(group.definitions)
        self.moves = group.moves
        self.marks = [(int(shard_of_queue(queue, SHARDS)), queue, last) for queue, last in group.marks.items()]

    def _define(self, definitions: list[tuple[str, str, bytes | None, bool]]) -> None:
        last: dict[Identity, bytes | None] = {}  # a row can be changed once in a statement
        new: dict[Identity, bool] = {}
        for kind, key, value, is_new in definitions:
            last[kind, key] = value
            new.setdefault((kind, key), is_new)
        for identity, value in last.items():
            if not new[identity]:
                self.changed[identity] = value
            elif value is not None:  # what is created and deleted again is neither
                self.created[identity] = value


def add_counts(counts: Counts, places: list[Place]) -> None:
    """Add new counts to those of a chunk."""
    for place in places:
        key = int(place.queue_id), int(place.position)
        counts[key] = max(counts.get(key, 0), int(place.counts))


def _text(reason: str) -> str:
    return reason.replace("\0", " ").encode("utf-8", "replace").decode()
