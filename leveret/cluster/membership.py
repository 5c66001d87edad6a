"""Membership: what a node is in its cluster, and the beats that show to the others that it lives.

A node that starts gets a new id. It counts its own committed beats, not seconds: another node is dead when its beat
has not changed over DEAD_BEATS of this node's. So a slow or dead database, which nobody's beats reach, makes no node
suspect another. A node that was declared dead stays dead: it finds no beat of its own, and has lost everything.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

import psycopg

from leveret.cluster.database import Connection
from leveret.cluster.errors import ClusterError
from leveret.cluster.schema import SHARDS
from leveret.store.chunk_store import StoreError
from leveret.store.shards import shard_of_queue

BEAT_S: Final = 0.25
DEAD_BEATS: Final = 5
CERTAIN_S: Final = 0.9  # after a beat; others wait for 1.25 s at least
AGAIN_S: Final = 0.1  # between two attempts to connect

JOIN: Final = """
WITH node AS (
    INSERT INTO nodes (id, name, address, session, alive)
    SELECT coalesce(max(id), 0) + 1, %s, %s, 1, true FROM nodes RETURNING id
) INSERT INTO beats (node, beat) SELECT id, 0 FROM node RETURNING node"""
BEAT: Final = "UPDATE beats SET beat = beat + 1 WHERE node = %s"
OTHERS: Final = """
SELECT nodes.id, nodes.name, coalesce(beats.beat, -1), EXISTS (SELECT 1 FROM shards WHERE shards.node = nodes.id)
FROM nodes LEFT JOIN beats ON beats.node = nodes.id WHERE nodes.alive AND nodes.id <> %s"""
OWNED: Final = "SELECT count(*), bool_and(is_clean) FROM shards WHERE node = %s"
PRUNE: Final = """
DELETE FROM nodes WHERE NOT alive AND id < %s AND NOT EXISTS (SELECT 1 FROM shards WHERE shards.node = nodes.id)"""
DECLARE_DEAD: Final = """
WITH beat AS (DELETE FROM beats WHERE node = %s AND beat = %s RETURNING node)
UPDATE nodes SET alive = false WHERE id = %s AND alive AND (%s < 0 OR EXISTS (SELECT 1 FROM beat))"""
TAKE: Final = """
UPDATE shards SET node = %s
WHERE node IS NULL OR NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = shards.node AND nodes.alive)"""
LEAVE: Final = "UPDATE nodes SET alive = false WHERE id = %s AND alive"
GIVE_UP: Final = """
WITH beat AS (DELETE FROM beats WHERE node = %(node)s)
UPDATE shards SET node = NULL, is_clean = coalesce(%(is_clean)s::boolean, is_clean) WHERE node = %(node)s"""

MARK: Final = "INSERT INTO delivered (shard, queue, position) VALUES (%s, %s, %s)"

log = logging.getLogger("leveret.cluster")


class Membership:
    """A node of a cluster. name: for people. address: where other nodes reach it.

    connect: opens a connection for a purpose. Raises: StoreError.
    beat_s: when its last beat was committed, on the monotonic clock.
    node: its id, new for each start. session: number of its connection that commits. was_clean: whether the last owner
    of each shard has left properly.
    """

    def __init__(self, name: str, address: str, connect: Callable[[str], Connection]) -> None:
        self.name = name
        self.node = 0
        self.session = 1
        self.was_clean = True
        self.owned: set[int] = set(range(SHARDS))
        self.beat_s = 0.0
        self._address = address
        self._connect = connect
        self._on_lost: Callable[[str], None] = _nobody
        self._is_over = threading.Event()
        self._is_lost = False
        self._is_owner = False
        self._waits = True
        self._only_reads = False
        self._is_waiting = False  # for a node that lives
        self._beats = 0  # committed while joining
        self._seen: dict[object, tuple[object, int]] = {}  # by node: its beat, and this node's when it was first seen
        self._thread: threading.Thread | None = None

    def join(self, waits: bool = True, only_reads: bool = False) -> None:
        """Become a node of the cluster, and take all shards as soon as no living node owns one. Blocks.

        Returns at once in a database that no node has used since a clean end. A killed node is waited for until it
        counts as dead, about 1.3 s; a living one until it ends. waits: otherwise a living node is an error.
        only_reads: whether the last end was clean stays as it is, whatever happens to this node.
        Raises: ClusterError when another node lives. StoreError when the database cannot be used at first.
        """
        self._waits, self._only_reads = waits, only_reads
        connection = self._connect(f"{self.name} joins")
        try:
            while not self._has_taken_all(connection):
                time.sleep(BEAT_S)
                connection = self._usable(connection)
        except psycopg.Error as error:
            raise ClusterError(f"cannot join the cluster: {line(error)}") from None
        finally:
            self._withdraw(connection)

    def _usable(self, connection: Connection) -> Connection:
        """The connection, or another one if the database was away."""
        while connection.closed:
            try:
                return self._connect(f"{self.name} joins")
            except StoreError as error:
                log.debug("cannot connect: %s", error)
                time.sleep(AGAIN_S)
        return connection

    def _has_taken_all(self, connection: Connection) -> bool:
        """One look: beat, declare dead whose beat stands still, take what is free.

        Returns: whether this node owns all shards. Raises: psycopg.Error, unless the connection is lost while it waits.
        """
        try:
            if not self.node or not connection.execute(BEAT, (self.node,)).rowcount:
                self._enter(connection)  # for the first time, or others have declared it dead meanwhile
            self._beats += 1
            self._bury(connection)
            connection.execute(TAKE, (self.node,))
            owned, is_clean = connection.execute(OWNED, (self.node,)).fetchone() or (0, False)
            if owned == SHARDS:
                self.was_clean = bool(is_clean)
                if not self._only_reads:
                    connection.execute("UPDATE shards SET is_clean = false WHERE node = %s", (self.node,))
                connection.execute(PRUNE, (self.node,))
                self._is_owner = True
            elif owned:  # another node has taken the rest at the same moment
                connection.execute("UPDATE shards SET node = NULL WHERE node = %s", (self.node,))
        except psycopg.Error:
            if not self._is_waiting or not connection.closed:
                raise
        return self._is_owner

    def _enter(self, connection: Connection) -> None:
        """Get a new id. Raises: psycopg.Error."""
        self.node = 0
        while not self.node:
            try:
                row = connection.execute(JOIN, (self.name, self._address)).fetchone()
                assert row is not None
                self.node = int(str(row[0]))
            except psycopg.errors.UniqueViolation:  # another node has taken this id
                continue

    def _bury(self, connection: Connection) -> None:
        """Declare dead each node whose beat has not changed for DEAD_BEATS of this node's. Raises: psycopg.Error."""
        seen: dict[object, tuple[object, int]] = {}
        owner = ""
        for node, name, beat, owns in connection.execute(OTHERS, (self.node,)).fetchall():
            known = self._seen.get(node)
            seen[node] = known if known is not None and known[0] == beat else (beat, self._beats)
            if self._beats - seen[node][1] >= DEAD_BEATS:
                connection.execute(DECLARE_DEAD, (node, beat, node, beat))
                log.warning("node '%s' (%s) is dead", name, node)
            elif owns and known is not None and known[0] != beat:
                owner = str(name)
        self._seen = seen
        if owner and not self._waits:
            raise ClusterError(f"node '{owner}' uses this database; stop it first: only one node can use it at a time")
        if owner and not self._is_waiting:
            self._is_waiting = True
            log.warning("node '%s' uses this database: this node waits to take its place", owner)

    def _withdraw(self, connection: Connection) -> None:
        """Close the connection; when this node owns nothing, leave."""
        try:
            if not self._is_owner and self.node:
                self.leave(connection, None)
        except psycopg.Error as error:
            log.debug("cannot leave: %s", line(error))
        finally:
            connection.close()

    def begin(self, on_lost: Callable[[str], None]) -> None:
        """Start to beat. on_lost: called in another thread when the others hold this node for dead. With a reason."""
        self._on_lost = on_lost
        self.beat_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="leveret-beats", daemon=True)
        self._thread.start()

    def is_certain(self) -> bool:
        """Whether no other node can have declared this one dead yet."""
        return time.monotonic() - self.beat_s < CERTAIN_S

    def lose(self, reason: str) -> None:
        """This node has found that it is dead for the others."""
        self._is_over.set()
        if not self._is_lost:
            self._is_lost = True
            self._on_lost(reason)

    def leave(self, connection: Connection, delivered: dict[int, int] | None) -> bool:
        """Give up all shards, in one transaction. Returns: whether this node was still alive for the others.

        delivered: the highest delivered position of each queue. None if the messages were not read: then the marks and
        whether the last end was clean are as they were before. Raises: psycopg.Error.
        """
        with connection.transaction():
            if not connection.execute(LEAVE, (self.node,)).rowcount:
                return False
            if delivered is not None:
                connection.execute("DELETE FROM delivered")
                marks = [(int(shard_of_queue(queue, SHARDS)), queue, last) for queue, last in delivered.items()]
                connection.cursor().executemany(MARK, marks)
            is_clean = delivered is not None or self.was_clean
            connection.execute(GIVE_UP, {"node": self.node, "is_clean": is_clean if self._is_owner else None})
        return True

    def stop(self) -> None:
        """Stop to beat."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        connection: Connection | None = None
        due_s = time.monotonic()
        while not self._is_over.is_set():
            try:
                if connection is None:
                    connection = self._connect(f"{self.name} beats")
                sent_s = time.monotonic()
                found = connection.execute(BEAT, (self.node,)).rowcount
                if found == 0:
                    self.lose("another node has declared it dead")
                    break
                self.beat_s = sent_s  # not later than the others can have seen it
            except (psycopg.Error, StoreError) as error:
                log.debug("no beat: %s", error)
                if connection is not None:
                    connection.close()
                connection = None
                self._is_over.wait(AGAIN_S)
            due_s = max(due_s + BEAT_S, time.monotonic())
            self._is_over.wait(due_s - time.monotonic())
        if connection is not None:
            connection.close()


def line(error: Exception) -> str:
    """The first line of an error of the database, which may have several."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _nobody(reason: str) -> None:
    pass
