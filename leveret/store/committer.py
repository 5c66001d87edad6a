"""Committer: the one thread beside the core's. It writes groups, one after the other, and says when each is done.

There is no timer and no size to choose: while a group is written, the next one gathers, and follows at once.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from leveret.store.database import Database
from leveret.store.group import Group

IDLE_S: Final = 1.0  # without a group, before there is time for the file as it is

log = logging.getLogger("leveret.store")


class Committer:
    """Writes groups to a database in a thread of its own.

    notify: called in that thread after each group; it must make the core's thread call results().
    """

    def __init__(self, database: Database, notify: Callable[[], None]) -> None:
        self._database = database
        self._notify = notify
        self._groups: SimpleQueue[Group | None] = SimpleQueue()
        self._is_untidy = True  # there may be more free space than there should be
        self._results: SimpleQueue[tuple[Group, str]] = SimpleQueue()
        self._worker = threading.Thread(target=self._run, name="leveret-committer", daemon=True)
        self._worker.start()

    def commit(self, group: Group) -> None:
        """Write a group; its result follows."""
        self._groups.put(group)

    def results(self) -> list[tuple[Group, str]]:
        """Groups that are done since the last call, each with what went wrong or an empty string."""
        done: list[tuple[Group, str]] = []
        while not self._results.empty():
            done.append(self._results.get())
        return done

    def close(self) -> None:
        """Write what was handed over and end the thread. Blocks."""
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
                self._database.write(group)
                self._results.put((group, ""))
            except Exception as error:  # whatever it is, this thread has to go on
                self._results.put((group, str(error) or type(error).__name__))
            self._notify()
            if group.emptied or group.sparse:
                self._is_untidy = True
            if self._is_untidy:
                self._tidy(False)

    def _tidy(self, is_idle: bool) -> bool:
        """Give space back as long as there is nothing to write. Returns: whether there is more to do."""
        has_more = True
        try:
            while has_more and self._groups.empty():
                has_more = self._database.tidy(is_idle)
        except sqlite3.Error as error:
            log.warning("cannot give free space of the data directory back: %s", error)
            return False  # until there is more of it
        return has_more
