"""Heads: what the database has of some shards: the heads of their chunks, without the messages themselves."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final, LiteralString

from leveret.cluster.database import Connection
from leveret.store.chunk import ANYWHERE, Counts, DamagedChunk, Head, parse
from leveret.store.chunk_store import Found
from leveret.store.rows import unpack_counts, unpack_places
from leveret.store.shards import SHARD_BIT

STEP: Final = 100  # heads of chunks that are read at once: some MB

ASIDE: Final = "SELECT shard, chunk, is_spent FROM aside WHERE shard = ANY (%b::int[])"
GONE: Final = "SELECT shard, chunk, places FROM gone WHERE shard = ANY (%b::int[])"
COUNTS: Final = "SELECT shard, chunk, places FROM counts WHERE shard = ANY (%b::int[])"
MARKS: Final = "SELECT queue, position FROM delivered WHERE shard = ANY (%b::int[])"
REVISION: Final = "SELECT value FROM revision"
COUNT: Final = "SELECT count(*) FROM chunks WHERE shard = ANY (%b::int[])"
CHUNKS: Final = (
    "SELECT shard, id, head FROM chunks WHERE shard = ANY (%b::int[]) AND (shard, id) > (%b::int, %b::bigint) "
    f"ORDER BY shard, id LIMIT {STEP}"
)

log = logging.getLogger("leveret.cluster")

Gone = dict[int, set[tuple[int, int]]]  # queue ids and positions by chunk
Row = tuple[object, ...]


class Heads:
    """Reads some shards, which belong to this node: nobody else changes them. Raises: psycopg.Error.

    aside: chunks that are set aside. noted: chunks with delivery counts. count: how many chunks there are.
    marks: the highest delivered position by queue. revision: of the last definition that others may have made before
    these shards were read; their queues are among them.
    """

    def __init__(self, connection: Connection, shards: list[int]) -> None:
        self._connection = connection
        self._shards = shards
        self.revision = as_int(self._connection.execute(REVISION).fetchall()[0][0])
        self._spent: set[int] = set()
        self.aside: set[int] = set()
        for shard, number, is_spent in self._rows(ASIDE):
            self.aside.add(chunk_of(shard, number))
            if is_spent:
                self._spent.add(chunk_of(shard, number))
        self._gone = self._read_gone()
        self._counts = {chunk_of(shard, number): counts_of(places) for shard, number, places in self._rows(COUNTS)}
        self.noted = set(self._counts)
        self.count = as_int(self._rows(COUNT)[0][0])
        self.marks = {as_int(queue): as_int(position) for queue, position in self._rows(MARKS)}

    def found(self, last: int = -1) -> Iterator[list[Found]]:
        """The chunks in order, some at a time. last: the id of the last one that is known already.

        Raises: psycopg.Error.
        """
        while rows := self._rows(CHUNKS, last >> SHARD_BIT, last & ((1 << SHARD_BIT) - 1)):
            found = [self._found(chunk_of(shard, number), as_bytes(head)) for shard, number, head in rows]
            yield found
            last = found[-1].chunk_id

    def _found(self, chunk: int, encoded: bytes) -> Found:
        try:
            head: Head = Head() if chunk in self._spent else parse(encoded)
        except DamagedChunk as damage:
            return Found(chunk, Head(), str(damage))
        head.add_counts(self._counts.get(chunk, {}))
        everywhere = chunk >> SHARD_BIT << SHARD_BIT | ANYWHERE
        head.cross_out(self._gone.get(chunk, set()) | self._gone.get(everywhere, set()))
        return Found(chunk, head)

    def _read_gone(self) -> Gone:
        found: Gone = {}
        for shard, number, places in self._rows(GONE):
            try:
                found.setdefault(chunk_of(shard, number), set()).update(unpack_places(as_bytes(places)))
            except DamagedChunk as damage:
                text = "the removals from chunk %s of shard %s cannot be read, so removed messages come back: %s"
                log.error(text, number, shard, damage)
        return found

    def _rows(self, query: LiteralString, *values: object) -> list[Row]:
        return self._connection.cursor(binary=True).execute(query, (self._shards, *values)).fetchall()


def chunk_of(shard: object, number: object) -> int:
    """The id of a chunk."""
    return as_int(shard) << SHARD_BIT | as_int(number)


def as_int(value: object) -> int:
    """A number of a row."""
    assert isinstance(value, int)
    return value


def as_bytes(value: object) -> bytes:
    """Bytes of a row."""
    assert isinstance(value, bytes)
    return value


def counts_of(places: object) -> Counts:
    """The delivery counts in a row. Damaged ones are logged and forgotten."""
    try:
        return unpack_counts(as_bytes(places))
    except DamagedChunk as damage:
        log.error("delivery counts of messages cannot be read: %s", damage)
        return {}
