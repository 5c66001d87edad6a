"""Logs that remember nothing beyond the process: for brokers without a data directory, and the reference in tests."""

from __future__ import annotations

from collections.abc import Iterator

from mypy_extensions import i64

from leveret.core.alarms import BEHIND_BYTES
from leveret.core.message import Message
from leveret.core.ports import DefinitionLog, LogListener, MessageLog, Recovered


class MemoryLog(MessageLog, DefinitionLog):
    """Keeps only what has to be told at the next flush.

    hold: keep the news back until release(), as a slow disk would.
    """

    def __init__(self, hold: bool = False) -> None:
        self.listener: LogListener | None = None
        self._hold = hold
        self._highest: dict[int, int] = {}  # by queue, appended since the last flush
        self._size: i64 = 0  # of the contents that are held back
        self._revision = 0
        self._told_revision = 0

    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int, level: int = 0) -> None:
        """Durable at the next flush."""
        self._highest[queue_id] = position
        if self._hold:
            self._size += len(message.content)

    def remove(self, queue_id: int, position: int) -> None:
        """Nothing is kept, so there is nothing to remove."""

    def delivered(self, queue_id: int, position: int) -> None:
        """Nothing is kept."""

    def drop(self, queue_id: int) -> None:
        """Nothing is kept but the news that is still to be told."""
        self._highest.pop(queue_id, None)

    def flush(self) -> None:
        """Tell the listener that everything is durable."""
        if not self._hold:
            self.release()
        elif self._size > BEHIND_BYTES and self.listener is not None:
            self.listener.on_behind(True)

    def release(self) -> None:
        """Tell the listener what is durable."""
        highest, self._highest = self._highest, {}
        if self.listener is None:
            return
        if self._revision != self._told_revision:
            self._told_revision = self._revision
            self.listener.on_definitions_durable(self._revision)
        for queue_id, position in highest.items():
            self.listener.on_durable(queue_id, position)
        if self._hold:
            self._size = 0
            self.listener.on_behind(False)

    def recover(self) -> Iterator[Recovered]:
        """Nothing survived."""
        return iter(())

    def close(self) -> None:
        """There is nothing to write."""

    def put(self, kind: str, key: str, value: bytes) -> int:
        """Durable at the next flush."""
        self._revision += 1
        return self._revision

    def delete(self, kind: str, key: str) -> int:
        """Durable at the next flush."""
        self._revision += 1
        return self._revision

    def load(self) -> list[tuple[str, str, bytes]]:
        """Nothing survived."""
        return []
