"""OnDisk: a broker on a data directory, without sockets."""

from __future__ import annotations

from pathlib import Path
from queue import SimpleQueue
from typing import Final

from leveret.core.broker import Broker
from leveret.core.turn.clock import Clock
from leveret.store.chunk_log import LOAD_BYTES, ChunkLog
from leveret.store.rescue.salvage import open_database

PATIENCE_S: Final = 60


class OnDisk:
    """What its log writes has happened for the broker once somebody waits for it. load_bytes: of ChunkLog."""

    def __init__(self, directory: Path, clock: Clock, seed: int = 1, load_bytes: int = LOAD_BYTES) -> None:
        self.committed: SimpleQueue[None] = SimpleQueue()
        self.log = ChunkLog(open_database(directory), lambda: self.committed.put(None), load_bytes)
        self.broker = Broker(self.log, self.log, clock, seed=seed, node="test")
        self.log.listener = self.broker.news
        try:
            self.broker.recover()
        except BaseException:
            self.log.close()
            raise

    def wait_for_commit(self) -> None:
        """Wait for the end of a transaction, and tell the broker."""
        self.committed.get(timeout=PATIENCE_S)
        self.log.on_committed()
