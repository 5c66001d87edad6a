"""Committer: the only thread besides the core's. It writes groups one after the other, and reports each result.

Group commit needs no timer and no size limit: while one group is written, the next one collects and follows at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from leveret.store.chunk_store import ChunkStore, GroupWriter, WriteError
from leveret.store.group import Group

IDLE_S: Final = 1.0  # without a group, before the store is tidied

log = logging.getLogger("leveret.store")


class Committer(GroupWriter):
    """Writes groups to a store in its own thread.

    notify: called in that thread after each group; it must make the core's thread call results().
    """

    def __init__(self, store: ChunkStore, notify: Callable[[], None]) -> None:
        self._store = store
        self._notify = notify
        self._groups: SimpleQueue[Group | None] = SimpleQueue()
        self._is_untidy = True  # the store may have too much free space
        self._results: SimpleQueue[tuple[Group, str]] = SimpleQueue()
        self._worker = threading.Thread(target=self._run, name="leveret-committer", daemon=True)
        self._worker.start()

    def commit(self, group: Group) -> None:
        """See GroupWriter."""
        self._groups.put(group)

    def results(self) -> list[tuple[Group, str]]:
        """See GroupWriter."""
        done: list[tuple[Group, str]] = []
        while not self._results.empty():
            done.append(self._results.get())
        return done

    def close(self) -> None:
        """Write the queued groups and end the thread. Blocks."""
        self._groups.put(None)
        self._worker.join()

    def _run(self) -> None:
        while True:
            try:
                group = self._groups.get(timeout=IDLE_S if self._is_untidy else None)
            except Empty:
                self._is_untidy = self._tidy(True)
                continue
            if group is None:
                return
            try:
                self._store.write(group)
                self._results.put((group, ""))
            except Exception as error:  # this thread must survive any error
                self._results.put((group, str(error) or type(error).__name__))
            self._notify()
            if group.emptied or group.sparse:
                self._is_untidy = True
            if self._is_untidy:
                self._tidy(False)

    def _tidy(self, is_idle: bool) -> bool:
        """Return free space to the system while there is nothing to write. Returns: whether more is left."""
        has_more = True
        try:
            while has_more and self._groups.empty():
                has_more = self._store.tidy(is_idle)
        except WriteError as error:
            log.warning("cannot return free space of %s: %s", self._store.place, error)
            return False  # try again when more is free
        return has_more
