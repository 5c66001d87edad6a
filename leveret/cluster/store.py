"""PostgresStore: the ChunkStore of a node in a cluster. Its rows are the same chunks as those of a data directory.

Each group is one statement, which writes only if this node is alive for the others and its session is the current one.
What happens when the database fails is decided in writer.py.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, LiteralString

import psycopg
from psycopg.errors import Diagnostic

from leveret.cluster.commit import Commit, add_counts
from leveret.cluster.database import Connection
from leveret.cluster.fetcher import Fetcher
from leveret.cluster.heads import REVISION, Gone, Heads, as_bytes, as_int, chunk_of, counts_of
from leveret.cluster.membership import Membership, line
from leveret.cluster.schema import OWN_SHARDS, SHARDS
from leveret.cluster.statement import Statement, decode_key, encode_key, split
from leveret.cluster.writer import (
    Answer,
    Arrived,
    Ask,
    Broken,
    Build,
    Confirm,
    Connect,
    Connected,
    Execute,
    Existing,
    Look,
    Lost,
    Pause,
    Raised,
    RaiseSession,
    Read,
    Writer,
    Written,
)
from leveret.store.chunk import Counts, DamagedChunk, Head, parse, trim
from leveret.store.chunk_store import ChunkStore, Found, StoreError, WriteError
from leveret.store.group import Group
from leveret.store.rows import unpack_places

AGAIN_S: Final = 0.2  # between two attempts to connect
LEAVE_S: Final = 10.0  # a node that stops waits at most that long for its database
VACUUM_BYTES: Final = 128 << 20  # written between two vacuums

RAISE_SESSION: Final = "UPDATE nodes SET session = session + 1 WHERE id = %s AND alive RETURNING session"
CONFIRM: Final = "UPDATE beats SET beat = beat WHERE node = %s"
"""Changes nothing, but its commit is behind all commits before it, and waits for the standby as they should have."""

CHUNKS: Final = "unnest(%b::int[], %b::bigint[]) c(s, n)"

log = logging.getLogger("leveret.cluster")


class PostgresStore(ChunkStore):
    """The store of a node that has joined its cluster.

    connect: opens a connection for a purpose. Raises: StoreError.
    revision: definitions() has returned at least all definitions up to this revision.
    """

    def __init__(self, member: Membership, connect: Callable[[str], Connection]) -> None:
        super().__init__("the database of the cluster", SHARDS)
        self._member = member
        self._connect = connect
        self._has_warned = False
        self._connection: Connection = self._open()
        self._leaves_at_s = 0.0  # there is no attempt to connect after it; 0 for no limit
        self._writer = Writer(member.node)
        self._heads: Heads | None = None
        self._aside: set[int] = set()
        self._noted: set[int] = set()  # at least all chunks with counts
        self._written = 0  # bytes since the last vacuum
        self._vacuum: threading.Thread | None = None
        self.was_clean = member.was_clean
        self.owned = set(member.owned)
        self.transient_shard = SHARDS + member.node % OWN_SHARDS
        self.revision = as_int(self._rows(REVISION)[0][0])
        self.is_new = self.revision == 0

    def _open(self) -> Connection:
        connection = self._connect(f"{self._member.name} commits")
        connection.add_notice_handler(self._noticed)
        connection.prepare_threshold = 1
        return connection

    def _noticed(self, notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self._has_warned = True
            log.warning("the database warns: %s", notice.message_primary)

    def _rows(self, query: LiteralString, *values: object) -> list[tuple[object, ...]]:
        """Read before anything is written. Raises: StoreError."""
        try:
            return self._connection.cursor(binary=True).execute(query, values).fetchall()
        except psycopg.Error as error:
            raise _unreadable(error) from None

    # -- start

    def definitions(self) -> list[tuple[str, str, bytes]]:
        """See ChunkStore. Raises: StoreError."""
        self.revision = as_int(self._rows(REVISION)[0][0])
        rows = self._rows("SELECT kind, key, value FROM definitions WHERE value IS NOT NULL ORDER BY place")
        return [(str(kind), decode_key(as_bytes(key)), as_bytes(value)) for kind, key, value in rows]

    def chunks(self) -> Iterator[Found]:
        """See ChunkStore. Raises: StoreError."""
        heads, self._heads = self._own_heads(), None
        self.chunk_count = heads.count
        try:
            for found in heads.found():
                yield from found
        except psycopg.Error as error:
            raise _unreadable(error) from None

    def _own_heads(self) -> Heads:
        """What the shards of this node contain, as it starts. Raises: StoreError."""
        if self._heads is None:
            try:
                self._heads = Heads(self._connection, sorted(self.owned or ()))
            except psycopg.Error as error:
                raise _unreadable(error) from None
            self.admit(self._heads)
        return self._heads

    def admit(self, heads: Heads) -> None:
        """Know the chunks of shards that belong to this node from now on. Called in any thread."""
        self._aside.update(heads.aside)
        self._noted.update(heads.noted)

    def aside(self) -> int:
        """See ChunkStore."""
        return len(self._aside)

    def delivered(self) -> dict[int, int]:
        """See ChunkStore. Raises: StoreError."""
        return self._own_heads().marks

    # -- groups

    def write(self, group: Group) -> None:
        """See ChunkStore. Waits as long as the database is away. Raises: WriteError."""
        steps = self._writer.write(group)
        try:
            ask = next(steps)
            while True:
                ask = steps.send(self._answer(ask))
        except StopIteration as end:
            self._written += end.value.bytes
        except Lost as error:
            self._member.lose(str(error))
            raise WriteError("this node does not belong to the cluster any more") from None
        self._aside.update(group.aside)
        self._noted.update(group.counts)
        self._noted.difference_update(group.emptied)

    def _answer(self, ask: Ask) -> Answer:
        """The database's answer. Raises: WriteError when it refuses, or cannot be reached while this node stops."""
        if isinstance(ask, Pause):
            if self._leaves_at_s and time.monotonic() > self._leaves_at_s:
                raise WriteError("the database cannot be reached")
            time.sleep(AGAIN_S)
            return Broken()
        if isinstance(ask, Connect):
            return self._connected()
        self._has_warned = False
        try:
            return self._asked(ask)
        except psycopg.Error as error:
            is_lost = self._connection.broken or self._connection.closed
            if isinstance(ask, Build | Execute) and not is_lost:
                raise WriteError(line(error)) from None  # the server has refused it: nothing is written
            log.warning("the connection to the database is lost: %s", line(error))
            return Broken()

    def _asked(self, ask: Ask) -> Answer:
        """Raises: psycopg.Error."""
        node, execute = self._member.node, self._connection.execute
        if isinstance(ask, Execute):
            statement = Statement(ask.commit, node, ask.session)
            row = execute(statement.query, statement.values).fetchone() or (0, 0)
            return Written(row[0] == 1, as_int(row[1]), self._has_warned)
        if isinstance(ask, Confirm):
            execute(CONFIRM, (node,))
            return Written(True, 0, self._has_warned)
        if isinstance(ask, RaiseSession):
            raised = execute(RAISE_SESSION, (node,)).fetchone()
            return Raised(None if raised is None else as_int(raised[0]), self._has_warned)
        if isinstance(ask, Look):
            return Arrived(self._has_arrived(ask.commit))
        if isinstance(ask, Read):
            return Existing(self._existing(ask.commit))
        assert isinstance(ask, Build)
        return self._commit(ask.group, ask.number)

    def _connected(self) -> Connected | Broken:
        self._connection.close()
        try:
            self._connection = self._open()
        except StoreError as error:
            log.debug("cannot connect: %s", line(error))
            return Broken()
        log.warning("connected to the database again")
        return Connected()

    def _commit(self, group: Group, number: int) -> Commit:
        """The rows of a group. Raises: psycopg.Error."""
        noted = self._noted.intersection([*group.counts, *group.sparse])
        counts = self._read_counts(list(noted))
        for chunk_id, places in group.counts.items():
            add_counts(counts.setdefault(chunk_id, {}), places)
        rewritten = self._rewritten(group, counts)
        return Commit(group, number, counts, rewritten, self._aside.union(group.aside))

    def _has_arrived(self, commit: Commit) -> bool:
        """Whether a commit was written; False for one that only repeats itself. Raises: psycopg.Error."""
        row: object = None
        if commit.written:
            shards, numbers = split([commit.written[0][0]])
            query: LiteralString = "SELECT 1 FROM chunks WHERE shard = %s AND id = %s"
            row = self._connection.execute(query, (shards[0], numbers[0])).fetchone()
        elif commit.removed:
            shards, numbers = split(list(commit.removed)[:1])
            query = "SELECT 1 FROM gone WHERE shard = %s AND chunk = %s AND seq = %s"
            row = self._connection.execute(query, (shards[0], numbers[0], commit.number)).fetchone()
        return row is not None

    def _existing(self, commit: Commit) -> list[tuple[str, str, bytes]]:
        """The definitions that exist of those that a commit was to create. Raises: psycopg.Error."""
        query: LiteralString = (
            "SELECT d.kind, d.key, d.value FROM definitions d JOIN unnest(%b::text[], %b::bytea[]) w(kind, key) "
            "ON w.kind = d.kind AND w.key = d.key WHERE d.value IS NOT NULL"
        )
        names = [kind for kind, _ in commit.created], [encode_key(key) for _, key in commit.created]
        rows = self._connection.cursor(binary=True).execute(query, names).fetchall()
        return [(str(kind), decode_key(as_bytes(key)), as_bytes(value)) for kind, key, value in rows]

    def _read_counts(self, chunks: list[int]) -> dict[int, Counts]:
        """The counts noted of chunks. Raises: psycopg.Error."""
        if not chunks:
            return {}
        query: LiteralString = f"SELECT shard, chunk, places FROM counts JOIN {CHUNKS} ON shard = s AND chunk = n"
        rows = self._connection.cursor(binary=True).execute(query, split(chunks)).fetchall()
        return {chunk_of(shard, number): counts_of(places) for shard, number, places in rows}

    def _rewritten(self, group: Group, counts: dict[int, Counts]) -> dict[int, tuple[bytes, bytes]]:
        """Sparse chunks without what is gone, with all counts; one that cannot be read is set aside.

        Raises: psycopg.Error.
        """
        sparse = [chunk for chunk in group.sparse if chunk not in self._aside]
        if not sparse:
            return {}
        cursor = self._connection.cursor(binary=True)
        gone: Gone = {}
        try:
            rows = cursor.execute(
                f"SELECT shard, chunk, places FROM gone JOIN {CHUNKS} ON shard = s AND chunk = n", split(sparse)
            ).fetchall()
            for shard, number, places in rows:
                gone.setdefault(chunk_of(shard, number), set()).update(unpack_places(as_bytes(places)))
            for chunk, writer in group.gone.items():
                if chunk in group.sparse:
                    gone.setdefault(chunk, set()).update(_pairs(writer.getvalue()))
        except DamagedChunk as damage:
            log.error("removals cannot be read, so no chunk is rewritten: %s", damage)
            return {}
        found: dict[int, tuple[bytes, bytes]] = {}
        query = f"SELECT shard, id, head, data FROM chunks JOIN {CHUNKS} ON shard = s AND id = n"
        for shard, number, encoded, data in cursor.execute(query, split(sparse)).fetchall():
            chunk = chunk_of(shard, number)
            try:
                head: Head = parse(as_bytes(encoded))
                head.cross_out(gone.get(chunk, set()))
                head.add_counts(counts.get(chunk, {}))
                found[chunk] = trim(head, as_bytes(data))
            except DamagedChunk as damage:
                log.error("chunk %d cannot be read any more, and is set aside: %s", chunk, damage)
                group.aside[chunk] = str(damage)
        return found

    def tidy(self, is_idle: bool) -> bool:
        """Have the database make the rows of deleted chunks free for new ones, in another thread."""
        if self._written >= VACUUM_BYTES and (self._vacuum is None or not self._vacuum.is_alive()):
            self._written = 0
            self._vacuum = threading.Thread(target=self._clean, name="leveret-vacuum", daemon=True)
            self._vacuum.start()
        return False

    def _clean(self) -> None:
        try:
            with self._connect(f"{self._member.name} vacuum") as connection:
                connection.execute("VACUUM (SKIP_LOCKED, TRUNCATE off) chunks, gone, counts")
        except (psycopg.Error, StoreError) as error:
            log.warning("cannot make space free in the database: %s", line(error))

    def reader(self, notify: Callable[[], None]) -> Fetcher:
        """See ChunkStore. Raises: StoreError."""
        return Fetcher(self._connect, f"{self._member.name} reads", notify)

    # -- end

    def leave(self) -> None:
        """See ChunkStore. From now on, write() waits only LEAVE_S for a database that is away."""
        self._leaves_at_s = time.monotonic() + LEAVE_S

    def close(self, delivered: dict[int, int] | None = None) -> None:
        """See ChunkStore."""
        self._member.stop()
        if self._vacuum is not None:
            self._vacuum.join()
        try:
            if not self._member.leave(self._connection, delivered):
                log.warning("another node had taken the place of this one before it left")
        except psycopg.Error as error:
            log.warning("the database does not know that this node has left: %s", line(error))
        finally:
            self._connection.close()


def _unreadable(error: psycopg.Error) -> StoreError:
    return StoreError(f"cannot read the database of the cluster: {line(error)}")


def _pairs(places: bytes) -> list[tuple[int, int]]:
    """Queue ids and positions, as a group has them."""
    numbers = [int.from_bytes(places[at : at + 8], "big", signed=True) for at in range(0, len(places), 8)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))
