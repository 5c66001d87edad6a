"""Statement: a commit as one SQL statement, with the fence that lets only the owner write.

Everything is one statement: in a transaction of several, a node that is stopped between two of them would keep its row
locked, and no other node could take over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, LiteralString

from leveret.cluster.commit import Commit
from leveret.store.shards import chunk_number, shard_of_chunk

FENCE: Final = "fence AS (SELECT 1 FROM nodes WHERE id = %b::bigint AND alive AND session = %b::bigint FOR SHARE)"
KEYS: Final = "%b::int[], %b::bigint[]"
"""Shards and numbers of chunks."""

CHANGE: Final = (
    "changed AS (UPDATE revision SET value = value + %b::bigint FROM fence "
    "RETURNING value - %b::bigint AS before, revision.value AS after)"
)
"""Locks the counter, so that the changes of all nodes become visible in the order of their revisions."""

PUT: Final = (
    "INSERT INTO definitions (kind, key, value, revision, place) "
    "SELECT d.kind, d.key, d.value, changed.before + d.number, changed.before + d.number FROM changed, "
    "unnest(%b::text[], %b::bytea[], %b::bytea[], %b::bigint[]) d(kind, key, value, number) "
    "ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, revision = excluded.revision, "
    "place = CASE WHEN definitions.value IS NULL THEN excluded.place ELSE definitions.place END"
)
"""An existing definition keeps its place: others that were made after it may need it."""

DEFINE: Final = f"defined AS ({PUT})"
CREATE: Final = f"created AS ({PUT} WHERE definitions.value IS NULL RETURNING 1)"
NOTIFY: Final = "pg_notify('leveret', changed.after::text)"
"""The name of the channel on which nodes listen for new definitions."""

MOVE: Final = (
    "moved AS (UPDATE shards SET node = m.node, is_clean = true FROM fence, unnest(%b::int[], %b::bigint[]) m(s, node) "
    "WHERE shards.shard = m.s AND shards.node = %b::bigint)"
)
MARK: Final = (
    "marked AS (INSERT INTO delivered (shard, queue, position) "
    "SELECT m.* FROM fence, unnest(%b::int[], %b::bigint[], %b::bigint[]) m "
    "ON CONFLICT (shard, queue) DO UPDATE SET position = excluded.position)"
)

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


class Statement:
    """A commit as one statement: the query, and its values.

    It returns a row: 1 if the fence held, else 0 and nothing is written; and how many of commit.created were written.
    """

    def __init__(self, commit: Commit, node: int, session: int) -> None:
        self._parts: list[LiteralString] = [FENCE]
        self.values: list[object] = [node, session]
        self._define(commit)
        self._move(commit, node)
        self._add(WRITE, *_columns(commit.written, 3))
        self._add(REMOVE, *_columns(commit.removed.items(), 2), number=commit.number)
        self._add(COUNT, *_columns(commit.counted.items(), 2))
        self._add(SET_ASIDE, *_columns(commit.kept, 3))
        self._add(REWRITE, *_columns(commit.rewritten, 3))
        self._add(EMPTY, commit.emptied)
        for part in FORGET:
            self._add(part, commit.forgotten)
        created: LiteralString = "(SELECT count(*) FROM created)" if commit.created else "0"
        told: LiteralString = f"(SELECT {NOTIFY} FROM changed)" if commit.changed or commit.created else "NULL"
        parts: LiteralString = ", ".join(self._parts)
        self.query: LiteralString = f"WITH {parts} SELECT (SELECT count(*) FROM fence), {created}, {told}"

    def _define(self, commit: Commit) -> None:
        count = len(commit.changed) + len(commit.created)
        if not count:
            return
        self._parts.append(CHANGE)
        self.values += [count, count]
        first = 1
        for part, definitions in ((DEFINE, commit.changed), (CREATE, commit.created)):
            if definitions:
                self._parts.append(part)
                kinds, keys = [kind for kind, _ in definitions], [encode_key(key) for _, key in definitions]
                self.values += [kinds, keys, list(definitions.values()), list(range(first, first + len(definitions)))]
                first += len(definitions)

    def _move(self, commit: Commit, node: int) -> None:
        """Hand shards over, with the marks of what their queues have delivered."""
        if commit.moves:
            self._parts.append(MOVE)
            self.values += [*_columns(commit.moves, 2), node]
        if commit.marks:
            self._parts.append(MARK)
            self.values += _columns(commit.marks, 3)

    def _add(self, part: LiteralString, chunks: list[int], *columns: list[Any], number: int | None = None) -> None:
        if chunks:
            self._parts.append(part)
            self.values += [] if number is None else [number]
            self.values += [*split(chunks), *columns]


def _columns(rows: Iterable[tuple[Any, ...]], count: int) -> list[list[Any]]:
    """The columns of rows, as many if there are no rows."""
    found = list(rows)
    return [[row[at] for row in found] for at in range(count)]


def split(chunks: list[int]) -> tuple[list[int], list[int]]:
    """Shards and numbers of chunks, as their rows have them."""
    return [int(shard_of_chunk(chunk)) for chunk in chunks], [int(chunk_number(chunk)) for chunk in chunks]


def encode_key(key: str) -> bytes:
    """A key as its row has it: names may be any bytes, which a text of PostgreSQL may not."""
    return key.encode("utf-8", "surrogateescape")


def decode_key(key: bytes) -> str:
    """The key of a row. Bytes that are not UTF-8 become surrogates, as in names."""
    return key.decode("utf-8", "surrogateescape")
