"""Membership: what a node is in its cluster, and the rounds that show to the others that it lives.

A node that starts gets a new id. A node that was declared dead stays dead: it finds no beat of its own, and has lost
everything. What a round decides is in ownership.py.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import errors

from leveret.cluster.database import Connection
from leveret.cluster.errors import ClusterError
from leveret.cluster.ownership import Changes, Node, Ownership
from leveret.cluster.rounds import PostgresRounds, leave
from leveret.cluster.schema import SHARDS
from leveret.store.chunk_store import StoreError

BEAT_S: Final = 0.25
CERTAIN_S: Final = 0.9  # after a beat; others wait for 1.25 s at least
AGAIN_S: Final = 0.1  # between two attempts to connect

log = logging.getLogger("leveret.cluster")


class Listener(ABC):
    """Learns from a node's rounds, in their thread, what to do with shards."""

    @abstractmethod
    def on_gained(self, shards: list[tuple[int, bool]]) -> None:
        """This node owns more shards. With each: whether the last owner has left it properly."""

    @abstractmethod
    def on_hand_over(self, shards: dict[int, int]) -> None:
        """This node should hand over shards, each to a node. It may be asked again for those that it still owns."""


class Membership:
    """A node of a cluster. name: for people. address: where other nodes reach it.

    A node that serves calls enter() and keep(), and begin() once it can take shards: it shares them with others. One
    that needs all shards for itself calls join() and keep(). Both end with stop() and leave().
    connect: opens a connection for a purpose. Raises: StoreError.
    """

    def __init__(self, name: str, address: str, connect: Callable[[str], Connection]) -> None:
        self.name = name
        self._rounds = PostgresRounds(lambda: connect(f"{name} beats"))
        self._ownership = Ownership(name, address)
        self._listener: Listener | None = None
        self._on_lost: Callable[[str], None] = _nobody
        self._clean: set[int] = set()  # shards that were clean when this node gained them
        self._is_over = threading.Event()
        self._is_lost = False
        self._is_draining = False
        self._is_waiting = False  # for a node that lives
        self._thread: threading.Thread | None = None

    @property
    def node(self) -> int:
        """Its id, new for each start; 0 before it has one."""
        return self._ownership.node

    @property
    def beat_s(self) -> float:
        """When its last beat was sent that was committed, on the monotonic clock."""
        return self._rounds.beat_s

    @property
    def owned(self) -> frozenset[int]:
        """Its shards, as of the last round."""
        return self._ownership.owned

    def owner(self, shard: int) -> str:
        """The name of the node that owned a shard in the last round, empty if there was none. Called in any thread."""
        view = self._ownership.view
        found = view.nodes.get(view.owner(shard) or 0)
        return "" if found is None else found.name

    @property
    def was_clean(self) -> bool:
        """Whether the last owners have left all its shards properly."""
        return self._clean >= self.owned

    # -- start

    def enter(self) -> list[tuple[int, bool]]:
        """Become a node that shares the shards. Blocks. Returns: its first ones, and whether each was left properly.

        Returns at once if all shards are free, and otherwise as soon as it has seen that another node with shards
        lives, after about 0.3 s. A killed node is waited for until it counts as dead, about 1.3 s, and a node that
        needs all shards for itself until it ends. keep() must follow soon. Raises: ClusterError, StoreError.
        """
        self._persist(self._has_entered)
        return [(shard, shard in self._clean) for shard in sorted(self.owned)]

    def join(self, waits: bool = True, only_reads: bool = False) -> None:
        """Become a node that owns all shards, as soon as no living node owns one. Blocks.

        Returns at once in a database that no node has used since a clean end. A killed node is waited for until it
        counts as dead, about 1.3 s; a living one until it ends. waits: otherwise a living node is an error.
        only_reads: whether the last end was clean stays as it is, whatever happens to this node.
        Raises: ClusterError when another node lives. StoreError when the database cannot be used at first.
        """
        self._ownership = Ownership(self.name, None)
        self._persist(lambda: self._has_taken_all(waits, only_reads))

    def _persist(self, is_done: Callable[[], bool]) -> None:
        """Try until something is done. Raises: ClusterError, StoreError."""
        try:
            while not self._is_now(is_done):
                time.sleep(BEAT_S)
        except BaseException as error:
            self._withdraw()
            if isinstance(error, psycopg.Error):
                raise ClusterError(f"cannot join the cluster: {line(error)}") from None
            raise

    def _is_now(self, is_done: Callable[[], bool]) -> bool:
        """One attempt. A connection that is lost while this node waits for another one is no error."""
        try:
            if not self.node or not self._ownership.beat(self._rounds):
                self._ownership.enter(self._rounds)  # for the first time, or others have declared it dead meanwhile
                log.info("joins the cluster as node '%s' (%d)", self.name, self.node)
            return is_done()
        except errors.LockNotAvailable as error:
            log.debug("a row is locked: %s", line(error))
        except (psycopg.Error, StoreError) as error:
            if not self._is_waiting or self._rounds.is_connected:
                raise
            log.debug("cannot join yet: %s", line(error))
            self._rounds.close()
        return False

    def _has_entered(self) -> bool:
        """One round. Returns: whether this node owns shards, or another one does that certainly lives and shares."""
        changes = self._ownership.round(self._rounds)
        self._note(changes)
        if changes.lost or self.owned:
            return not changes.lost
        owners = [node for node in self._ownership.rivals() if self._ownership.is_owner(node.id)]
        for owner in owners:
            if owner.address is None:
                self._wait_for(owner)
        return any(owner.address is not None for owner in owners)

    def _has_taken_all(self, waits: bool, only_reads: bool) -> bool:
        """One look. Returns: whether this node owns all shards. Raises: ClusterError when another node lives."""
        self._note(self._ownership.claim(self._rounds, waits, only_reads))
        if len(self.owned) == SHARDS:
            return True
        for rival in self._ownership.rivals():
            if not waits:
                raise ClusterError(
                    f"node '{rival.name}' uses this database; stop it first: only one node can use it at a time"
                )
            if self._ownership.is_owner(rival.id):
                self._wait_for(rival)
        return False

    def _wait_for(self, node: Node) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            log.warning("node '%s' uses this database: this node waits to take its place", node.name)

    def _withdraw(self) -> None:
        """Leave, and close the connection."""
        try:
            if self.node:
                self._rounds.leave(self.node, self._clean)
        except (psycopg.Error, StoreError) as error:
            log.debug("cannot leave: %s", line(error))
        finally:
            self._rounds.close()

    # -- rounds

    def begin(self, listener: Listener) -> None:
        """From now on, take and hand over shards. listener: called in another thread."""
        self._listener = listener

    def keep(self, on_lost: Callable[[str], None]) -> None:
        """Start to beat. on_lost: called in another thread when the others hold this node for dead."""
        self._on_lost = on_lost
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

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._is_over.is_set():
            try:
                self._round()
            except errors.LockNotAvailable as error:
                log.debug("a row is locked: %s", line(error))
            except (psycopg.Error, StoreError) as error:
                log.debug("no beat: %s", line(error))
                self._rounds.close()
                self._is_over.wait(AGAIN_S)
            due_s = max(due_s + BEAT_S, time.monotonic())
            self._is_over.wait(due_s - time.monotonic())

    def _round(self) -> None:
        """A beat, and what follows it. Raises: psycopg.Error, StoreError."""
        if not self._ownership.beat(self._rounds):
            self.lose("another node has declared it dead")
            return
        if self._listener is None:
            return
        changes = self._ownership.round(self._rounds)
        if changes.lost:
            self.lose(changes.lost)
        if self._is_over.is_set():
            return
        self._note(changes)
        if changes.gained:
            self._listener.on_gained(changes.gained)
        if changes.hand_over:
            self._listener.on_hand_over(changes.hand_over)

    def _note(self, changes: Changes) -> None:
        """Log what a round has changed, and remember what was clean."""
        for shard, was_clean in changes.gained:
            (self._clean.add if was_clean else self._clean.discard)(shard)
        for node in changes.deaths:
            log.warning("node '%s' (%d) is dead", node.name, node.id)
        for source, count in changes.sources.items():
            log.info("takes %s%s", _counted(count), "" if source is None else f" of {self._named(source)}")
        for to, count in Counter(changes.hand_over.values()).items():
            log.info("hands %s to %s", _counted(count), self._named(to))
        me = self._ownership.view.nodes.get(self.node)
        if me is not None and me.is_draining != self._is_draining:
            self._is_draining = me.is_draining
            log.info("this node %s", "drains: it hands its shards to others" if me.is_draining else "drains no more")

    def _named(self, node: int) -> str:
        found = self._ownership.view.nodes.get(node)
        return f"node {node}" if found is None else f"node '{found.name}' ({node})"

    # -- end

    def leave(self, connection: Connection, delivered: dict[int, int] | None) -> bool:
        """Give up its shards, in one statement. Returns: whether this node was still alive for the others.

        delivered: the highest delivered position of each queue. None if the messages were not read: then the marks and
        whether the last end was clean are as they were before. Raises: psycopg.Error.
        """
        return leave(connection, self.node, delivered, self._clean)

    def stop(self) -> None:
        """Make no more rounds."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()
        self._rounds.close()


def line(error: Exception) -> str:
    """The first line of an error of the database, which may have several."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _counted(shards: int) -> str:
    return "1 shard" if shards == 1 else f"{shards} shards"


def _nobody(reason: str) -> None:
    pass
