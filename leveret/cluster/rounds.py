"""PostgresRounds: what a round does to the rows, on a connection of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, LiteralString

import psycopg
from psycopg.errors import Diagnostic

from leveret.cluster.database import Connection
from leveret.cluster.ownership import Node, Rounds, Shard, View
from leveret.cluster.schema import OWN_SHARDS, SHARDS
from leveret.store.shards import shard_of_queue

LOCK_TIMEOUT: Final = "300ms"  # so that beats go on while something waits for a row that a dead node has locked

ENTER: Final = """
WITH last AS (SELECT coalesce(max(id), 0) AS id FROM nodes),
free AS (
    SELECT min(number) AS id FROM last, generate_series(last.id + 1, last.id + %(numbers)s) AS number
    WHERE NOT EXISTS (SELECT 1 FROM nodes WHERE alive AND nodes.id %% %(numbers)s = number %% %(numbers)s)
),
node AS (
    INSERT INTO nodes (id, name, address, session, alive)
    SELECT id, %(name)s, %(address)s, 1, true FROM free RETURNING id
) INSERT INTO beats (node, beat) SELECT id, 0 FROM node RETURNING node"""
"""No two nodes that live have the same shard for transient messages."""

BEAT: Final = "UPDATE beats SET beat = beat + 1 WHERE node = %s"

LOOK: Final = """
SELECT id, name, address, alive, is_draining, coalesce(beat, -1), NULL::bigint, NULL::boolean, NULL::int[]
FROM nodes LEFT JOIN beats ON beats.node = nodes.id
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, node, is_clean, array_agg(shard ORDER BY shard)
FROM shards GROUP BY node, is_clean"""

DECLARE_DEAD: Final = """
WITH beat AS (DELETE FROM beats WHERE node = %(node)s AND beat = %(beat)s RETURNING node)
UPDATE nodes SET alive = false
WHERE id = %(node)s AND alive AND (%(beat)s < 0 OR EXISTS (SELECT 1 FROM beat))"""

TAKE: Final = """
WITH free AS (
    SELECT shards.shard FROM shards
    JOIN unnest(%(shards)s::int[], %(owners)s::bigint[], %(clean)s::boolean[]) AS seen(shard, node, is_clean)
    ON shards.shard = seen.shard AND shards.node IS NOT DISTINCT FROM seen.node AND shards.is_clean = seen.is_clean
    WHERE EXISTS (SELECT 1 FROM nodes WHERE id = %(node)s AND alive)
    AND (shards.node = %(node)s OR NOT EXISTS (SELECT 1 FROM nodes WHERE id = shards.node AND alive))
    ORDER BY shards.shard FOR UPDATE OF shards
) UPDATE shards SET node = %(node)s, is_clean = is_clean AND %(keeps_clean)s FROM free
WHERE shards.shard = free.shard AND (SELECT count(*) FROM free) >= %(least)s RETURNING shards.shard"""
"""A row that changes while this waits for it is compared again. That it is as it was seen suffices then: a dead node
never lives again, and no id is given twice. FOR UPDATE locks in the same order everywhere.
"""

PRUNE: Final = """
DELETE FROM nodes
WHERE NOT alive AND id < %(node)s AND NOT EXISTS (SELECT 1 FROM shards WHERE shards.node = nodes.id)"""

FORGOTTEN: Final[tuple[LiteralString, ...]] = ("chunks", "gone", "counts", "aside")
FORGET: Final = """
DELETE FROM {0} WHERE shard >= %(shards)s AND NOT EXISTS (
    SELECT 1 FROM nodes WHERE alive AND {0}.shard = %(shards)s + nodes.id %% %(numbers)s
)"""
"""Transient messages of nodes that do not live any more."""

DIE: Final = """
WITH left_now AS (UPDATE nodes SET alive = false WHERE id = %(node)s AND alive RETURNING id),
beat AS (DELETE FROM beats USING left_now WHERE beats.node = left_now.id)"""

LEAVE: Final = f"""{DIE},
given AS (
    UPDATE shards SET node = NULL, is_clean = is_clean OR shard = ANY (%(clean)s::int[])
    FROM left_now WHERE node = left_now.id
) SELECT count(*) FROM left_now"""

LEAVE_WITH_MARKS: Final = f"""{DIE},
given AS (UPDATE shards SET node = NULL, is_clean = true FROM left_now WHERE node = left_now.id RETURNING shard),
marks AS (
    SELECT m.shard, m.queue, m.position
    FROM unnest(%(shards)s::int[], %(queues)s::bigint[], %(positions)s::bigint[]) AS m(shard, queue, position)
    JOIN given ON given.shard = m.shard
),
unmarked AS (
    DELETE FROM delivered USING given WHERE delivered.shard = given.shard
    AND NOT EXISTS (SELECT 1 FROM marks WHERE marks.shard = delivered.shard AND marks.queue = delivered.queue)
),
marked AS (
    INSERT INTO delivered (shard, queue, position) SELECT shard, queue, position FROM marks
    ON CONFLICT (shard, queue) DO UPDATE SET position = excluded.position
) SELECT count(*) FROM left_now"""


class PostgresRounds(Rounds):
    """Statements of rounds. connect: opens a connection. Raises: StoreError.

    Each method raises psycopg.Error, and StoreError if there is no connection and none can be opened.
    beat_s: when the last beat that was committed had been sent, on the monotonic clock.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self.beat_s = 0.0
        self._connect = connect
        self._has_warned = False
        self._connection: Connection | None = None
        self._groups: list[tuple[object, ...]] = []  # the shards as the last look has found them, by owner
        self._shards: list[Shard] = []

    def enter(self, name: str, address: str | None) -> int:
        """See Rounds."""
        while True:
            sent_s = time.monotonic()
            try:
                values = {"name": name, "address": address, "numbers": OWN_SHARDS}
                row = self._opened().execute(ENTER, values).fetchone()
            except psycopg.errors.UniqueViolation:  # another node has taken this id
                continue
            self.beat_s = sent_s
            assert row is not None
            node = _int(row[0])
            while self._has_warned:  # after a fail-over, an id that is not on the standby could be given again
                self._has_warned = False
                self.beat(node)
            return node

    def beat(self, node: int) -> bool:
        """See Rounds."""
        connection = self._opened()
        sent_s = time.monotonic()
        if not connection.execute(BEAT, (node,)).rowcount:
            return False
        self.beat_s = sent_s  # not later than the others can have seen it
        return True

    def look(self) -> View:
        """See Rounds."""
        nodes: list[Node] = []
        groups: list[tuple[object, ...]] = []
        for *of_node, owner, is_clean, numbers in self._opened().cursor(binary=True).execute(LOOK).fetchall():
            if numbers is None:
                node, name, address, is_alive, is_draining, beat = of_node
                reached_at = None if address is None else str(address)
                nodes.append(
                    Node(_int(node), str(name or ""), reached_at, bool(is_alive), bool(is_draining), _int(beat))
                )
            else:
                groups.append((owner, is_clean, numbers))
        nodes.sort()
        if groups != self._groups:  # usually nothing has changed
            self._groups, self._shards = groups, sorted(_shards(groups))
        return View({each.id: each for each in nodes}, self._shards)

    def declare_dead(self, node: int, beat: int) -> bool:
        """See Rounds."""
        return self._opened().execute(DECLARE_DEAD, {"node": node, "beat": beat}).rowcount > 0

    def take(self, node: int, shards: Sequence[Shard], least: int = 1, keeps_clean: bool = False) -> set[int]:
        """See Rounds."""
        values = {
            "node": node,
            "shards": [shard.number for shard in shards],
            "owners": [shard.node for shard in shards],
            "clean": [shard.is_clean for shard in shards],
            "least": least,
            "keeps_clean": keeps_clean,
        }
        return {_int(row[0]) for row in self._opened().execute(TAKE, values).fetchall()}

    def prune(self, node: int) -> None:
        """See Rounds."""
        self._opened().execute(PRUNE, {"node": node})
        for table in FORGOTTEN:
            self._opened().execute(FORGET.replace("{0}", table), {"shards": SHARDS, "numbers": OWN_SHARDS})

    def leave(self, node: int, clean: Collection[int]) -> None:
        """Give up the shards of a node that has read no messages. See leave() below."""
        leave(self._opened(), node, None, clean)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection that is not known to be lost."""
        return self._connection is not None and not self._connection.closed

    def close(self) -> None:
        """Close the connection. The next statement opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect()
            self._connection.add_notice_handler(self._noticed)
            self._connection.execute("SELECT set_config('lock_timeout', %s, false)", (LOCK_TIMEOUT,))
        return self._connection

    def _noticed(self, notice: Diagnostic) -> None:
        self._has_warned = self._has_warned or notice.severity_nonlocalized == "WARNING"


def leave(connection: Connection, node: int, delivered: Mapping[int, int] | None, clean: Collection[int]) -> bool:
    """Give up the shards of a node that ends, in one statement. Returns: whether the node was alive.

    delivered: the highest delivered position of each queue; the marks of its shards become these, and the shards clean.
    None: the marks stay as they are, and only the shards in clean become clean.
    Raises: psycopg.Error.
    """
    query: LiteralString = LEAVE
    values: dict[str, object] = {"node": node, "clean": list(clean)}
    if delivered is not None:
        query = LEAVE_WITH_MARKS
        values["shards"] = [int(shard_of_queue(queue, SHARDS)) for queue in delivered]
        values["queues"], values["positions"] = list(delivered), list(delivered.values())
    return connection.execute(query, values).fetchone() == (1,)


def _shards(groups: list[tuple[object, ...]]) -> Iterator[Shard]:
    for owner, is_clean, numbers in groups:
        assert isinstance(numbers, list)
        for number in numbers:
            yield Shard(number, None if owner is None else _int(owner), bool(is_clean))


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
