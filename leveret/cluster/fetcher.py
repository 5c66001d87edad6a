"""Fetcher: reads messages from the database in a thread of its own, so that the event loop never waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

import psycopg

from leveret.cluster.database import Connection
from leveret.cluster.membership import line
from leveret.cluster.statement import split
from leveret.core.message.log import Unreadable
from leveret.store.chunk import DamagedChunk, Head, Label, parse
from leveret.store.chunk_store import ChunkReader, Messages, StoreError
from leveret.store.rows import unpack_counts

AGAIN_S: Final = 0.2  # between two attempts to connect
MOST: Final = 64  # fetched parts that are kept, though nobody has asked for them again

READ: Final = """
SELECT head, data, counts.places FROM chunks
LEFT JOIN counts ON counts.shard = chunks.shard AND counts.chunk = chunks.id
WHERE chunks.shard = %s AND chunks.id = %s"""

LOAD: Final = "SELECT data FROM chunks WHERE shard = %s AND id = %s"

log = logging.getLogger("leveret.cluster")

Part = tuple[int, int, tuple[int, ...]]  # chunk id, queue id, positions


class Fetcher(ChunkReader):
    """Reads chunks over a connection of its own. notify: called in its thread when something has been fetched.

    connect: opens a connection for a purpose. Raises: StoreError.
    """

    def __init__(self, connect: Callable[[str], Connection], purpose: str, notify: Callable[[], None]) -> None:
        self._connect = connect
        self._purpose = purpose
        self._notify = notify
        self._connection: Connection | None = connect(purpose)
        self._wanted: SimpleQueue[Part | None] = SimpleQueue()
        self._asked: set[Part] = set()
        self._fetched: SimpleQueue[tuple[Part, Messages | None]] = SimpleQueue()
        self._here: dict[Part, Messages | None] = {}  # None: unreadable
        self._may_wait = False
        self._is_closing = threading.Event()
        self._thread: threading.Thread | None = None

    def load(self, chunk_id: int, head: Head, labels: list[Label]) -> Messages:
        """See ChunkReader. Raises: StoreError."""
        try:
            row = self._open().execute(LOAD, _row(chunk_id)).fetchone()
        except psycopg.Error as error:
            raise StoreError(f"cannot read messages in the database of the cluster: {line(error)}") from None
        return _messages(head, labels, _bytes(row[0]) if row is not None else b"")

    def recovered(self) -> None:
        """See ChunkReader."""
        self._may_wait = True

    def prepare(self, chunk_id: int, queue_id: int, wanted: list[int]) -> bool:
        """See ChunkReader."""
        part = chunk_id, queue_id, tuple(wanted)
        if not self._may_wait or part in self._here:
            return True
        if part not in self._asked:
            self._asked.add(part)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="leveret-fetcher", daemon=True)
                self._thread.start()
            self._wanted.put(part)
        return False

    def arrived(self) -> list[int]:
        """See ChunkReader."""
        queues: dict[int, None] = {}
        while not self._fetched.empty():
            part, messages = self._fetched.get()
            self._asked.discard(part)
            self._here[part] = messages
            queues[part[1]] = None
        while len(self._here) > MOST:  # of queues that are gone, or have no need of them any more
            del self._here[next(iter(self._here))]
        return list(queues)

    def read(self, chunk_id: int, queue_id: int, wanted: list[int]) -> Messages:
        """See ChunkReader. Raises: Unreadable."""
        part = chunk_id, queue_id, tuple(wanted)
        if part in self._here:
            messages = self._here.pop(part)
            if messages is None:
                raise Unreadable(f"{len(wanted)} messages cannot be read now")
            return messages
        try:
            return self._read(part)
        except (psycopg.Error, StoreError) as error:
            raise Unreadable(f"{len(wanted)} messages cannot be read now: {line(error)}") from None

    def close(self) -> None:
        """End the thread and the connection. Waits for a read that runs."""
        self._is_closing.set()
        if self._thread is not None:
            self._wanted.put(None)
            self._thread.join()
        if self._connection is not None:
            self._connection.close()

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect(self._purpose)
        return self._connection

    def _run(self) -> None:
        while True:
            part = self._wanted.get()
            if part is None or self._is_closing.is_set():
                return
            self._fetched.put((part, self._persist(part)))
            self._notify()

    def _persist(self, part: Part) -> Messages | None:
        """Read a part, however long the database is away. Returns: None when this reader is closed meanwhile, or the
        database answers with an error.
        """
        while not self._is_closing.is_set():
            try:
                return self._read(part)
            except (psycopg.OperationalError, psycopg.InterfaceError, StoreError) as error:
                log.warning("messages cannot be fetched now: %s", line(error))
                if self._connection is not None:
                    self._connection.close()
                time.sleep(AGAIN_S)
            except Exception as error:  # this thread must survive any error
                log.error("messages cannot be fetched: %s", line(error))
                return None
        return None

    def _read(self, part: Part) -> Messages:
        chunk_id, queue_id, wanted = part
        row = self._open().cursor(binary=True).execute(READ, _row(chunk_id)).fetchone()
        messages = Messages()
        try:
            if row is None:
                raise DamagedChunk("the chunk is missing")
            head: Head = parse(_bytes(row[0]), queue_id)
            if row[2] is not None:
                head.add_counts(unpack_counts(_bytes(row[2])))
            head.keep(list(wanted))
            messages = _messages(head, head.labels, _bytes(row[1]))
        except DamagedChunk as damage:
            messages.damage = str(damage)
        messages.damage = messages.damage or "the messages are missing"
        return messages


def _row(chunk_id: int) -> tuple[int, int]:
    shards, numbers = split([chunk_id])
    return shards[0], numbers[0]


def _messages(head: Head, labels: list[Label], data: bytes) -> Messages:
    result = Messages()
    result.labels = labels
    for label in labels:
        try:
            result.found.append(head.message(label, data[label.start : label.start + label.length]))
        except DamagedChunk as damage:
            result.found.append(None)
            result.damage = str(damage)
    return result


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
