"""Nodes of a cluster that share the shards of one data directory, as they would share a database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

from leveret.core.message.log import Recovered, Resting
from leveret.store.chunk_log import ChunkLog
from leveret.store.chunk_store import ChunkStore, Found, WriteError
from leveret.store.database import Database
from leveret.store.group import Definition, Group
from leveret.store.reader import Reader
from leveret.store.shards import shard_of_chunk, shard_of_queue
from tests.store.test_logs import PATIENCE_S, Heard

SHARDS = 256


class Shared:
    """The directory. owners: the node of each shard. marks: of shards that were left. clean: shards that were left
    properly.
    """

    def __init__(self, directory: Path) -> None:
        self.database = Database(directory)
        self.lock = threading.Lock()
        self.directory = directory
        self.owners: dict[int, int] = {}
        self.marks: dict[int, int] = {}
        self.clean: set[int] = set(range(SHARDS))

    def take(self, node: int, shards: list[int]) -> bool:
        """Give shards to a node. Returns: whether their last owner has left them properly."""
        with self.lock:
            was_clean = self.clean.issuperset(shards)
            self.owners.update(dict.fromkeys(shards, node))
            self.clean.difference_update(shards)
            return was_clean

    def found(self, shards: list[int]) -> list[Found]:
        """The chunks of some shards."""
        with self.lock:
            return [each for each in self.database.chunks() if int(shard_of_chunk(each.chunk_id)) in shards]

    def marks_of(self, shards: list[int]) -> dict[int, int]:
        """The highest delivered position of each queue of some shards."""
        return {queue_id: mark for queue_id, mark in self.marks.items() if shard(queue_id) in shards}

    def define(self, definitions: list[Definition]) -> tuple[list[Definition], list[tuple[str, str, bytes]]]:
        """What is written of definitions, and those that exist though they were to be created."""
        found = {(kind, key): value for kind, key, value in self.database.definitions()}
        conflicts = [
            (kind, key, found[kind, key]) for kind, key, _, is_new in definitions if is_new and (kind, key) in found
        ]
        lost = {(kind, key) for kind, key, _ in conflicts}
        return [each for each in definitions if each[:2] not in lost], conflicts


class SharedStore(ChunkStore):
    """What one node sees of it. refuses: the number of writes that fail."""

    def __init__(self, shared: Shared, node: int, shards: list[int]) -> None:
        super().__init__("the shared directory", SHARDS)
        self.shared = shared
        self.node = node
        self.refuses = 0
        self.was_clean = shared.take(node, shards)
        self.transient_shard = SHARDS + node
        self.owned = set(shards)

    def definitions(self) -> list[tuple[str, str, bytes]]:
        """All of them."""
        return self.shared.database.definitions()

    def chunks(self) -> Iterator[Found]:
        """Those of this node."""
        return iter(self.shared.found(self._shards()))

    def aside(self) -> int:
        """All of them."""
        return self.shared.database.aside()

    def delivered(self) -> dict[int, int]:
        """Of this node's queues."""
        return self.shared.marks_of(self._shards())

    def _shards(self) -> list[int]:
        return sorted(range(SHARDS) if self.owned is None else self.owned)

    def write(self, group: Group) -> None:
        """Write what belongs to this node, and nothing else."""
        with self.shared.lock:
            if self.refuses:
                self.refuses -= 1
                raise WriteError("this write fails")
            owners = self.shared.owners
            changed = [chunk_id for chunk_id, _ in group.written]
            for chunks in (group.gone, group.counts, group.emptied, group.sparse, group.aside):
                changed += chunks
            for chunk_id in changed:
                found = int(shard_of_chunk(chunk_id))
                assert found == self.transient_shard or owners[found] == self.node, "another node has this chunk"
            definitions = group.definitions
            group.definitions, group.conflicts = self.shared.define(definitions)
            self.shared.database.write(group)
            group.definitions = definitions
            for moved, node in group.moves:
                assert owners[moved] == self.node
                owners[moved] = node
                self.shared.clean.add(moved)
                self._leave(group.marks, {moved})

    def _leave(self, marks: dict[int, int], shards: set[int]) -> None:
        for queue_id in list(self.shared.marks_of(sorted(shards))):
            del self.shared.marks[queue_id]
        self.shared.marks.update({each: mark for each, mark in marks.items() if shard(each) in shards})

    def reader(self, notify: Callable[[], None]) -> Reader:
        """Reads the file."""
        return Reader(self.shared.directory / "leveret.db")

    def close(self, delivered: dict[int, int] | None = None) -> None:
        """Leave all shards that this node has."""
        with self.shared.lock:
            left = {each for each, node in self.shared.owners.items() if node == self.node} - self.unread
            if delivered is not None:
                assert not [queue_id for queue_id in delivered if shard(queue_id) not in left]
                self._leave(delivered, left)
                self.shared.clean |= left


class Node:
    """A node, and what its log has told. number: its id. shards: that it has at its start."""

    def __init__(self, shared: Shared, number: int, shards: list[int] | None = None) -> None:
        self.shared = shared
        self.number = number
        self.heard = Heard()
        self._done: SimpleQueue[None] = SimpleQueue()
        self.store = SharedStore(shared, number, list(shards or ()))
        self.log = ChunkLog(self.store, lambda: self._done.put(None), 0)
        self.log.listener = self.heard
        self.found = list(self.log.recover())

    def flush(self) -> None:
        """Write, and tell the news."""
        self.log.flush()
        self.wait()

    def wait(self) -> None:
        """Wait until a group is written, and tell the news."""
        self._done.get(timeout=PATIENCE_S)
        self.log.on_committed()

    def gain(self, shards: list[int], batch: int = 1000) -> list[Resting]:
        """Take shards over while the log is in use. batch: number of chunks that are absorbed at once."""
        was_clean = self.shared.take(self.number, shards)
        self.log.gain(shards)
        found: list[Resting] = []
        chunks, marks = self.shared.found(shards), self.shared.marks_of(shards)
        for at in range(0, len(chunks), batch):
            found += absorbed(self.log, chunks[at : at + batch], marks, was_clean)
        self.log.absorbed(shards)
        return found

    def messages(self, found: list[Resting]) -> list[tuple[int, int, bytes, bool]]:
        """What was found, by queue; queue, position, body, redelivered."""
        read: list[Recovered] = []
        for each in found:
            read += self.log.fetch(each.queue_id, each.positions())
        bodies = [(r.queue_id, r.position, r.message.body(), r.redelivered) for r in read]
        return sorted(bodies, key=lambda entry: entry[0])

    def vanish(self) -> None:
        """End as a killed process does."""
        self.log._reader.close()


def absorbed(log: ChunkLog, found: list[Found], marks: dict[int, int], was_clean: bool) -> list[Resting]:
    """What a log gives of chunks that it absorbs, which is all paged out."""
    taken: list[Resting] = []
    for each in log.absorb(found, marks, was_clean):
        assert isinstance(each, Resting)
        taken.append(each)
    return taken


def shard(queue_id: int) -> int:
    """The shard of a queue."""
    return int(shard_of_queue(queue_id, SHARDS))
