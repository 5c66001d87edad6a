"""Feed: the changes of definitions that all nodes have written, in the order of their revisions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

import psycopg

from leveret.cluster.database import Connection
from leveret.cluster.heads import REVISION, as_bytes, as_int
from leveret.cluster.membership import line
from leveret.cluster.statement import decode_key
from leveret.store.chunk_store import StoreError

POLL_S: Final = 1.0  # a change arrives within that time if the database has told nothing of it
AGAIN_S: Final = 0.2  # between two attempts to connect
STEP: Final = 200  # changes that are read, and applied, at once
LISTEN: Final = "LISTEN leveret"
ALL: Final = "SELECT kind, key, value, revision FROM definitions WHERE value IS NOT NULL ORDER BY revision"
READ: Final = (
    "SELECT kind, key, value, revision FROM definitions WHERE revision > %b::bigint AND revision <= %b::bigint "
    f"ORDER BY revision LIMIT {STEP}"
)

log = logging.getLogger("leveret.cluster")

Change = tuple[str, str, bytes | None]
"""Kind, key and value of a definition; None if it is deleted."""


@dataclass(frozen=True)
class News:
    """Changes of definitions, own ones too, each with the latest value. With them all up to this revision are known.

    durable: if they are the last ones of a round: the changes of this node up to here were durable when it began. There
    may be no changes at all: then only this is new.
    is_complete: there are no other definitions. The revision may be lower than before: after a fail-over, the database
    may not know what it has told before, if somebody has cancelled its wait for the standby.
    """

    changes: list[Change]
    revision: int
    durable: int | None
    is_complete: bool = False


class Feed:
    """Follows the table of definitions in a thread of its own.

    connect: opens a connection for a purpose. Raises: StoreError. revision: of the last change that is known already.
    durable: the number of the last durable change of this node; called in the thread before each round.
    notify: called in the thread each time when there is news.
    """

    def __init__(
        self,
        connect: Callable[[str], Connection],
        purpose: str,
        revision: int,
        durable: Callable[[], int],
        notify: Callable[[], None],
    ) -> None:
        self._connect = connect
        self._purpose = purpose
        self._revision = revision
        self._durable = durable
        self._notify = notify
        self._told = 0  # the last News.durable
        self._news: SimpleQueue[News] = SimpleQueue()
        self._connection: Connection | None = None
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leveret-definitions", daemon=True)

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def take(self) -> News | None:
        """The next news, None if there is none yet."""
        return None if self._news.empty() else self._news.get()

    def close(self) -> None:
        """End the thread. Waits for POLL_S at most, if the database answers."""
        self._is_closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        has_read = False
        while not self._is_closing.is_set():
            try:
                if self._connection is None:
                    self._connection = self._connect(self._purpose)
                    self._connection.execute(LISTEN)
                    if has_read:
                        self._read_all(self._connection)
                self._read(self._connection)
                has_read = True
                for _ in self._connection.notifies(timeout=POLL_S, stop_after=1):
                    pass
            except (psycopg.Error, StoreError) as error:
                log.debug("definitions cannot be read: %s", line(error))
                self._drop()
                self._is_closing.wait(AGAIN_S)
        self._drop()

    def _read(self, connection: Connection) -> None:
        """Read what is new. Raises: psycopg.Error."""
        durable = self._durable()
        last = as_int(connection.execute(REVISION).fetchall()[0][0])
        while self._revision < last:
            rows = connection.cursor(binary=True).execute(READ, (self._revision, last)).fetchall()
            changes = [_change(row) for row in rows]
            self._revision = as_int(rows[-1][3]) if len(rows) == STEP else last
            self._pass_on(News(changes, self._revision, durable if self._revision == last else None))
        if durable != self._told:
            self._pass_on(News([], self._revision, durable))

    def _read_all(self, connection: Connection) -> None:
        """Read all definitions, after a connection was lost. Raises: psycopg.Error."""
        durable = self._durable()
        self._revision = as_int(connection.execute(REVISION).fetchall()[0][0])
        changes = [_change(row) for row in connection.cursor(binary=True).execute(ALL).fetchall()]
        self._pass_on(News(changes, self._revision, durable, is_complete=True))

    def _pass_on(self, news: News) -> None:
        if news.durable is not None:
            self._told = news.durable
        self._news.put(news)
        self._notify()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _change(row: tuple[object, ...]) -> Change:
    kind, key, value, _ = row
    return str(kind), decode_key(as_bytes(key)), None if value is None else as_bytes(value)
