"""Commit: one group of changes as one SQL statement, with the fence that lets only the owner write.

Everything is one statement: in a transaction of several, a node that is stopped between two of them would keep its row
locked, and no other node could take over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, LiteralString

from leveret.store.chunk import Counts, Place, pack
from leveret.store.group import Definition, Group
from leveret.store.rows import pack_counts, pack_places
from leveret.store.shards import chunk_number, shard_of_chunk

FENCE: Final = "fence AS (SELECT 1 FROM nodes WHERE id = %b::bigint AND alive AND session = %b::bigint FOR SHARE)"
KEYS: Final = "%b::int[], %b::bigint[]"
"""Shards and numbers of chunks."""

DEFINE: Final = (
    "changed AS (UPDATE revision SET value = value + %b::bigint FROM fence RETURNING value - %b::bigint AS before)",
    "defined AS (INSERT INTO definitions (kind, key, value, revision, place) "
    "SELECT d.kind, d.key, d.value, changed.before + d.number, changed.before + d.number FROM changed, "
    "unnest(%b::text[], %b::bytea[], %b::bytea[]) WITH ORDINALITY d(kind, key, value, number) "
    "ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, revision = excluded.revision, "
    "place = CASE WHEN definitions.value IS NULL THEN excluded.place ELSE definitions.place END)",
)
"""An existing definition keeps its place: others that were made after it may need it."""

WRITE: Final = (
    f"written AS (INSERT INTO chunks (shard, id, head, data) "
    f"SELECT c.* FROM fence, unnest({KEYS}, %b::bytea[], %b::bytea[]) c)"
)
REMOVE: Final = (
    f"removed AS (INSERT INTO gone (shard, chunk, seq, places) "
    f"SELECT g.shard, g.chunk, %b::bigint, g.places FROM fence, unnest({KEYS}, %b::bytea[]) g(shard, chunk, places))"
)
COUNT: Final = (
    f"counted AS (INSERT INTO counts (shard, chunk, places) SELECT c.* FROM fence, unnest({KEYS}, %b::bytea[]) c "
    "ON CONFLICT (shard, chunk) DO UPDATE SET places = excluded.places)"
)
SET_ASIDE: Final = (
    f"kept AS (INSERT INTO aside (shard, chunk, reason, since, is_spent) "
    f"SELECT a.shard, a.chunk, a.reason, now(), a.is_spent FROM fence, "
    f"unnest({KEYS}, %b::text[], %b::bool[]) a(shard, chunk, reason, is_spent) "
    "ON CONFLICT (shard, chunk) DO UPDATE SET is_spent = excluded.is_spent OR aside.is_spent)"
)
REWRITE: Final = (
    f"rewritten AS (UPDATE chunks SET head = r.head, data = r.data "
    f"FROM fence, unnest({KEYS}, %b::bytea[], %b::bytea[]) r(shard, id, head, data) "
    "WHERE chunks.shard = r.shard AND chunks.id = r.id)"
)


def _delete(name: LiteralString, table: LiteralString, column: LiteralString) -> LiteralString:
    return (
        f"{name} AS (DELETE FROM {table} USING fence, unnest({KEYS}) e(shard, id) "
        f"WHERE {table}.shard = e.shard AND {table}.{column} = e.id)"
    )


EMPTY: Final = _delete("emptied", "chunks", "id")
FORGET: Final = (_delete("forgotten", "gone", "chunk"), _delete("uncounted", "counts", "chunk"))


class Commit:
    """A group as a statement.

    number: of the commit, unique in the cluster. counts: all counts of the chunks in group.counts.
    rewritten: head and data of the chunks in group.sparse that exist, without what is gone.
    aside: the chunks that are set aside, which are never deleted.
    written: new chunks. removed: chunks with removals in this commit. bytes: of the new chunks.
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
        self.bytes = 0
        self._parts: list[LiteralString] = []
        self._values: list[object] = []
        self._define(group.definitions)
        written = [(chunk_id, *pack(entries)) for chunk_id, entries in group.written]
        self.bytes = sum(len(head) + len(data) for _, head, data in written)
        self._add(WRITE, [each[0] for each in written], [each[1] for each in written], [each[2] for each in written])
        gone = {chunk: pack_places(places) for chunk, places in group.gone.items() if chunk not in rewritten}
        self._add(REMOVE, list(gone), list(gone.values()), number=number)
        counted = {chunk: pack_counts(counts[chunk]) for chunk in group.counts if chunk not in rewritten}
        self._add(COUNT, list(counted), list(counted.values()))
        spent = aside.intersection(group.emptied)
        kept = dict.fromkeys(spent, "") | group.aside
        reasons = [_text(reason) for reason in kept.values()]
        self._add(SET_ASIDE, list(kept), reasons, [chunk in spent for chunk in kept])
        self._add(REWRITE, list(rewritten), *([each[at] for each in rewritten.values()] for at in (0, 1)))
        emptied = [chunk for chunk in group.emptied if chunk not in spent]
        self._add(EMPTY, emptied)
        for part in FORGET:
            self._add(part, emptied + list(spent) + list(rewritten))
        self.written = [each[0] for each in written]
        self.removed = list(gone)

    def statement(self, node: int, session: int) -> tuple[LiteralString, Sequence[object]]:
        """The statement and its values. It returns whether the fence held: 1, or 0 and nothing is written."""
        parts: LiteralString = ", ".join([FENCE, *self._parts])
        return f"WITH {parts} SELECT count(*) FROM fence", [node, session, *self._values]

    def _define(self, definitions: list[Definition]) -> None:
        last = {(kind, key): value for kind, key, value, _ in definitions}  # a row can be changed once in a statement
        if last:
            self._parts += DEFINE
            kinds, keys = [kind for kind, _ in last], [encode_key(key) for _, key in last]
            self._values += [len(last), len(last), kinds, keys, list(last.values())]

    def _add(self, part: LiteralString, chunks: list[int], *columns: list[Any], number: int | None = None) -> None:
        if chunks:
            self._parts.append(part)
            self._values += [] if number is None else [number]
            self._values += [*split(chunks), *columns]


def split(chunks: list[int]) -> tuple[list[int], list[int]]:
    """Shards and numbers of chunks, as their rows have them."""
    return [int(shard_of_chunk(chunk)) for chunk in chunks], [int(chunk_number(chunk)) for chunk in chunks]


def encode_key(key: str) -> bytes:
    """A key as its row has it: names may be any bytes, which a text of PostgreSQL may not."""
    return key.encode("utf-8", "surrogateescape")


def decode_key(key: bytes) -> str:
    """The key of a row. Bytes that are not UTF-8 become surrogates, as in names."""
    return key.decode("utf-8", "surrogateescape")


def add_counts(counts: Counts, places: list[Place]) -> None:
    """Add new counts to those of a chunk."""
    for place in places:
        key = int(place.queue_id), int(place.position)
        counts[key] = max(counts.get(key, 0), int(place.counts))


def _text(reason: str) -> str:
    return reason.replace("\0", " ").encode("utf-8", "replace").decode()
