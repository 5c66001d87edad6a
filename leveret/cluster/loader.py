"""Loader: reads what shards contain that this node has taken over while it runs, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Full, Queue, SimpleQueue
from typing import Final

import psycopg

from leveret.cluster.database import Connection
from leveret.cluster.heads import Heads
from leveret.cluster.membership import line
from leveret.store.chunk_store import Found, StoreError

AGAIN_S: Final = 0.2  # between two attempts to read
AHEAD: Final = 4  # batches that wait for the core
LOOK_S: Final = 0.1  # between two looks at whether the node ends, while batches wait

log = logging.getLogger("leveret.cluster")


@dataclass(frozen=True)
class Batch:
    """A part of what some shards contain.

    marks: the highest delivered position by queue; was_clean: whether they are complete. is_last: of these shards.
    revision: the definitions of the queues are known once those up to this revision are.
    """

    shards: list[int]
    found: list[Found]
    marks: dict[int, int]
    was_clean: bool
    revision: int
    is_last: bool


class Loader:
    """Loads shards, one group after the other.

    connect: opens a connection for a purpose. Raises: StoreError.
    admit: called in the thread with the heads before their first batch. notify: called in the thread for each batch.
    """

    def __init__(
        self,
        connect: Callable[[str], Connection],
        purpose: str,
        admit: Callable[[Heads], None],
        notify: Callable[[], None],
    ) -> None:
        self._connect = connect
        self._purpose = purpose
        self._admit = admit
        self._notify = notify
        self._wanted: SimpleQueue[tuple[list[int], bool] | None] = SimpleQueue()
        self._batches: Queue[Batch] = Queue(AHEAD)
        self._is_closing = threading.Event()
        self._thread: threading.Thread | None = None

    def load(self, shards: list[int], was_clean: bool) -> None:
        """Begin to load shards. was_clean: whether their last owner has given them up properly."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="leveret-loader", daemon=True)
            self._thread.start()
        self._wanted.put((shards, was_clean))

    def take(self) -> Batch | None:
        """The next batch, None if there is none yet."""
        return None if self._batches.empty() else self._batches.get()

    def close(self) -> None:
        """End the thread. Waits for a read that runs."""
        self._is_closing.set()
        if self._thread is not None:
            self._wanted.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (wanted := self._wanted.get()) is not None:
            last = -1  # the chunk that was passed on last
            while not self._is_closing.is_set():
                try:
                    with self._connect(self._purpose) as connection:
                        heads = Heads(connection, wanted[0])
                        self._admit(heads)
                        for found in heads.found(last):
                            self._pass_on(Batch(wanted[0], found, heads.marks, wanted[1], heads.revision, False))
                            last = found[-1].chunk_id
                        self._pass_on(Batch(wanted[0], [], heads.marks, wanted[1], heads.revision, True))
                    break
                except (psycopg.Error, StoreError) as error:
                    log.warning("shards cannot be loaded now: %s", line(error))
                    self._is_closing.wait(AGAIN_S)

    def _pass_on(self, batch: Batch) -> None:
        while not self._is_closing.is_set():
            try:
                self._batches.put(batch, timeout=LOOK_S)
            except Full:
                continue
            self._notify()
            return
